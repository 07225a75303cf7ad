"""The average of weights, and the best look, beside loops in plain torch."""

import copy
import math

import pytest
import torch
from torch import nn

from sm3kit.core.errors import VariantError
from sm3kit.core.stage_settings import Stage1Settings
from sm3kit.training.optimising.chosen_weights import (
    WeightAverage,
    check_stop,
    has_stopped,
    keep_if_best,
    no_look_yet,
    unchanged,
)


def networks():
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    made.register_buffer("queue", torch.zeros(2))
    return made


def moved(made, step):
    """The networks after a step, with other weights, statistics and memories."""
    made(torch.randn(8, 3) + step)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(torch.randn_like(weight))
    made.queue += 1
    return made


def test_the_average_beside_a_loop():
    made = networks()
    average = WeightAverage(made, 0.5)
    expected = copy.deepcopy(made.state_dict())
    for step in range(6):
        moved(made, step).train()
        average.update(made, step)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, value in made.state_dict().items():
            keeps = decay if value.is_floating_point() and name != "queue" else 0
            expected[name] = keeps * expected[name] + (1 - keeps) * value
    for name, value in average.average.state_dict().items():
        torch.testing.assert_close(value, expected[name].to(value.dtype), rtol=1e-5, atol=1e-6)
    assert average.average.queue.tolist() == [6, 6]
    assert not any(weight.requires_grad for weight in average.parameters())


def test_the_average_of_weights_that_stay_is_these_weights():
    made = networks()
    average = WeightAverage(made, 0.999)
    for step in range(3):
        average.update(made, step)
    for name, value in average.average.state_dict().items():
        torch.testing.assert_close(value, made.state_dict()[name])


def test_the_average_is_shown_and_taken_away_bit_for_bit():
    made = networks()
    average = WeightAverage(made, 0.9)
    before = copy.deepcopy(average.average.state_dict())
    now = copy.deepcopy(moved(made, 1).state_dict())
    with average.shown_in(made):
        assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    assert all(torch.equal(value, now[name]) for name, value in made.state_dict().items())


def test_networks_are_unchanged_also_after_an_error():
    made = networks()
    before = copy.deepcopy(made.state_dict())
    with pytest.raises(RuntimeError), unchanged(made):
        moved(made, 1)
        raise RuntimeError
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_the_best_look_is_remembered_and_patience_ends():
    made, memory = networks(), no_look_yet()
    settings = Stage1Settings(stop_on="rank", patience=2)
    values = [5.0, math.nan, 3.0, 3.0, 4.0]
    stopped = []
    for epoch, value in enumerate(values, 1):
        with torch.no_grad():
            made[0].bias.fill_(epoch)
        keep_if_best(memory, value, epoch, made)
        stopped.append(has_stopped(memory, settings))
    assert stopped == [False, False, False, False, True]
    assert (memory["best"], memory["best_epoch"], memory["looks_since"]) == (3.0, 3, 2)
    assert memory["best_state"]["0.bias"].tolist() == [3.0] * 4
    assert not has_stopped({}, Stage1Settings())


class Case:
    def __init__(self, *modalities):
        self.images = dict.fromkeys(modalities)


class Held:
    def __init__(self, *cases):
        self.cases = {"val": list(cases)}


PAIRS = Held(Case("derm", "clinic"), Case("derm", "clinic"))


@pytest.mark.parametrize(
    ("changes", "pool", "said"),
    [
        ({"patience": 3}, PAIRS, "patience=3 has no effect"),
        ({"stop_on": "rank", "monitor_every": 0}, PAIRS, "monitor_every epochs, which is 0"),
        ({"stop_on": "rank"}, Held(), "it has 0"),
        ({"stop_on": "rank"}, Held(Case("derm"), Case("derm")), "Use -o stage1.stop_on=loss"),
    ],
)
def test_early_stopping_that_cannot_work_is_refused(tiny, changes, pool, said):
    from tiny_runs import altered

    with pytest.raises(VariantError, match=said):
        check_stop(altered(tiny, stage1=changes), pool)


def test_early_stopping_by_a_split_that_is_trained_on_is_refused(tiny):
    from tiny_runs import altered

    variant = altered(tiny, stage1={"stop_on": "loss"}, splits=("train", "val"))
    with pytest.raises(VariantError, match="it is trained on"):
        check_stop(variant, PAIRS)
    variant = altered(tiny, stage1={"stop_on": "loss"}, machine={"devices": 2})
    with pytest.raises(VariantError, match="works in one process"):
        check_stop(variant, PAIRS)
    check_stop(altered(tiny, stage1={"stop_on": "rank", "patience": 3}), PAIRS)

"""The rule of what is not finite, and what monitors and ranks say of it."""

import math

import pytest
import torch

from sm3kit.core.errors import DataError, TrainingError
from sm3kit.nn.finite import check_features, first_two, not_finite
from sm3kit.nn.monitors import alignment, normalised_std, partner_ranks, rankme, uniformity
from sm3kit.training.callbacks import COLLAPSED, Monitor
from sm3kit.training.monitoring import collapse

BAD = [math.nan, math.inf, -math.inf]


def rows(count=6, width=4, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def spoilt(value, **shape):
    found = rows(**shape)
    found[1, 2] = value
    return found


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("place", [0, 7, -1])
def test_one_value_is_enough(dtype, value, place):
    spoilt = torch.ones(99, dtype=dtype)
    spoilt[place] = value
    tensors = {"a": torch.ones(3), "b": spoilt, "c": torch.zeros(()), "d": spoilt.view(3, 33).T}
    assert not_finite(tensors) == ["b", "d"]


def test_what_is_finite():
    largest = torch.tensor([3.4e38, -3.4e38])
    tensors = {"large": largest, "none": torch.zeros(0, 3), "count": torch.tensor(7)}
    tensors |= {"mask": torch.ones(2, dtype=torch.bool), "more": "text"}
    assert not_finite(tensors) == []
    assert not_finite({}) == []


def test_weights_with_a_gradient_are_looked_at_as_they_are():
    weight = torch.nn.Parameter(torch.tensor([1.0, math.nan]))
    assert not_finite({"weight": weight}) == ["weight"]
    assert weight.grad is None


def test_what_is_listed():
    assert first_two(["a"]) == "a"
    assert first_two(["a", "b"]) == "a, b"
    assert first_two(["a", "b", "c", "d"]) == "a, b and 2 more"


def test_features_are_refused_by_their_name():
    check_features({"derm": rows(), "clinic": rows()}, "computed in 32-true")
    with pytest.raises(TrainingError) as caught:
        check_features({"derm": rows(), "clinic": spoilt(math.nan)}, "computed in 32-true")
    assert str(caught.value) == (
        "The features of clinic computed in 32-true are not finite for 1 of 6 studies. Their "
        "networks have diverged: train them again with a lower --lr, or with --precision 32."
    )


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("where", ["queries", "gallery"])
def test_no_rank_is_given_to_what_is_not_finite(value, where):
    given = {"queries": rows(), "gallery": rows(), where: spoilt(value)}
    with pytest.raises(DataError) as caught:
        partner_ranks(given["queries"], given["gallery"])
    assert str(caught.value) == (
        f"Ranks need finite embeddings, and the {where} hold NaN or infinity. The networks that "
        "made them have diverged: lower the learning rate of their training."
    )


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("shape", [{"count": 6, "width": 4}, {"count": 4, "width": 6}])
@pytest.mark.parametrize("monitor", [normalised_std, rankme, uniformity])
def test_a_monitor_shows_nan(monitor, value, shape):
    assert math.isnan(monitor(spoilt(value, **shape)))


@pytest.mark.parametrize("value", BAD)
def test_the_monitors_of_an_epoch_show_nan(value):
    assert math.isnan(alignment(rows(), spoilt(value)))
    views = [[spoilt(value), rows(seed=1)]]
    row = collapse({"derm": views, "derm*": views, "clinic*": [[rows(), rows(seed=1)]]})
    assert math.isnan(row["alignment/derm-clinic"])
    for name in ("std/derm", "rankme/derm", "uniformity/derm", "alignment/derm", "std/derm*"):
        assert math.isnan(row[name])
    assert row["std/clinic*"] > COLLAPSED


def test_a_monitor_that_is_nan_is_no_good_sign():
    said = []
    monitor = Monitor(None, [], None, said.append)
    monitor._warn_of_collapse({"std/derm": math.nan, "std/clinic": 0.9, "uniformity/derm": -4.0})
    assert len(said) == 1
    assert said[0].startswith("The features of derm are collapsing (std nan, ")

"""DINO, against its formulas in plain torch."""

import copy

import pytest
import torch
from torch import distributed, nn
from torch.nn import functional as F

from sm3kit.objectives.dino import DINO

CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # float32
WIDTH, ROWS = 6, 8


def dino(**options):
    torch.manual_seed(0)
    return DINO(WIDTH, **{"prototypes": 5, "hidden": 7, "bottleneck": 4, **options})


def views(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(ROWS, WIDTH, generator=generator) for _ in range(count)]


def outputs(head, given):
    """What a head says, in plain torch."""
    first, second, third = (head.layers[number] for number in (0, 2, 4))
    weight = head.last_layer.parametrizations.weight.original1
    said = []
    for view in given:
        row = third(F.gelu(second(F.gelu(first(view)))))
        said.append(F.normalize(row, dim=1) @ F.normalize(weight, dim=1).T)
    return said


def plain_loss(teacher, student, centre, teacher_temperature, temperature=0.1):
    """The loss of the official code: all pairs of views but a view with itself."""
    terms = []
    for number, wanted in enumerate(teacher):
        kinds = F.softmax((wanted - centre) / teacher_temperature, dim=-1)
        for other, said in enumerate(student):
            if other != number:
                log = F.log_softmax(said / temperature, dim=-1)
                terms.append(-(kinds * log).sum(dim=-1).mean())
    return sum(terms) / len(terms)


@pytest.mark.parametrize(("whole", "local"), [(2, 0), (2, 3), (1, 2), (3, 1)])
def test_the_loss_and_the_centre_are_those_of_the_official_code(whole, local):
    objective, centre = dino(center_momentum=0.8), torch.zeros(5)
    objective.before_step(1.0)
    with torch.no_grad():
        objective.target_head.layers[0].weight.mul_(3)
    for seed in range(3):
        fast, slow = views(whole + local, seed), views(whole, seed + 9)
        teacher = outputs(objective.target_head, slow)
        expected = plain_loss(teacher, outputs(objective.head, fast), centre, 0.04)
        torch.testing.assert_close(objective(fast, slow)["loss"], expected, **CLOSE)
        centre = 0.8 * centre + 0.2 * torch.stack(teacher).mean(dim=(0, 1))
        torch.testing.assert_close(objective.match.center.flatten(), centre, **CLOSE)
    assert centre.abs().max() > 0.01


def test_an_encoder_that_agrees_has_the_entropy_of_its_teacher():
    """Where both say [0, 1] under one temperature of 1, the loss is ln(1 + e) - e / (1 + e)."""
    objective = dino(prototypes=2, temperature=1.0, teacher_temperature=1.0, warmup=0.0)
    objective.head = objective.target_head = nn.Identity()
    same = [torch.tensor([[0.0, 1.0]])] * 2
    assert objective(same, same)["loss"].item() == pytest.approx(0.582203, abs=1e-6)


def test_the_centre_stands_still_without_training():
    objective = dino().eval()
    objective(views(2), views(2))
    assert not objective.match.center.any()


def test_the_centre_is_part_of_the_state():
    objective, again = dino(), dino()
    objective(views(2), views(2))
    again.load_state_dict(objective.state_dict())
    assert objective.match.center.any()
    assert torch.equal(again.match.center, objective.match.center)


@pytest.mark.parametrize("gather", [True, False])
def test_the_centre_is_that_of_all_processes_where_it_is_gathered(gather, monkeypatch):
    """Another process with other rows is made up: what it would add is added."""
    objective, slow, elsewhere = dino(gather=gather), views(2), views(2, seed=3)
    here, there = (
        torch.stack(outputs(objective.target_head, given)).mean(dim=(0, 1), keepdim=True)
        for given in (slow, elsewhere)
    )
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "all_reduce", lambda own: own.add_(there))
    objective(views(2), slow)
    mean = (here + there) / 2 if gather else here
    torch.testing.assert_close(objective.match.center, 0.1 * mean, **CLOSE)


@pytest.mark.parametrize(
    ("warmup", "progress", "expected"),
    [(0.5, 0.0, 0.02), (0.5, 0.25, 0.04), (0.5, 0.5, 0.06), (0.5, 1.0, 0.06), (0.0, 0.0, 0.06)],
)
def test_the_temperature_of_the_teacher_warms_up_in_a_line(warmup, progress, expected):
    objective = dino(warmup_temperature=0.02, teacher_temperature=0.06, warmup=warmup)
    objective.before_step(progress)
    assert objective.teacher_temperature == pytest.approx(expected)
    fast, slow = views(2), views(2, seed=1)
    said = outputs(objective.head, fast), outputs(objective.target_head, slow)
    loss = plain_loss(said[1], said[0], torch.zeros(5), expected)
    torch.testing.assert_close(objective(fast, slow)["loss"], loss, **CLOSE)


@pytest.mark.parametrize(("progress", "moves"), [(0.0, False), (0.09, False), (0.1, True)])
def test_the_last_layer_is_frozen_in_the_beginning(progress, moves):
    objective = dino(freeze=0.1)
    objective.before_step(progress)
    objective(views(2), views(2))["loss"].backward()
    weight = objective.head.last_layer.parametrizations.weight
    assert (weight.original1.grad is not None) == moves
    assert weight.original0.grad is None  # Prototypes keep their length of 1.
    assert all(parameter.grad is not None for parameter in objective.head.layers.parameters())
    assert all(parameter.grad is None for parameter in objective.target_head.parameters())


@pytest.mark.parametrize(("progress", "stays"), [(0.0, 0.9), (0.5, 0.95), (1.0, 1.0)])
def test_the_teacher_follows_by_a_momentum_that_a_cosine_brings_to_one(progress, stays):
    objective = dino(momentum=0.9)
    encoder, target = nn.Linear(2, 2), nn.Linear(2, 2)
    both = nn.ModuleList([encoder, objective.head]), nn.ModuleList([target, objective.target_head])
    with torch.no_grad():
        objective.head.layers[0].weight.add_(1)
    slow = copy.deepcopy(both[1])
    objective.update_target(encoder, target, progress)
    for fast, before, now in zip(*(m.parameters() for m in (both[0], slow, both[1])), strict=True):
        torch.testing.assert_close(now, stays * before + (1 - stays) * fast, **CLOSE)

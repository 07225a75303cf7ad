"""Layers see the rows that are present, and no others."""

import pytest
import torch
from torch import nn

from sm3kit.nn.present_rows import BatchNorm, in_place_of_absent, on_present, only_present


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4, 4), (1, 3, 4, 4)])
def test_batch_norm_is_that_of_torch(shape):
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    ours, theirs = BatchNorm(3), (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(3)
    for _ in range(2):
        assert torch.equal(ours(rows), theirs(rows))
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))
    assert torch.equal(ours.eval()(rows), theirs.eval()(rows))


@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (1, 3, 1, 1), (0, 3, 4, 4)])
def test_batch_norm_of_too_few_values_takes_the_running_statistics(shape):
    norm = BatchNorm(3)
    norm(torch.randn(8, 3) * 2 + 1)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    rows = torch.randn(shape, requires_grad=True)
    out = norm(rows)
    mean, variance = (
        before[name].view(3, *[1] * (len(shape) - 2)) for name in ("running_mean", "running_var")
    )
    torch.testing.assert_close(out, (rows - mean) / (variance + 1e-5).sqrt())
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    out.sum().backward()
    assert norm.weight.grad is not None


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("present", [[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
def test_absent_rows_are_zeros_and_reach_nothing(training, present):
    mask = torch.tensor(present, dtype=torch.bool)
    results = []
    for filling in (0.0, 7.0):
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Linear(2, 3), BatchNorm(3), nn.ReLU()).train(training)
        rows = torch.randn(4, 2).masked_fill(~mask.unsqueeze(1), filling)
        out = on_present(layers, mask, rows)
        out.square().sum().backward()
        assert out.shape == (4, 3)
        assert not out[~mask].any()
        alone = layers(rows[mask])
        if not training:
            torch.testing.assert_close(out[mask], alone)
        gradients = [weight.grad for weight in layers.parameters()]
        assert all(gradient is not None for gradient in gradients)
        results.append([out, *gradients, *layers.state_dict().values()])
    assert all(map(torch.equal, *results))


def test_several_tables_lose_the_same_rows():
    class Difference(nn.Module):
        def forward(self, one, other):
            return one - other

    one, other = torch.arange(6.0).view(3, 2), torch.ones(3, 2)
    mask = torch.tensor([True, False, True])
    wanted = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [3.0, 4.0]])
    assert torch.equal(on_present(Difference(), mask, one, other), wanted)
    assert torch.equal(only_present(one - other, mask), wanted)


def test_another_stream_stands_in_for_an_absent_one_and_learns_nothing_from_it():
    own, other = torch.zeros(2, 3, requires_grad=True), torch.ones(2, 3, requires_grad=True)
    mixed = in_place_of_absent([own], torch.tensor([True, False]), [other])[0]
    assert mixed.tolist() == [[0, 0, 0], [1, 1, 1]]
    mixed.sum().backward()
    assert own.grad.tolist() == [[1, 1, 1], [0, 0, 0]]
    assert other.grad is None

"""Batches in parts: the same loss and the same gradients as of the whole."""

import copy

import pytest
import torch
from torch import nn

from sm3kit.nn.recomputation import parts_of, recomputed


@pytest.mark.parametrize("count", range(12))
@pytest.mark.parametrize("size", [0, 2, 3, 4, 11, 20])
def test_parts_cover_all_rows_once_and_none_is_a_single_row(count, size):
    parts = parts_of(count, size)
    assert [row for part in parts for row in range(count)[part]] == list(range(count))
    lengths = [part.stop - part.start for part in parts]
    assert max(lengths) - min(lengths) <= 1
    if count > 1:
        assert min(lengths) >= 2
    if size and count > size > 2:
        assert max(lengths) <= size


def network(*layers):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), *layers, nn.Flatten(), nn.LazyLinear(5))


def step(net, images, size):
    """The loss of a batch whose rows are all compared with each other."""
    parts = [
        recomputed(net, lambda rows: (net(rows),), images[part])[0]
        for part in parts_of(len(images), size)
    ]
    rows = torch.cat(parts)
    loss = (rows @ rows.T).logsumexp(dim=1).mean()
    loss.backward()
    return loss


@pytest.mark.parametrize("size", [0, 2, 3, 7])
def test_loss_and_gradients_are_those_of_the_whole_batch(size):
    images = torch.randn(7, 3, 8, 8, dtype=torch.float64)
    plain = network(nn.GELU()).double()
    plain(images)
    parted = copy.deepcopy(plain)
    rows = plain(images)
    loss = (rows @ rows.T).logsumexp(dim=1).mean()
    loss.backward()
    assert torch.allclose(step(parted, images, size), loss, atol=1e-12)
    for one, other in zip(plain.parameters(), parted.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norms_count_each_part_once(momentum):
    images = torch.randn(7, 3, 8, 8)
    parted = network(nn.BatchNorm2d(4, momentum=momentum))
    parted(images)
    once = copy.deepcopy(parted)
    step(parted, images, 3)
    with torch.no_grad():
        for part in parts_of(7, 3):
            once(images[part])
    assert once[1].num_batches_tracked == parted[1].num_batches_tracked == 4
    for name, value in once.state_dict().items():
        assert torch.equal(value, parted.state_dict()[name]), name
    assert parted[1].momentum == momentum


def test_random_layers_draw_the_same_numbers_twice():
    net = network(nn.Dropout(0.5))
    images = torch.randn(6, 3, 8, 8)
    net(images)
    torch.manual_seed(3)
    step(net, images, 2)
    gradient = net[0].weight.grad.clone()
    net.zero_grad()
    torch.manual_seed(3)
    rows = torch.cat([net(images[part]) for part in parts_of(6, 2)])
    (rows @ rows.T).logsumexp(dim=1).mean().backward()
    assert torch.allclose(net[0].weight.grad, gradient, atol=1e-6)


def test_only_one_part_is_kept_at_a_time():
    peak = 0

    class Watched(nn.Module):
        def forward(self, rows):
            nonlocal peak
            peak = max(peak, len(rows))
            return rows * 1.5

    net = network(Watched())
    images = torch.randn(12, 3, 8, 8)
    net(images)
    peak = 0
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: saved.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        rows = torch.cat(
            [
                recomputed(net, lambda rows: (net(rows),), images[part])[0]
                for part in parts_of(12, 2)
            ]
        )
    rows.sum().backward()
    assert peak == 2
    assert sum(saved) <= images.numel()  # The views; one activation map would be more.

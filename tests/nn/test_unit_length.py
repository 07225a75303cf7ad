"""Rows of length one, as PyTorch makes them, and where PyTorch cannot."""

import pytest
import torch
from torch.nn import functional as F

from sm3kit.nn.unit_length import unit_length


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 3.7, 1e6])
def test_the_same_bits_as_those_of_pytorch(kind, scale):
    rows = scale * torch.randn(50, 16, generator=torch.Generator().manual_seed(0), dtype=kind)
    assert torch.equal(unit_length(rows), F.normalize(rows, dim=1))


@pytest.mark.parametrize("scale", [1e-30, 1e19, 1e25, 1e38])
def test_the_scale_does_not_matter(scale):
    rows = torch.randn(50, 16, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)
    torch.testing.assert_close(unit_length(rows * scale), unit_length(rows), atol=1e-6, rtol=1e-5)


def test_zeros_stay_and_batches_of_rows_too():
    rows = torch.zeros(2, 3, 4)
    rows[1] = torch.arange(12.0).view(3, 4)
    assert torch.equal(unit_length(rows), F.normalize(rows, dim=2))

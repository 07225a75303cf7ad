"""Principal directions against a singular value decomposition."""

import pytest
import torch

from sm3kit.nn.clustering.principal import principal_directions


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_they_are_those_of_the_decomposition(shape):
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 1
    own = principal_directions(rows, 3)
    vectors = torch.linalg.svd(rows.double(), full_matrices=False).Vh[:3].T
    torch.testing.assert_close(own @ own.T, vectors @ vectors.T, rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_never_more_than_there_are_and_finite_where_rank_lacks(shape):
    rows = torch.ones(shape)
    own = principal_directions(rows, 9)
    assert own.shape == (shape[1], 3)
    assert own.isfinite().all()
    torch.testing.assert_close(rows.double() @ own @ own.T, rows.double())

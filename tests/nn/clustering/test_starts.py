"""Starts that know some of the centroids."""

import torch

from sm3kit.nn.clustering.starts import complete_start


def blobs():
    noise = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    return 100 * torch.eye(6)[torch.arange(60) % 6] + noise


def test_what_is_missing_lies_far_from_the_rest():
    rows = blobs()
    start = 100 * torch.eye(6)
    start[[1, 4]] = torch.nan
    start[2, 3] = torch.nan  # A part says nothing, either.
    for seed in range(10):
        whole = complete_start(rows, start, torch.Generator().manual_seed(seed))
        assert sorted(whole.argmax(1).tolist()) == list(range(6))
        assert torch.equal(whole[[0, 3, 5]], start[[0, 3, 5]])
        assert all((rows == row).all(1).any() for row in whole[[1, 2, 4]])


def test_a_whole_start_stays_and_an_empty_one_is_drawn():
    rows, numbers = blobs(), torch.Generator().manual_seed(0)
    start = torch.ones(2, 6, dtype=torch.float64)
    whole = complete_start(rows, start, numbers)
    assert whole.dtype == torch.float32
    assert torch.equal(whole, torch.ones(2, 6))
    drawn = complete_start(rows, torch.full((6, 6), torch.nan), numbers)
    assert sorted(drawn.argmax(1).tolist()) == list(range(6))
    assert start.isfinite().all()

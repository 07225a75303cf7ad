"""Collapse monitors against closed forms."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sm3kit.nn import monitors
from sm3kit.nn.monitors import (
    alignment,
    lidar,
    normalised_std,
    partner_ranks,
    rankme,
    uniformity,
)


def gauss(count, width, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def orthonormal(count, width):
    return torch.linalg.qr(gauss(width, width).double())[0][:count].float()


@pytest.mark.parametrize(("count", "width"), [(2, 2), (3, 8), (8, 8), (8, 16)])
def test_rankme_of_orthonormal_rows_is_their_number(count, width):
    assert rankme(orthonormal(count, width)) == pytest.approx(count, rel=1e-4)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_rankme_counts_the_dimensions_in_use(rank):
    """Rows that are orthonormal directions, each many times, at any scale."""
    rows = 100 * orthonormal(rank, 12).repeat(7, 1)
    # Eigenvalues of about 1e-12 remain and take their roots: a share of 1e-6 each.
    assert rankme(rows) == pytest.approx(rank, rel=1e-3)
    assert rankme(rows.T) == pytest.approx(rank, rel=1e-3)


def test_rankme_by_hand():
    """Singular values 3 and 1: shares 3/4 and 1/4."""
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert rankme(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(expected, rel=1e-6)


def test_rankme_is_that_of_the_singular_values():
    rows = gauss(20, 6)
    shares = torch.linalg.svdvals(rows.double())
    shares = shares / shares.sum()
    expected = float(torch.exp(-(shares * shares.log()).sum()))
    assert rankme(rows) == pytest.approx(expected, rel=1e-6)
    assert rankme(rows.T) == pytest.approx(expected, rel=1e-6)


def test_collapsed_embeddings():
    rows = torch.tensor([1.0, 2.0, 3.0]).repeat(10, 1)
    assert normalised_std(rows) == pytest.approx(0, abs=1e-6)
    assert rankme(rows) == pytest.approx(1, abs=1e-4)
    assert alignment(rows, rows) == 0
    assert uniformity(rows) == pytest.approx(0, abs=1e-6)
    assert partner_ranks(rows, rows)[0].tolist() == [5.5] * 10


@pytest.mark.parametrize("width", [8, 64])
def test_the_deviation_of_an_even_sphere_is_one(width):
    # 4000 rows: the estimate of one dimension is off by about 1/sqrt(8000) = 0.011.
    assert normalised_std(gauss(4000, width)) == pytest.approx(1, abs=0.01)
    assert normalised_std(5 * gauss(4000, width)) == pytest.approx(1, abs=0.01)


def test_the_deviation_by_hand():
    """Rows e1 and e2: each dimension holds 0 and 1, deviation sqrt(1/2), times sqrt(2)."""
    assert normalised_std(torch.eye(2)) == pytest.approx(1, abs=1e-6)


def test_alignment_is_zero_for_equal_and_four_for_opposite_partners():
    rows = gauss(5, 3)
    assert alignment(rows, 2 * rows) == pytest.approx(0, abs=1e-10)
    assert alignment(rows, -rows) == pytest.approx(4, abs=1e-5)
    assert alignment(torch.eye(2), torch.eye(2).flip(0)) == pytest.approx(2, abs=1e-6)


def test_uniformity_of_two_antipodal_points():
    """Distance 2: log exp(-2 * 4) = -8."""
    assert uniformity(torch.tensor([[3.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-8, abs=1e-5)


def test_uniformity_counts_pairs_of_different_rows_once():
    """Three points at right angles: every pair at squared distance 2."""
    assert uniformity(torch.eye(3)) == pytest.approx(-4, abs=1e-5)


@pytest.mark.parametrize("monitor", [normalised_std, rankme, uniformity])
@pytest.mark.parametrize("count", [0, 1])
def test_too_few_rows_are_not_a_number(monitor, count):
    assert math.isnan(monitor(torch.ones(count, 3)))


@pytest.mark.parametrize("monitor", [normalised_std, rankme, uniformity])
def test_the_order_of_rows_does_not_matter(monitor):
    rows = gauss(9, 4)
    assert monitor(rows.flip(0)) == pytest.approx(monitor(rows), rel=1e-5)
    assert monitor(rows.half()) == pytest.approx(monitor(rows), rel=1e-2)


def test_every_partner_first():
    rows = orthonormal(6, 8)
    assert partner_ranks(rows, rows)[0].tolist() == [1.0] * 6
    assert partner_ranks(3 * rows, rows / 7)[0].tolist() == [1.0] * 6


def test_ranks_by_hand():
    queries = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    gallery = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    # Query 1: partner at 1, best. Query 2: partner at 0, behind one. Query 3: partner at 0, behind
    # one and level with one.
    assert partner_ranks(queries, gallery)[0].tolist() == [1.0, 2.0, 2.5]


def test_ties_count_half():
    queries, gallery = torch.eye(4), torch.ones(4, 4)
    assert partner_ranks(queries, gallery)[0].tolist() == [2.5] * 4
    # A float rounds; equal rows are level all the same.
    gallery = torch.full((4, 4), 0.1)
    assert partner_ranks(gauss(4, 4), gallery)[0].tolist() == [2.5] * 4


def test_random_embeddings_are_at_chance():
    count = 500
    ranks = partner_ranks(gauss(count, 16), gauss(count, 16, seed=1))[0]
    # The mean of 500 uniform ranks has a deviation of 500/sqrt(12 * 500) = 6.5.
    assert float(ranks.mean()) == pytest.approx((count + 1) / 2, abs=25)
    assert ranks.min() >= 1
    assert ranks.max() <= count


def whole_ranks(queries, gallery):
    """Ranks from the table of all similarities in float64, ties counting half."""
    unit, keys = (F.normalize(rows.double(), dim=1) for rows in (queries, gallery))
    similarity = unit @ keys.T
    own = similarity.diagonal().unsqueeze(1)
    equal = ((similarity - own).abs() <= 1e-9).sum(1) - 1
    return 1 + (similarity > own + 1e-9).sum(1) + equal / 2


def near_ties(count, width):
    """Pairs, a third of them twins, and a third closer to others' partners than float32 can tell."""
    one, other = gauss(count, width), gauss(count, width, seed=1)
    third = count // 3
    other[third : 2 * third] = other[:third]
    other[2 * third : 3 * third] = other[:third] * (1 + 1e-7) + 1e-8
    return one, other


@pytest.mark.parametrize("block", [8, 16, 40, 1024])
@pytest.mark.parametrize("sparse", [1, 64, 10**9], ids=["pairs", "both", "blocks"])
def test_ranks_by_blocks_are_those_of_the_whole_table(monkeypatch, block, sparse):
    monkeypatch.setattr(monitors, "BLOCK", block)
    monkeypatch.setattr(monitors, "SPARSE", sparse)
    one, other = near_ties(46, 5)
    there, back = partner_ranks(one, other)
    assert torch.equal(there, whole_ranks(one, other))
    assert torch.equal(back, whole_ranks(other, one))
    # Twins are level with one another, and with nothing else.
    assert (there[:15] % 1 == 0.5).any()


def test_ranks_are_as_exact_as_float64():
    """Similarities that float32 takes for equal, and one that it takes for another order."""
    own, nearer = 0.5, 0.5 + 1e-8
    one = torch.tensor([[1.0, 0], [1.0, 0]], dtype=torch.float64)
    other = torch.tensor([[s, math.sqrt(1 - s * s)] for s in (own, nearer)], dtype=torch.float64)
    assert other[0, 0].float() == other[1, 0].float()
    assert partner_ranks(one, other)[0].tolist() == [2, 1]


def test_ranks_where_the_margin_ends(monkeypatch):
    """A similarity in float32 that is the very bound behind which another is surely ahead."""
    monkeypatch.setattr(monitors, "SPARSE", 1)
    step = 2.0**-24
    one = torch.tensor([[1.0, 0], [1.0, 0]], dtype=torch.float64)
    cosines = [0.5 + 0.49 * step, 0.5 + 11 * step]
    other = torch.tensor([[s, math.sqrt(1 - s * s)] for s in cosines], dtype=torch.float64)
    assert partner_ranks(one, other)[0].tolist() == [2, 1]


@pytest.mark.parametrize("width", [2, 3, 7, 60, 512])
@pytest.mark.parametrize("middle", [0.5, -0.3, 0.001])
def test_ranks_of_similarities_around_the_margin(monkeypatch, width, middle):
    """Partners whose similarities differ by about as much as float32 is off, each way."""
    monkeypatch.setattr(monitors, "SPARSE", 1)
    monkeypatch.setattr(monitors, "BLOCK", 64)
    count, random = 128, np.random.default_rng(width)
    reach = 3 * (min(width, 10 * width**0.5) + 8)
    cosines = torch.from_numpy(middle + random.uniform(-reach, reach, count) * 2.0**-24)
    axes = torch.linalg.qr(torch.from_numpy(random.normal(size=(width, width))))[0]
    one = axes[:1].repeat(count, 1)
    other = cosines[:, None] * axes[:1] + (1 - cosines**2).sqrt()[:, None] * axes[1:2]
    there, back = partner_ranks(one, other)
    assert torch.equal(there, whole_ranks(one, other))
    assert torch.equal(back, whole_ranks(other, one))


def test_the_table_of_all_similarities_is_never_held(monkeypatch):
    """No tensor is larger than a block, or than the embeddings themselves in float64."""
    monkeypatch.setattr(monitors, "BLOCK", 64)
    sizes = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            answer = function(*args, **(kwargs or {}))
            sizes.extend(t.numel() for t in tree_leaves(answer) if isinstance(t, torch.Tensor))
            return answer

    one, other = near_ties(200, 4)
    with Sizes():
        partner_ranks(one, other)
    assert len(sizes) > 100
    assert max(sizes) <= 64 * 16


def test_no_queries_have_no_ranks():
    assert [ranks.tolist() for ranks in partner_ranks(torch.zeros(0, 3), torch.zeros(0, 3))] == [
        [],
        [],
    ]


def lidar_in_numpy(views):
    """As the paper writes it: scatters one by one, and the inverse root of the inner one."""
    rows = np.stack([view.double().numpy() for view in views], axis=1)
    count, each, width = rows.shape
    grand = rows.reshape(-1, width).mean(0)
    between, within = np.zeros((width, width)), 1e-4 * np.eye(width)
    for image in rows:
        mean = image.mean(0)
        between += np.outer(mean - grand, mean - grand) / count
        for view in image:
            within += np.outer(view - mean, view - mean) / (count * each)
    values, axes = np.linalg.eigh(within)
    root = axes @ np.diag(values**-0.5) @ axes.T
    values = np.linalg.eigvalsh(root @ between @ root)
    shares = values / np.abs(values).sum() + 1e-7
    return float(np.exp(-(shares * np.log(shares)).sum()))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_lidar_is_that_of_the_paper(count):
    images = gauss(40, 6) * torch.tensor([5.0, 3.0, 2.0, 1.0, 0.5, 0.1])
    views = [images + 0.3 * gauss(40, 6, seed) for seed in range(1, count + 1)]
    assert lidar(views) == pytest.approx(lidar_in_numpy(views), rel=1e-4)


@pytest.mark.parametrize("width", [30, 300])
def test_lidar_counts_what_tells_images_apart(width):
    """Four directions tell images apart, and noise is in all; RankMe counts the noise as well."""
    images = gauss(64, 4) @ orthonormal(4, width)
    views = [10 * images + gauss(64, width, seed) for seed in (1, 2)]
    assert 3 < lidar(views) < 8
    assert rankme(views[0]) > 12


def test_lidar_of_few_views_is_of_their_first_components():
    images, width = gauss(24, 5), 100
    basis = orthonormal(5, width)
    views = [(images + 0.2 * gauss(24, 5, seed)) @ basis for seed in (1, 2)]
    # Twelve components hold all five dimensions, so that the others add nothing.
    assert lidar(views) == pytest.approx(
        lidar_in_numpy([view @ basis.T for view in views]), rel=1e-3
    )


def test_lidar_without_a_number():
    assert math.isnan(lidar([gauss(1, 4), gauss(1, 4)]))
    assert math.isnan(lidar([gauss(8, 4)]))
    assert math.isnan(lidar([gauss(8, 4), math.nan * gauss(8, 4)]))
    assert lidar([torch.ones(8, 4)] * 2) == pytest.approx(1, abs=0.01)

"""The agreement of pseudo-labels, by hand and by its closed form."""

import math
import warnings

import pytest
import torch

from sm3kit.training.monitoring import nmi
from sm3kit.training.progress import _signs


def names(count, k, seed=0):
    return torch.randint(k, (count,), generator=torch.Generator().manual_seed(seed))


def entropy(*counts):
    return -sum(c / sum(counts) * math.log(c / sum(counts)) for c in counts if c)


def test_mutual_information_by_hand():
    # Sizes 4 and 2, sizes 3 and 3, and 3, 1, 0, 2 rows in both: entropies of 0.636514, 0.693147
    # and 1.011404 nats, and twice 0.318257 shared over 1.329661.
    one, other = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([0, 0, 0, 1, 1, 1])
    both = entropy(4, 2) + entropy(3, 3)
    assert nmi(one, other) == pytest.approx(2 * (both - entropy(3, 1, 2)) / both, abs=1e-12)
    assert nmi(one, other) == pytest.approx(0.478704, abs=1e-6)


@pytest.mark.parametrize(("first", "second"), [(2, 2), (3, 5), (8, 3), (1, 4), (40, 40)])
@pytest.mark.parametrize("seed", range(3))
def test_mutual_information_is_its_closed_form(first, second, seed):
    one, other = names(60, first, seed), names(60, second, seed + 100)
    other = torch.where(names(60, 2, seed + 200) == 1, one, other)
    sizes = [torch.bincount(each).tolist() for each in (one, other, one * 40 + other)]
    mine, yours, joint = (entropy(*each) for each in sizes)
    expected = 2 * (mine + yours - joint) / (mine + yours)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # As many clusters as rows are no reason to warn.
        assert nmi(one, other) == pytest.approx(expected, abs=1e-9)
    assert nmi(other, one) == pytest.approx(expected, abs=1e-9)


def test_mutual_information_of_equal_and_of_independent_partitions():
    one = torch.tensor([0, 0, 1, 1])
    assert nmi(one, 1 - one) == 1
    assert nmi(one, torch.tensor([0, 1, 0, 1])) == pytest.approx(0)
    same = torch.zeros(4, dtype=torch.int64)
    assert nmi(same, same) == 1
    assert nmi(same, one) == pytest.approx(0)
    assert nmi(torch.arange(60), torch.arange(60)) == pytest.approx(1)
    assert all(nmi(many, many) <= 1 for many in (names(97, k, k) for k in range(2, 60)))


def test_rows_without_a_cluster_are_left_out():
    one, other = names(50, 3), names(50, 4, seed=1)
    known = nmi(one, other)
    padded = torch.cat([one, torch.tensor([-1, 2, -1])])
    longer = torch.cat([other, torch.tensor([3, -1, -1])])
    assert nmi(padded, longer) == known
    assert math.isnan(nmi(torch.tensor([-1]), torch.tensor([0])))
    assert math.isnan(nmi(one[:0], one[:0]))


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"rank/a->b": 3, "rank/b->a": 4, "pairs/a->b": 20, "pairs/b->a": 20}, "rank 3.5 of 20"),
        ({"rank/a->b": 3, "rank/a->c": 6, "pairs/a->b": 20, "pairs/a->c": 12}, "rank 4.5 of 12 to 20"),
        ({"rank/a->b": 9, "rank/a->b*": 2, "pairs/a->b": 7}, "rank 2.0 of 7"),
        ({"rank/a->b": 9}, "rank 9.0 of 8"),
    ],
    ids=["equal", "unequal", "projection", "older"],
)  # fmt: skip
def test_the_line_of_an_epoch_says_of_how_many_pairs_a_rank_is(row, text):
    assert _signs({**row, "rank/of": 8}) == [text]

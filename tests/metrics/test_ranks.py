"""Ranks of partners, and galleries without an image twice."""

import math

import numpy as np
import pytest

from sm3kit.core.errors import DataError
from sm3kit.metrics.ranks import first_of_each, is_by_chance, rank_summary


def test_ranks_by_hand():
    """A tie of two at the top is at 1.5, which is not the first place."""
    assert rank_summary(np.array([1, 1.5, 5, 5.5, 7, 1])) == pytest.approx(
        {
            "mean_rank": 3.5,
            "median_rank": 3.25,
            "acc@1": 2 / 6,
            "acc@5": 4 / 6,
            "n": 6,
            "chance": 3.5,
        }
    )


def test_partners_that_all_find_each_other():
    found = rank_summary(np.ones(413))
    assert (found["mean_rank"], found["median_rank"], found["acc@1"]) == (1, 1, 1)
    assert found["chance"] == 207


def test_a_collapsed_space_is_at_chance():
    found = rank_summary(np.full(100, 50.5))
    assert found["mean_rank"] == found["median_rank"] == found["chance"]
    assert found["acc@1"] == found["acc@5"] == 0


@pytest.mark.filterwarnings("error")
def test_no_rank_at_all():
    found = rank_summary(np.array([]))
    assert found.pop("n") == 0
    assert all(math.isnan(value) for value in found.values())


def test_studies_that_share_an_image_with_an_earlier_one_go():
    studies = [["a", "b"], ["c", "d"], ["b", "e"], ["f", "f"], ["e", "g"], [], ["h"]]
    assert first_of_each(studies) == [0, 1, 3, 5, 6]


def test_no_image_is_left_twice():
    rng = np.random.default_rng(0)
    studies = [[str(key) for key in rng.integers(60, size=2)] for _ in range(50)]
    kept = [set(studies[index]) for index in first_of_each(studies)]
    assert sum(map(len, kept)) == len(set().union(*kept))
    assert first_of_each([]) == []


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.5, -1])
def test_what_is_no_rank_is_refused(wrong):
    with pytest.raises(DataError) as caught:
        rank_summary(np.array([1, wrong, 3]))
    assert str(caught.value) == (
        "Ranks count from 1, and 1 of 3 are NaN, infinite or below it. Rank finite embeddings."
    )


def test_what_is_by_chance():
    """Of 413 pairs the mean rank is 207 +- 1.96 * 5.87 by chance; acc@5 is 1.2 +- 1.1 %."""
    assert is_by_chance("mean_rank", 207, 413)
    assert is_by_chance("mean_rank", 195.6, 413)
    assert not is_by_chance("mean_rank", 195.4, 413)
    assert is_by_chance("acc@5", 0.0226, 413)
    assert not is_by_chance("acc@5", 0.0227, 413)
    assert is_by_chance("acc@5", 1.0, 3)


def test_chance_holds_what_it_says():
    """Of random rankings few more than 2.5 % are better than chance."""
    rng = np.random.default_rng(0)
    draws = [rank_summary(rng.integers(1, 51, 50).astype(float)) for _ in range(4000)]
    better = np.mean([not is_by_chance("mean_rank", draw["mean_rank"], 50) for draw in draws])
    assert 0.015 < better < 0.035

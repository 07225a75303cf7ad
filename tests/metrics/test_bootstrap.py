"""Draws of whole groups and the intervals that come from them."""

import numpy as np
import pytest

from sm3kit.core.errors import OptionError
from sm3kit.metrics import bootstrap
from sm3kit.metrics.agreement import LabelClusters, summarise_agreement
from sm3kit.metrics.bootstrap import case_weights, interval, share_above_zero, weightings
from sm3kit.metrics.predictions import LabelScores, Predictions
from sm3kit.metrics.summary import summarise

NAMES = np.array([f"case {number}" for number in range(40)])


def test_each_resample_draws_as_many_groups_as_there_are():
    weights = case_weights(NAMES, 500, seed=0)
    assert weights.shape == (500, 40)
    assert (weights.sum(1) == 40).all()
    # A case is left out of a resample with probability (1 - 1/40)^40 = 0.363; 20000 looks.
    assert (weights == 0).mean() == pytest.approx((1 - 1 / 40) ** 40, abs=0.02)


def test_a_group_comes_and_goes_as_a_whole():
    groups = np.array(["b", "a", "b", "c", "b", "a"])
    weights = case_weights(groups, 200, seed=1)
    for name in "abc":
        members = weights[:, groups == name]
        assert (members == members[:, :1]).all()
    first_of_each = weights[:, [1, 0, 3]]
    assert (first_of_each.sum(1) == 3).all()


def test_the_same_seed_draws_the_same_whatever_the_order():
    order = np.random.default_rng(0).permutation(len(NAMES))
    weights = case_weights(NAMES, 50, seed=3)
    assert np.array_equal(case_weights(NAMES, 50, seed=3), weights)
    assert np.array_equal(case_weights(NAMES[order], 50, seed=3), weights[:, order])
    assert not np.array_equal(case_weights(NAMES, 50, seed=4), weights)


def test_no_resample_and_no_case():
    assert case_weights(NAMES, 0, seed=0).shape == (0, 40)
    assert case_weights(NAMES[:0], 3, seed=0).shape == (3, 0)


def test_less_than_no_resample_is_refused():
    with pytest.raises(OptionError) as caught:
        case_weights(NAMES, -1, seed=0)
    assert str(caught.value) == (
        "resamples=-1 must be 0 or more. Try 2000; 0 leaves out the intervals."
    )


def test_interval_by_hand():
    """0 to 100: the quantiles 0.025 and 0.975 lie at 2.5 and 97.5."""
    assert interval(np.arange(101.0)) == pytest.approx((2.5, 97.5), abs=1e-12)
    assert interval(np.arange(101.0), level=0.5) == pytest.approx((25, 75), abs=1e-12)


def test_undefined_resamples_are_left_out():
    values = np.concatenate([np.arange(101.0), np.full(101, np.nan)])
    assert interval(values) == pytest.approx((2.5, 97.5), abs=1e-12)
    assert share_above_zero(values - 50) == pytest.approx(50 / 101, abs=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("values", [[], [np.nan] * 4, [1.0, np.nan, np.nan]])
def test_too_few_defined_resamples_give_no_interval(values):
    assert np.isnan(interval(np.array(values))).all()
    assert np.isnan(share_above_zero(np.array(values)))


def test_share_above_zero_by_hand():
    assert share_above_zero(np.array([1.0, 2.0, 0.0, -1.0])) == 0.5


def test_rounding_is_no_difference():
    assert share_above_zero(np.full(4, 1e-16)) == 0


def test_the_interval_of_a_mean_is_that_of_the_central_limit():
    """Mean of 400 normal values: 1.96 / sqrt(400) on both sides, within a tenth."""
    values = np.random.default_rng(0).normal(size=400)
    weights = case_weights(np.arange(400), 4000, seed=0)
    low, high = interval(weights @ values / 400)
    half = 1.96 * values.std() / 20
    assert (values.mean() - low, high - values.mean()) == pytest.approx((half, half), rel=0.1)


@pytest.mark.parametrize("most", [1, 13, 40, 80, 41 * 40, 10**9])
def test_blocks_of_weights_are_those_of_one_table(monkeypatch, most):
    """However few fit into memory: all cases first, then the same draws, in as large parts as may be."""
    whole = case_weights(NAMES[::-1], 41, seed=5)
    monkeypatch.setattr(bootstrap, "MOST", most)
    blocks = list(weightings(NAMES[::-1], 41, seed=5))
    assert (blocks[0][0] == 1).all()
    assert np.array_equal(np.concatenate(blocks)[1:], whole)
    assert len(blocks) == -(-41 // min(41, max(1, most // 40)))
    assert [block.shape for block in weightings(NAMES, 0, seed=5)] == [(1, 40)]


def test_intervals_do_not_depend_on_how_many_weights_fit_into_memory(monkeypatch):
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 3, 60)
    scores = rng.random((60, 3))
    names = np.array([f"p{number // 2}" for number in range(60)])
    labels = {
        "one": LabelScores(("a", "b", "c"), "b", scores, truth),
        "mean": LabelScores(("a", "b", "c"), "", scores[:, ::-1], truth),
    }
    cases = Predictions(labels, np.arange(60).astype(str), names)
    clusters = {"one": LabelClusters(("a", "b", "c"), 2, truth, rng.integers(2, size=60))}
    wanted = summarise(cases, 50), summarise_agreement(clusters, names, 50)
    monkeypatch.setattr(bootstrap, "MOST", 7 * 60)
    assert (summarise(cases, 50), summarise_agreement(clusters, names, 50)) == wanted

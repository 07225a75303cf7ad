"""Agreement of clusters with classes, and its intervals."""

import itertools
import time

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from sm3kit.metrics.agreement import (
    LabelClusters,
    accuracy,
    ari,
    nmi,
    summarise_agreement,
)


def drawn(count, classes, clusters, seed, *, alike=0.5):
    """A label, and clusters that are its classes for some share of the cases."""
    numbers = np.random.default_rng(seed)
    truth = numbers.choice(classes, count, p=np.arange(1, classes + 1) / sum(range(classes + 1)))
    other = numbers.integers(clusters, size=count)
    cluster = np.where(numbers.random(count) < alike, truth % clusters, other)
    return LabelClusters([f"c{n}" for n in range(classes)], clusters, truth, cluster)


def table_of(label):
    return label.tables(np.ones((1, len(label.truth))))


def test_four_cases_by_hand():
    """Classes AABB in clusters 0, 1, 1, 1.

    Entropies ln 2 and ln 4 - 0.75 ln 3, together with (1/4, 1/4, 1/2) 1.5 ln 2. Pairs: one in both,
    two and three of six by classes and by clusters: (1 - 1) / (2.5 - 1) = 0. Three cases are right.
    """
    label = LabelClusters(["A", "B"], 2, np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    own, other, both = np.log(2), np.log(4) - 0.75 * np.log(3), 1.5 * np.log(2)
    table = table_of(label)
    assert nmi(table)[0] == pytest.approx(2 * (own + other - both) / (own + other))
    assert ari(table)[0] == pytest.approx(0)
    assert accuracy(table)[0] == pytest.approx(0.75)


@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (5, 5), (4, 2), (2, 6)])
@pytest.mark.parametrize("seed", range(3))
def test_scikit_learn_says_the_same(shape, seed):
    label = drawn(150, *shape, seed)
    table = table_of(label)
    assert nmi(table)[0] == pytest.approx(normalized_mutual_info_score(label.truth, label.cluster))
    assert ari(table)[0] == pytest.approx(adjusted_rand_score(label.truth, label.cluster))


@pytest.mark.parametrize("shape", [(2, 2), (4, 3), (3, 5)])
def test_the_accuracy_is_the_best_of_all_matchings(shape):
    """A second way: every way to give each class a cluster of its own, or none."""
    table = table_of(drawn(80, *shape, 1))[0]
    wide = np.pad(table, ((0, 0), (0, shape[0])))  # Clusters without cases stand for none.
    best = max(
        sum(wide[n, place] for n, place in enumerate(places))
        for places in itertools.permutations(range(wide.shape[1]), shape[0])
    )
    assert accuracy(table[None])[0] == pytest.approx(best / 80)


def test_equal_partitions_single_clusters_and_other_numbers():
    label = drawn(60, 3, 3, 0, alike=1.0)
    turned = LabelClusters(label.classes, 3, label.truth, (label.cluster + 1) % 3)
    for same in (label, turned):
        for metric in (nmi, ari, accuracy):
            assert metric(table_of(same))[0] == pytest.approx(1)
    alone = LabelClusters(label.classes, 1, label.truth, np.zeros(60, int))
    assert nmi(table_of(alone))[0] == pytest.approx(0, abs=1e-12)
    assert ari(table_of(alone))[0] == pytest.approx(0, abs=1e-12)
    most = np.bincount(label.truth).max() / 60
    assert accuracy(table_of(alone))[0] == pytest.approx(most)
    summary = summarise_agreement({"a": alone}, np.arange(60), 0)["labels"]["a"]
    assert summary["largest_class"] == pytest.approx(most)


def test_a_resample_is_a_list_with_repetitions():
    """A second way: scikit-learn on the cases of each resample, with those drawn twice in it twice."""
    from sm3kit.metrics.bootstrap import case_weights, interval

    label = drawn(60, 3, 3, 2)
    groups = np.arange(60) // 2
    scores = []
    for weights in case_weights(groups, 50, 0):
        places = np.repeat(np.arange(60), weights)
        scores.append(normalized_mutual_info_score(label.truth[places], label.cluster[places]))
    summary = summarise_agreement({"a": label}, groups, 50)
    assert summary["labels"]["a"]["intervals"]["nmi"] == pytest.approx(interval(np.array(scores)))
    assert summary["mean"]["intervals"] == summary["labels"]["a"]["intervals"]


def test_unknown_cases_do_not_count():
    label = drawn(90, 3, 3, 3)
    hidden = np.arange(90) % 3 == 0
    part = LabelClusters(label.classes, 3, np.where(hidden, -1, label.truth), label.cluster)
    rest = LabelClusters(label.classes, 3, label.truth[~hidden], label.cluster[~hidden])
    whole = summarise_agreement({"a": part}, np.arange(90), 0)["labels"]["a"]
    assert whole == summarise_agreement({"a": rest}, np.arange(60), 0)["labels"]["a"]
    assert whole["known"] == 60
    assert [sum(row) for row in whole["counts"].values()] == np.bincount(rest.truth).tolist()


def test_what_has_no_number_and_what_has_no_interval():
    label = drawn(60, 2, 2, 4)
    single = LabelClusters(("x", "y"), 2, np.zeros(60, int), label.cluster)
    rare = LabelClusters(("x", "y"), 2, (np.arange(60) < 4).astype(int), label.cluster)
    nobody = LabelClusters(("x", "y"), 2, np.full(60, -1), label.cluster)
    labels = {"whole": label, "single": single, "nobody": nobody}
    summary = summarise_agreement(labels, np.arange(60), 40)
    rows = summary["labels"]
    for name in ("single", "nobody"):
        assert (rows[name]["nmi"], rows[name]["ari"], rows[name]["accuracy"]) == (None, None, None)
        assert rows[name]["interval_reason"] == "fewer than two classes are known"
    assert rows["nobody"]["largest_class"] is None
    assert summary["mean"]["labels"] == 1
    assert summary["mean"]["nmi"] == pytest.approx(rows["whole"]["nmi"])
    assert summary["mean"]["intervals"]["nmi"][0] is not None

    summary = summarise_agreement({"whole": label, "rare": rare}, np.arange(60), 40)
    row = summary["labels"]["rare"]
    assert row["nmi"] is not None
    assert row["intervals"]["nmi"] == [None, None]
    assert row["interval_reason"] == "fewer than two classes have 5 patients or lesions"
    assert summary["mean"]["interval_reason"] == "it includes rare, without an interval"
    assert summary["mean"]["nmi"] == pytest.approx((rows["whole"]["nmi"] + row["nmi"]) / 2)
    assert (
        summarise_agreement({"whole": label}, np.arange(60), 0)["mean"]["interval_reason"]
        == "no resample was drawn"
    )


def test_two_thousand_resamples_of_eight_labels_take_seconds():
    labels = {f"label{n}": drawn(1000, 5, 5, n) for n in range(8)}
    start = time.perf_counter()
    summarise_agreement(labels, np.arange(1000))
    assert time.perf_counter() - start < 20  # About one on an idle core.

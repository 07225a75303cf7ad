"""What samplers draw, against numbers worked out by hand."""

from collections import Counter

import numpy as np
import pytest
import torch

from sm3kit.core.errors import VariantError
from sm3kit.data.cases import Case
from sm3kit.data.epoch_batches import Draw
from sm3kit.datasets.base import LabelSpec, Study
from sm3kit.samplers.cluster_balanced import ClusterBalanced
from sm3kit.samplers.label_balanced import LabelBalanced
from sm3kit.samplers.shuffle import Shuffle

# Nine of the first class and one of the second; the other label of three classes, partly unknown.
LABELS = np.array(
    [[0, 0], [0, 1], [0, 2], [0, -1], [0, 0], [0, 0], [0, -1], [0, 1], [0, 0], [1, 0]]
)
GROUPS = np.arange(10)
RARE = 9


def order(sampler, labels=LABELS, batch_size=4, seed=0):
    rng = np.random.default_rng(seed)
    return [batch.tolist() for batch in sampler.order(labels, GROUPS, batch_size, rng)]


def test_shuffle_takes_every_study_once():
    batches = order(Shuffle())
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(sum(batches, [])) == list(range(10))


# Balanced by labels


@pytest.mark.parametrize("k", [1, 2, 5])
def test_every_batch_has_k_studies_of_each_class_of_each_label(k):
    batches = order(LabelBalanced(k=k))
    assert len(batches) == -(-10 // (5 * k))
    for batch in batches:
        assert len(batch) == 5 * k, "a size of its own, whatever the batch size"
        for label, classes in ((0, 2), (1, 3)):
            counts = Counter(LABELS[batch, label].tolist())
            assert all(counts[cls] >= k for cls in range(classes))


def test_a_batch_of_derm7pt_has_24_studies():
    """Kawahara et al. 2019: one for each of the 24 classes of the eight labels."""
    classes = (5, 3, 2, 3, 3, 3, 3, 2)
    labels = np.stack([np.arange(413) % count for count in classes], axis=1)
    batches = LabelBalanced().order(labels, np.arange(413), 64, np.random.default_rng(0))
    assert {len(batch) for batch in batches} == {24}
    assert len(batches) == 18 == -(-413 // 24)


def test_all_studies_of_a_class_come_before_any_comes_again():
    """With one label alone, where a study stands for its only class."""
    labels = np.array([[0]] * 7 + [[1]] * 3)
    studies = sum(order(LabelBalanced(), labels), [])
    often = Counter(studies)
    assert sum(often[i] for i in range(7)) == sum(often[i] for i in range(7, 10)) == 5
    assert {often[i] for i in range(7)} == {0, 1}
    assert {often[i] for i in range(7, 10)} == {1, 2}


def test_unknown_labels_are_never_drawn_for_a_label():
    labels = np.array([[0], [1], [-1], [-1], [0], [1]])
    studies = set(sum((sum(order(LabelBalanced(), labels, seed=s), []) for s in range(20)), []))
    assert studies == {0, 1, 4, 5}


def test_a_class_is_at_no_fixed_place_of_a_batch():
    """Several processes take turns in a batch: each must get studies of every class."""
    labels = np.array([[0]] * 9 + [[1]])
    shares = [[batch[0] for batch in order(LabelBalanced(), labels, seed=s)] for s in range(30)]
    first = np.array(shares).ravel() == RARE
    assert 0.3 < first.mean() < 0.7


def test_an_empty_class_is_refused():
    with pytest.raises(VariantError, match="No study has class 1 of label 0, and batches that"):
        order(LabelBalanced(), np.array([[0], [2], [2]]))
    with pytest.raises(VariantError, match="No study has class 0 of label 1"):
        order(LabelBalanced(), np.array([[0, -1], [1, -1]]))
    with pytest.raises(VariantError, match="There are no labels, and batches are to be balanced"):
        order(LabelBalanced(), np.zeros((3, 0), np.int64))


def cases(labels):
    return [
        Case(0, Study(str(i), {}, {}, str(i), "train"), {}, tuple(row), i)
        for i, row in enumerate(labels)
    ]


def test_an_empty_class_is_refused_by_its_name():
    """Also the last one of a label, which labels alone do not show."""
    specs = [LabelSpec("DIAG", ("NEV", "MEL")), LabelSpec("BWV", ("absent", "unsure", "present"))]
    rows = [[0, 0], [1, 1], [-1, -1]]
    wanted = (
        "The sampler draws training studies of every class of every label, and none has BWV "
        "present. Use another --sampler, or leave such classes out of the data."
    )
    with pytest.raises(VariantError) as error:
        Draw.of_cases(LabelBalanced(), cases(rows), specs)
    assert str(error.value) == wanted
    with pytest.raises(VariantError, match="and the data have no labels. Use another"):
        Draw.of_cases(LabelBalanced(), cases([[], []]), [])
    draw = Draw.of_cases(Shuffle(), cases(rows), specs)
    assert draw.labels.tolist() == rows
    assert draw.groups.tolist() == [0, 1, 2]
    assert Draw.of_cases(LabelBalanced(), cases([*rows, [0, 2]]), specs).labels.shape == (4, 2)


# Balanced by clusters


def test_weights_by_hand():
    """Clusters of 3 and 1 for the first pseudo-label, of 2 and 2 for the second."""
    clusters = np.array([[0, 0], [0, 0], [0, 1], [1, 1]])
    raw = np.array([1 / 3 + 1 / 2, 1 / 3 + 1 / 2, 1 / 3 + 1 / 2, 1 + 1 / 2])
    assert np.abs(ClusterBalanced().weigh(clusters) - raw / raw.mean()).max() < 1e-12
    clipped = ClusterBalanced(clip=1.2).weigh(clusters)
    assert np.abs(clipped - [*(raw / raw.mean())[:3], 1.2]).max() < 1e-12
    assert ClusterBalanced().weigh(np.zeros((3, 0), np.int64)).tolist() == [1, 1, 1]


def test_a_study_without_a_cluster_has_the_mean_weight():
    weights = ClusterBalanced().weigh(np.array([[0], [0], [0], [1], [-1]]))
    assert abs(weights[4] - weights[:4].mean()) < 1e-12


def test_clusters_come_equally_often():
    """One study of ten is alone in its cluster: half of all draws are of it."""
    clusters = np.array([[0]] * 9 + [[1]])
    epochs = [order(ClusterBalanced(), clusters, seed=s) for s in range(200)]
    assert {len(batches) for batches in epochs} == {3}
    studies = np.array([sum(batches, []) for batches in epochs])
    assert studies.shape == (200, 10)
    assert abs((studies == RARE).mean() - 0.5) < 0.04
    weights = torch.as_tensor(ClusterBalanced().weigh(clusters))
    generator = torch.Generator().manual_seed(0)
    theirs = torch.utils.data.WeightedRandomSampler(weights, 2000, generator=generator)
    assert abs(np.mean(np.array(list(theirs)) == RARE) - 0.5) < 0.04
    clipped = [sum(order(ClusterBalanced(clip=2.0), clusters, seed=s), []) for s in range(200)]
    assert abs((np.array(clipped) == RARE).mean() - 2 / (2 + 9 * 10 / 18)) < 0.04

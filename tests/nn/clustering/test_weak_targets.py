"""Weak labels as targets: softmax of what is known, classes for clusters, mixtures and seeds."""

import math
from itertools import permutations

import pytest
import torch

from sm3kit.nn.clustering.weak_targets import WeakTargets, fingerprint

NAN = math.nan
CLASSES = ("a", "b", "c")


def gauss(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weak(scores, temperature=1.0, share=0.3):
    rows = torch.tensor(scores, dtype=torch.float64)
    return WeakTargets.of(CLASSES[: rows.shape[1]], rows, temperature, share)


def test_likely_classes_by_hand():
    """Scores log 3 and 0 are 3 : 1; at half the temperature 9 : 1; what is unknown is no class."""
    scores = [[math.log(3), 0.0, NAN], [NAN, NAN, NAN], [NAN, 5.0, NAN], [1.0, 1.0, 0.0]]
    own = weak(scores)
    torch.testing.assert_close(own.likely[0], torch.tensor([0.75, 0.25, 0.0]))
    assert own.likely[1].tolist() == [0, 0, 0]
    assert own.likely[2].tolist() == [0, 1, 0]
    assert own.best.tolist() == [0, -1, 1, -1]
    assert own.covered.tolist() == [True, False, True, True]
    torch.testing.assert_close(weak(scores, 0.5).likely[0], torch.tensor([0.9, 0.1, 0.0]))


def test_huge_scores_stay_finite():
    own = weak([[1e6, -1e6, 0.0], [-1e6, -1e6, -1e6]], temperature=1e-6)
    assert own.likely.isfinite().all()
    assert own.likely[0].tolist() == [1, 0, 0]
    torch.testing.assert_close(own.likely[1], torch.full((3,), 1 / 3))


@pytest.mark.parametrize("seed", range(5))
def test_clusters_take_the_classes_that_they_are_most_like(seed):
    """Of all ways to name three clusters, the one of the largest sum; looked for one by one."""
    draw = torch.Generator().manual_seed(seed)
    own = WeakTargets.of(CLASSES, gauss(40, 3, seed=seed), 1.0, 0.3)
    assignments = torch.randint(-1, 3, (40,), generator=draw)

    def agreement(names):
        taken = assignments >= 0
        named = torch.tensor(names)[assignments[taken]]
        return float(own.likely[taken].gather(1, named[:, None]).sum())

    best = max(permutations(range(3)), key=agreement)
    assert own.class_numbers(assignments).tolist() == list(best)


def test_clusters_without_weak_labels_take_the_free_numbers():
    own = weak([[NAN, NAN, 9.0], [NAN, NAN, NAN], [NAN, NAN, NAN]])
    assert own.class_numbers(torch.tensor([0, 1, 2]))[0] == 2
    nothing = own.class_numbers(torch.tensor([-1, -1, -1]))
    assert sorted(nothing.tolist()) == [0, 1, 2]


def test_the_mixture_by_hand():
    """Share 1/4: known rows mix 3 : 1, unknown ones have their cluster, rows left out the scores."""
    own = weak([[0.0, 0.0], [NAN, NAN], [math.log(3), 0.0], [NAN, NAN]], share=0.25)
    mixed = own.mixed(torch.tensor([0, 1, -1, -1]), torch.tensor([1.0, 0.5, 1.0, 1.0]))
    expected = [[0.875, 0.125], [0.0, 0.5], [0.1875, 0.0625], [0.0, 0.0]]
    torch.testing.assert_close(mixed, torch.tensor(expected))


def test_weights_are_of_the_clusters_alone():
    own = weak([[0.0, 0.0]], share=0.4)
    mixed = own.mixed(torch.tensor([1]), torch.tensor([0.5]))
    torch.testing.assert_close(mixed, torch.tensor([[0.2, 0.2 + 0.6 * 0.5]]))


@pytest.mark.parametrize(("share", "expected"), [(0.0, [1.0, 0.0]), (1.0, [0.25, 0.75])])
def test_the_ends_of_the_share(share, expected):
    own = weak([[0.0, math.log(3)], [NAN, NAN]], share=share)
    mixed = own.mixed(torch.tensor([0, 0]), torch.ones(2))
    torch.testing.assert_close(mixed[0], torch.tensor(expected))
    assert mixed[1].tolist() == [1, 0]


def test_clusters_start_at_the_mean_of_their_seeds():
    rows = torch.arange(10.0).reshape(5, 2)
    own = weak([[3.0, 0.0], [2.0, 0.0], [1.0, 0.0], [0.0, 4.0], [NAN, NAN]])
    assert own.chosen_seeds(2).tolist() == [0, 0, -1, 1, -1]
    start = own.start(rows, 2)
    torch.testing.assert_close(start, torch.stack([rows[:2].mean(0), rows[3]]))


def test_a_class_that_is_best_nowhere_is_seeded_by_what_is_known_of_it():
    own = weak([[3.0, 0.0, NAN], [3.0, 1.0, NAN], [3.0, 2.0, NAN], [3.0, NAN, NAN]])
    assert own.chosen_seeds(1).tolist() == [-1, -1, 1, 0]
    start = own.start(gauss(4, 6).float(), 1)
    assert start[:2].isfinite().all()
    assert start[2].isnan().all()


def test_true_labels_of_few_studies_are_their_own_seeds():
    own = weak([[1.0, NAN], [NAN, NAN], [NAN, 1.0], [NAN, 1.0]])
    assert own.chosen_seeds(5).tolist() == [0, -1, 1, 1]


def test_other_weak_labels_have_another_fingerprint():
    first = {"x": weak([[0.0, 1.0]])}
    assert fingerprint(first) == fingerprint({"x": weak([[0.0, 1.0]])})
    others = [weak([[0.0, 2.0]]), weak([[0.0, 1.0]], share=0.5), weak([[1.0, 0.0]])]
    assert len({fingerprint(first), *(fingerprint({"x": own}) for own in others)}) == 4
    assert fingerprint({"y": first["x"]}) != fingerprint(first)

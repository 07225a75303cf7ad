"""The formulas of distillation against numbers by hand, and against a second way in plain torch."""

import math

import pytest
import torch
from torch.nn import functional as F

from sm3kit.nn import distillation

DOUBLE = torch.float64
CLOSE = {"rtol": 0, "atol": 1e-6}
# A right-angled triangle with the sides 3, 4 and 5.
TRIANGLE = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]], dtype=DOUBLE)


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=DOUBLE)


def near(value, wanted):
    torch.testing.assert_close(value, torch.as_tensor(wanted, dtype=value.dtype), **CLOSE)


# Class probabilities


def test_soft_targets_are_kl_div_times_the_squared_temperature():
    student, teacher = drawn(5, 3), drawn(5, 3, seed=1)
    wanted = 16 * F.kl_div(
        (student / 4).log_softmax(1), (teacher / 4).softmax(1), reduction="batchmean"
    )
    near(distillation.soft_targets(student, teacher, 4.0), wanted)


def test_soft_targets_by_hand():
    """Probabilities 1/4 and 3/4 against 1/2 and 1/2."""
    teacher = torch.tensor([[0.0, math.log(3.0)]], dtype=DOUBLE) * 2
    student = torch.zeros(1, 2, dtype=DOUBLE)
    wanted = 4 * (0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5))
    near(distillation.soft_targets(student, teacher, 2.0), wanted)
    near(distillation.soft_targets(teacher, teacher, 2.0), 0.0)


def test_cross_entropy_is_torchs_with_inverse_frequencies():
    logits, labels = drawn(6, 3), torch.tensor([0, 1, 2, -1, 0, 2])
    weights = torch.tensor([8 / 5, 8 / 2, 8 / 1], dtype=DOUBLE)
    wanted = F.cross_entropy(logits, labels, weight=weights, ignore_index=-1)
    near(distillation.weighted_cross_entropy(logits, labels, [5, 2, 1]), wanted)


def test_cross_entropy_of_unknown_labels_is_zero_with_a_gradient():
    logits = drawn(2, 3).requires_grad_()
    loss = distillation.weighted_cross_entropy(logits, torch.tensor([-1, -1]), [3, 0, 1])
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


# Matching turned views


def test_similarities_are_cosines_view_by_view():
    views, anchors = [drawn(3, 4, seed=s) for s in (1, 2)], drawn(3, 4)
    found = distillation.similarities(views, anchors, None)
    for row, one in enumerate(torch.cat(views)):
        for column, other in enumerate(anchors):
            near(found[row, column], F.cosine_similarity(one, other, dim=0))
    assert distillation.own_anchors(found).tolist() == [0, 1, 2, 0, 1, 2]


def test_other_images_of_a_patient_are_not_told_apart():
    views, anchors = [drawn(3, 4, seed=1)], drawn(3, 4)
    plain = distillation.similarities(views, anchors, None)
    masked = distillation.similarities(views, anchors, torch.tensor([7, 7, 8]))
    assert masked[0, 1] == masked[1, 0] == distillation.MASKED
    keep = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=torch.bool)
    assert torch.equal(masked[keep], plain[keep])
    assert torch.equal(distillation.similarities(views, anchors, torch.arange(3)), plain)


def test_all_right_rows_and_the_best_of_the_wrong_ones_are_kept():
    # Own anchors are on the diagonal: row 0 is right, row 1 second, rows 2 and 3 third.
    cosines = torch.tensor(
        [
            [0.9, 0.1, 0.0, 0.0],
            [0.5, 0.4, 0.1, 0.0],
            [0.6, 0.5, 0.4, 0.0],
            [0.6, 0.5, 0.0, 0.3],
        ]
    )
    kept = {
        share: distillation.rows_to_learn(cosines, share).nonzero()[:, 0].tolist()
        for share in (0.0, 0.34, 0.67, 0.75, 1.0)
    }
    # Of three wrong rows, 0.75 keeps two; of the equal ranks the one with the larger cosine.
    assert kept == {0.0: [0], 0.34: [0, 1], 0.67: [0, 1, 2], 0.75: [0, 1, 2], 1.0: [0, 1, 2, 3]}


# Relations between images


def test_distances_of_a_triangle():
    """The sides 3, 4 and 5 in units of their mean, 4."""
    wanted = [[0, 0.75, 1.0], [0.75, 0, 1.25], [1.0, 1.25, 0]]
    near(distillation.relative_distances(TRIANGLE), wanted)


def test_distances_are_cdist_over_its_mean():
    points = 50 + drawn(7, 3)
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    near(distillation.relative_distances(points), distances / distances[distances > 0].mean())


def test_angles_of_a_triangle():
    """Cosines 0 at the right angle, 3/5 and 4/5 at the others, 1 of a side with itself."""
    found = distillation.angles(TRIANGLE)
    wanted = torch.zeros(3, 3, 3, dtype=DOUBLE)
    for corner, one, other, cosine in ((0, 1, 2, 0.0), (1, 0, 2, 3 / 5), (2, 0, 1, 4 / 5)):
        wanted[corner, one, one] = wanted[corner, other, other] = 1.0
        wanted[corner, one, other] = wanted[corner, other, one] = cosine
    near(found, wanted)


def test_relations_of_equal_points_have_finite_gradients():
    points = torch.ones(4, 3).requires_grad_()
    other = drawn(4, 3).float()
    loss = F.smooth_l1_loss(distillation.angles(points), distillation.angles(other))
    loss += F.smooth_l1_loss(
        distillation.relative_distances(points), distillation.relative_distances(other)
    )
    loss.backward()
    assert loss.isfinite()
    assert points.grad.isfinite().all()


# Gram matrices


def test_gram_matrices_by_hand():
    """One image, two channels, one pixel: G of (1, 2) is [[1, 2], [2, 4]] / 2, of (1, 0) [[1, 0], [0, 0]] / 2."""
    student = torch.tensor([1.0, 2.0], dtype=DOUBLE).view(1, 2, 1, 1)
    teacher = torch.tensor([1.0, 0.0], dtype=DOUBLE).view(1, 2, 1, 1)
    # The squared differences are 0, 1, 1 and 4, their mean 1.5.
    near(distillation.gram_difference(student, teacher), math.sqrt(1.5))


@pytest.mark.parametrize("sizes", [((4, 4), (4, 4)), ((2, 3), (5, 1))])
def test_gram_matrices_the_long_way(sizes):
    student, teacher = drawn(3, 6, *sizes[0]), drawn(3, 6, *sizes[1], seed=1)

    def gram(maps):
        flat = maps.flatten(2)
        return flat @ flat.transpose(1, 2) / maps[0].numel()

    wanted = F.mse_loss(gram(student), gram(teacher)).sqrt()
    near(distillation.gram_difference(student, teacher), wanted)


def test_gram_matrices_of_equal_maps_have_a_finite_gradient():
    maps = drawn(2, 3, 2, 2).float()
    student = maps.clone().requires_grad_()
    loss = distillation.gram_difference(student, maps)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert student.grad.isfinite().all()

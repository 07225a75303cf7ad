"""Objectives without masks of their own: heads, views, options."""

import pytest
import torch
from lightly.loss import BarlowTwinsLoss, DCLLoss, VICRegLoss
from lightly.loss.dcl_loss import DCLWLoss

from sm3kit.objectives.barlow import BarlowTwins
from sm3kit.objectives.dcl import DCL
from sm3kit.objectives.vicreg import VICReg

CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # float32
WIDTH = 6


def views(count=2, rows=8):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(rows, WIDTH, generator=generator) for _ in range(count)]


def in_pairs(loss, rows):
    """The mean over the pairs of three views."""
    one, two, three = rows
    return (loss(one, two) + loss(one, three) + loss(two, three)) / 3


@pytest.mark.parametrize(
    ("objective", "theirs", "options"),
    [
        (VICReg, VICRegLoss(2, 3, 5), {"invariance": 2, "variance": 3, "covariance": 5}),
        (VICReg, VICRegLoss(), {}),
        (BarlowTwins, BarlowTwinsLoss(0.5), {"redundancy": 0.5}),
        (BarlowTwins, BarlowTwinsLoss(), {}),
    ],
)
def test_projections_of_each_view_go_to_the_loss_of_lightly(objective, theirs, options):
    made = objective(WIDTH, projection=4, **options)
    given = views(3)
    expected = in_pairs(theirs, [made.projector(view) for view in given])
    torch.testing.assert_close(made(given)["loss"], expected, **CLOSE)


@pytest.mark.parametrize("objective", [VICReg, BarlowTwins])
def test_the_projector_is_as_published(objective):
    shapes = [tuple(x.shape) for x in objective(WIDTH, projection=4).parameters() if x.ndim == 2]
    assert shapes == [(4, 6), (4, 4), (4, 4)]
    assert objective(WIDTH, projection=4, hidden=9).projector.layers[0].out_features == 9
    made = objective(WIDTH, projection=4)
    made(views())
    assert made.projector.layers[1].num_batches_tracked == 2  # Each view is a batch of its own.


@pytest.mark.filterwarnings("ignore:To copy construct")
@pytest.mark.parametrize("head", ["sm3", "simclr"])
def test_dcl_is_the_loss_of_lightly_on_its_projections(head):
    made = DCL(WIDTH, projection=4, head=head)
    given = views(3)
    projected = made.head(torch.cat(given)).chunk(3)
    torch.testing.assert_close(made(given)["loss"], in_pairs(DCLLoss(0.1), projected), **CLOSE)
    made.sigma = 0.5
    torch.testing.assert_close(made(given)["loss"], in_pairs(DCLWLoss(), projected), **CLOSE)


def test_dcl_takes_images_of_one_patient_for_no_negatives():
    made, given = DCL(WIDTH).eval(), views()
    plain = made(given)["loss"]
    group = torch.tensor([0, 0, 1, 2, 3, 4, 5, 6])
    assert made(given, group=group)["loss"] < plain
    torch.testing.assert_close(made(given, group=torch.arange(8))["loss"], plain, **CLOSE)
    made.mask_groups = False
    assert torch.equal(made(given, group=group)["loss"], plain)


def test_dcl_in_shards_compares_within_halves():
    made, given = DCL(WIDTH).eval(), views()
    halves = [made([view[rows] for view in given])["loss"] for rows in (slice(4), slice(4, 8))]
    made.shards = 2
    torch.testing.assert_close(made(given)["loss"], sum(halves) / 2, **CLOSE)

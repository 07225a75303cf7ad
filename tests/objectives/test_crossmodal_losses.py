"""Other losses than NT-Xent between the streams of a fusion."""

import math

import pytest
import torch
from lightly.loss import BarlowTwinsLoss, VICRegLoss
from torch.nn import functional as F

from sm3kit.core.errors import VariantError
from sm3kit.objectives.crossmodal import CrossModal
from sm3kit.testing import check_objective

CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # float32
NAMES = ("clinic", "derm", "sono")
LOSSES = ["ntx", "vicreg", "barlow", "clip"]


def streams(count=2, rows=6, views=2):
    generator = torch.Generator().manual_seed(0)
    return {
        name: [torch.randn(rows, 5, generator=generator) for _ in range(views)]
        for name in NAMES[:count]
    }


def clip(a, b, temperature=0.1):
    logits = F.normalize(a, dim=1) @ F.normalize(b, dim=1).T / temperature
    labels = torch.arange(len(a))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


THEIRS = {"vicreg": VICRegLoss(), "barlow": BarlowTwinsLoss(), "clip": clip}


@pytest.mark.parametrize("loss", THEIRS)
@pytest.mark.parametrize("pairing", ["aligned", "crossed", "all"])
def test_pairs_of_views_go_to_the_loss(loss, pairing):
    given = streams()
    (c1, c2), (d1, d2) = given["clinic"], given["derm"]
    pairs = {"aligned": [(c1, d1), (c2, d2)], "crossed": [(c1, d2), (c2, d1)]}
    pairs["all"] = pairs["aligned"] + pairs["crossed"]
    expected = torch.stack([THEIRS[loss](a, b) for a, b in pairs[pairing]]).mean()
    found = CrossModal(0, loss=loss, pairing=pairing)(given)
    torch.testing.assert_close(found["clinic-derm"], expected, **CLOSE)


@pytest.mark.parametrize("loss", THEIRS)
def test_only_studies_with_both_images_count(loss):
    given = streams(3, rows=9)
    has = {
        name: torch.rand(9, generator=torch.Generator().manual_seed(n)) > 0.3
        for n, name in enumerate(NAMES)
    }
    for name, term in CrossModal(0, loss=loss)(given, present=has).items():
        one, other = name.split("-")
        both = has[one] & has[other]
        assert 2 <= both.sum() < 9
        pairs = zip(given[one], given[other], strict=True)
        expected = torch.stack([THEIRS[loss](a[both], b[both]) for a, b in pairs]).mean()
        torch.testing.assert_close(3 * term, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", THEIRS)
def test_one_stream_is_compared_view_with_view(loss):
    given = streams(1)
    expected = THEIRS[loss](*given["clinic"])
    torch.testing.assert_close(CrossModal(0, loss=loss)(given)["clinic"], expected, **CLOSE)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_batch_without_any_pair_is_a_zero_with_gradient(loss):
    given = {name: [view.requires_grad_() for view in views] for name, views in streams(3).items()}
    nowhere = {name: torch.zeros(6, dtype=torch.bool) for name in given}
    total = torch.stack(list(CrossModal(0, loss=loss)(given, present=nowhere).values())).sum()
    total.backward()
    assert float(total.detach()) == 0
    assert all((view.grad == 0).all() for views in given.values() for view in views)


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "vicreg"},
        {"loss": "barlow", "pairing": "all"},
        {"loss": "clip", "learn_temperature": True},
    ],
)
def test_the_laws_hold_for_every_loss(options):
    check_objective(CrossModal, **options)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["vicreg", "barlow", "clip"])
def test_two_processes_are_one_for_every_loss(loss):
    learn = {"learn_temperature": True} if loss == "clip" else {}
    check_objective(CrossModal, processes=True, loss=loss, **learn)


@pytest.mark.parametrize("loss", ["ntx", "clip"])
def test_a_learned_temperature_begins_as_given_and_stops_at_a_hundredth(loss):
    given = streams()
    plain = CrossModal(0, loss=loss, temperature=0.07)
    learned = CrossModal(0, loss=loss, temperature=0.07, learn_temperature=True)
    term = learned(given)["clinic-derm"]
    torch.testing.assert_close(term, plain(given)["clinic-derm"], **CLOSE)
    (slope,) = torch.autograd.grad(term, list(learned.parameters()))
    step = [
        float(CrossModal(0, loss=loss, temperature=0.07 * math.exp(change))(given)["clinic-derm"])
        for change in (-0.01, 0.01)
    ]
    assert float(slope) == pytest.approx((step[0] - step[1]) / 0.02, rel=1e-2)
    with torch.no_grad():
        learned.sharpness.fill_(50.0)
    learned.before_step(0.5)
    coldest = CrossModal(0, loss=loss, temperature=0.01)(given)["clinic-derm"]
    torch.testing.assert_close(learned(given)["clinic-derm"], coldest, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", ["vicreg", "barlow"])
@pytest.mark.parametrize(
    ("options", "choice"),
    [({"learn_temperature": True}, "learn_temperature=true"), ({"pairing": "eq4"}, "pairing=eq4")],
)
def test_what_needs_negatives_is_refused_without_them(loss, options, choice):
    with pytest.raises(VariantError) as caught:
        CrossModal(0, loss=loss, **options)
    assert str(caught.value) == (
        f"crossmodal.{choice} needs a loss with negatives, and crossmodal.loss={loss} has none. "
        "Leave it out, or use crossmodal.loss=ntx or clip."
    )


def test_options_that_do_nothing_are_told():
    assert CrossModal(0, loss="clip", temperature=0.07, mask_groups=False).notes == ()
    assert CrossModal(0, loss="vicreg").notes == []
    assert CrossModal(0, loss="barlow", temperature=0.07, mask_groups=False).notes == [
        f"crossmodal.{name} does nothing with crossmodal.loss=barlow, which has no negatives"
        for name in ("temperature", "mask_groups")
    ]

"""The cross-modal contrast: the released pairs, the printed equation, any number of streams."""

import math

import pytest
import torch
from lightly.loss import NTXentLoss

from sm3kit.core.errors import VariantError
from sm3kit.objectives.crossmodal import CrossModal

CLOSE = {"rtol": 1e-6, "atol": 1e-6}  # float32
NAMES = ("clinic", "derm", "sono")
E = math.e


def streams(count=2, rows=6, views=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: [torch.randn(rows, 5, generator=generator) for _ in range(views)]
        for name in NAMES[:count]
    }


def total(terms):
    return torch.stack(list(terms.values())).sum()


def lightly(*pairs, temperature=0.1):
    return torch.stack([NTXentLoss(temperature)(a, b) for a, b in pairs]).mean()


def test_aligned_is_the_mean_over_equal_views():
    given = streams()
    (c1, c2), (d1, d2) = given["clinic"], given["derm"]
    terms = CrossModal(0)(given)
    assert list(terms) == ["clinic-derm"]
    torch.testing.assert_close(terms["clinic-derm"], lightly((c1, d1), (c2, d2)), **CLOSE)


def test_crossed_is_the_mean_over_different_views():
    given = streams()
    (c1, c2), (d1, d2) = given["clinic"], given["derm"]
    found = total(CrossModal(0, pairing="crossed")(given))
    torch.testing.assert_close(found, lightly((c1, d2), (c2, d1)), **CLOSE)


def test_all_is_the_mean_of_aligned_and_crossed():
    given = streams()
    aligned, crossed, every = (
        total(CrossModal(0, pairing=pairing)(given)) for pairing in ("aligned", "crossed", "all")
    )
    torch.testing.assert_close(every, (aligned + crossed) / 2, **CLOSE)


def test_equation_4_by_hand():
    """Two pairs of unit vectors, similarities 0 and 1, t = 1: see tests of the contrast itself."""
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    other = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    unused = torch.full((2, 2), float("nan"))  # View 2 of the anchor stream.
    with_one = (math.log(3) + math.log(2 + 1 / E)) / 2
    with_two = math.log(1 + 2 / E)
    given = {"clinic": [first, unused], "derm": [other, first]}
    found = total(CrossModal(0, pairing="eq4", temperature=1.0)(given))
    assert found.item() == pytest.approx(with_one + with_two, abs=1e-6)


def test_equation_4_has_an_anchor_stream():
    given = streams()
    by_default = total(CrossModal(0, pairing="eq4")(given))
    clinic = total(CrossModal(0, pairing="eq4", anchor="clinic")(given))
    derm = total(CrossModal(0, pairing="eq4", anchor="derm")(given))
    assert clinic == by_default
    assert abs(derm - clinic) > 1e-3
    swapped = {"derm": given["derm"], "clinic": given["clinic"]}
    torch.testing.assert_close(total(CrossModal(0, pairing="eq4")(swapped)), derm, **CLOSE)


def test_the_anchor_names_the_term_first_and_changes_nothing_else():
    given = streams(3)
    terms = CrossModal(0, anchor="sono")(given)
    assert list(terms) == ["sono-clinic", "sono-derm", "clinic-derm"]
    torch.testing.assert_close(total(terms), total(CrossModal(0)(given)), **CLOSE)


def test_an_anchor_that_is_no_stream():
    with pytest.raises(VariantError) as caught:
        CrossModal(0, anchor="dermo")(streams())
    assert str(caught.value) == (
        "Option crossmodal.anchor: No stream named 'dermo'. Did you mean 'derm'? "
        "Known: clinic, derm."
    )


@pytest.mark.parametrize("pairing", ["aligned", "crossed", "all", "eq4"])
def test_three_streams_are_the_mean_over_the_pairs(pairing):
    given = streams(3)
    objective = CrossModal(0, pairing=pairing)
    terms = objective(given)
    assert list(terms) == ["clinic-derm", "clinic-sono", "derm-sono"]
    alone = []
    for name, term in terms.items():
        pair = {one: given[one] for one in name.split("-")}
        alone.append(total(objective(pair)))
        torch.testing.assert_close(3 * term, alone[-1], **CLOSE)
    torch.testing.assert_close(total(terms), torch.stack(alone).mean(), **CLOSE)


@pytest.mark.parametrize("pairing", ["aligned", "crossed", "all", "eq4"])
@pytest.mark.parametrize("filling", [0.0, 1e6])
def test_a_modality_that_no_study_has_leaves_the_others_alone(pairing, filling):
    given = streams(3)
    full = torch.ones(6, dtype=torch.bool)
    objective = CrossModal(0, pairing=pairing)
    two = {name: given[name] for name in ("clinic", "derm")}
    alone = objective(two, present=dict.fromkeys(two, full))
    given["sono"] = [torch.full_like(view, filling) for view in given["sono"]]
    given["sono"][0].requires_grad_()
    terms = objective(given, present={"clinic": full, "derm": full, "sono": ~full})
    assert torch.equal(terms["clinic-derm"], alone["clinic-derm"])
    assert terms["clinic-sono"] == terms["derm-sono"] == 0
    total(terms).backward()
    assert (given["sono"][0].grad == 0).all()


def test_studies_without_a_modality_take_no_part_in_its_pairs():
    given = streams(3)
    has = {
        "clinic": torch.tensor([True, True, True, False, True, True]),
        "derm": torch.ones(6, dtype=torch.bool),
        "sono": torch.tensor([True, False, True, True, True, False]),
    }
    terms = CrossModal(0)(given, present=has)
    for name, term in terms.items():
        one, other = name.split("-")
        both = has[one] & has[other]
        pairs = [(a[both], b[both]) for a, b in zip(given[one], given[other], strict=True)]
        torch.testing.assert_close(3 * term, lightly(*pairs), **CLOSE)


@pytest.mark.parametrize("pairing", ["aligned", "crossed", "all"])
def test_one_stream_is_contrasted_view_against_view(pairing):
    given = streams(1)
    terms = CrossModal(0, pairing=pairing)(given)
    assert list(terms) == ["clinic"]
    torch.testing.assert_close(terms["clinic"], lightly(given["clinic"]), **CLOSE)


def test_one_stream_of_three_views():
    given = streams(1, views=3)
    one, two, three = given["clinic"]
    expected = lightly((one, two), (one, three), (two, three))
    torch.testing.assert_close(CrossModal(0)(given)["clinic"], expected, **CLOSE)


def test_one_stream_with_studies_missing():
    given = streams(1)
    has = torch.tensor([True, True, False, True, True, True])
    term = CrossModal(0)(given, present={"clinic": has})["clinic"]
    expected = lightly(tuple(view[has] for view in given["clinic"]))
    torch.testing.assert_close(term, expected, **CLOSE)


@pytest.mark.parametrize("pairing", ["aligned", "crossed", "all", "eq4"])
def test_shards_only_compare_within_themselves(pairing):
    given = streams()
    halves = [
        {name: [view[rows] for view in views] for name, views in given.items()}
        for rows in (slice(0, 3), slice(3, 6))
    ]
    alone = [total(CrossModal(0, pairing=pairing)(half)) for half in halves]
    found = total(CrossModal(0, pairing=pairing, shards=2)(given))
    torch.testing.assert_close(found, torch.stack(alone).mean(), **CLOSE)


def test_shards_take_their_part_of_the_masks():
    given = streams()
    has = torch.tensor([True, False, True, True, True, True])
    group = torch.tensor([0, 1, 0, 2, 3, 3])
    objective = CrossModal(0)
    halves = []
    for rows in (slice(0, 3), slice(3, 6)):
        half = {name: [view[rows] for view in views] for name, views in given.items()}
        present = dict.fromkeys(given, has[rows])
        halves.append(total(objective(half, present=present, group=group[rows])))
    present = dict.fromkeys(given, has)
    found = total(CrossModal(0, shards=2)(given, present=present, group=group))
    torch.testing.assert_close(found, torch.stack(halves).mean(), **CLOSE)


@pytest.mark.parametrize("shards", [2, 3, 9])
def test_shards_of_few_rows(shards):
    given = streams(rows=3)
    assert total(CrossModal(0, shards=shards)(given)).isfinite()


def test_images_of_one_patient_are_no_negatives():
    given = streams()
    group = torch.tensor([0, 0, 1, 2, 3, 4])
    plain = total(CrossModal(0)(given))
    masked = total(CrossModal(0)(given, group=group))
    assert masked < plain
    assert total(CrossModal(0, mask_groups=False)(given, group=group)) == plain
    torch.testing.assert_close(total(CrossModal(0)(given, group=torch.arange(6))), plain, **CLOSE)


def test_the_temperature_divides_the_similarities():
    given = streams()
    (c1, c2), (d1, d2) = given["clinic"], given["derm"]
    found = total(CrossModal(0, temperature=0.5)(given))
    torch.testing.assert_close(found, lightly((c1, d1), (c2, d2), temperature=0.5), **CLOSE)


def test_it_learns_nothing_of_its_own():
    assert list(CrossModal(7).parameters()) == []
    assert list(CrossModal(7).buffers()) == []
    assert CrossModal.on == "streams"
    assert not CrossModal.wants_target


def test_the_mean_is_over_pairs_of_streams_that_meet():
    given = streams(3)
    here = torch.ones(6, dtype=torch.bool)
    present = {"clinic": here, "derm": here, "sono": torch.tensor([True] * 3 + [False] * 3)}
    found = CrossModal(0)(given, present=present)
    (c1, c2), (s1, s2) = given["clinic"], given["sono"]
    wanted = lightly((c1[:3], s1[:3]), (c2[:3], s2[:3])) / 3
    torch.testing.assert_close(found["clinic-sono"], wanted, **CLOSE)


def test_a_batch_without_any_pair_is_a_zero_with_gradient():
    given = {name: [view.requires_grad_() for view in views] for name, views in streams(3).items()}
    nowhere = {name: torch.zeros(6, dtype=torch.bool) for name in given}
    loss = total(CrossModal(0)(given, present=nowhere))
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(bool(view.grad.isfinite().all()) for views in given.values() for view in views)

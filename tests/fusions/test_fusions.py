"""How modalities meet: what goes into which projector, and what a missing image does."""

import pytest
import torch

from sm3kit.core.errors import VariantError
from sm3kit.fusions.concat import Concat
from sm3kit.fusions.none import NoFusion
from sm3kit.fusions.sep_sep import SepSep
from sm3kit.fusions.sep_shared import SepShared
from sm3kit.fusions.sum import Sum

WIDTHS = {"clinic": 4, "derm": 4}
THREE = {"clinic": 4, "derm": 4, "sono": 4}
ALL = [Concat, NoFusion, SepSep, SepShared, Sum]
PROJECTING = [Concat, SepSep, SepShared, Sum]
ROWS = 6


def features(widths, views=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: [torch.randn(ROWS, width, generator=generator) for _ in range(views)]
        for name, width in widths.items()
    }


def everywhere(widths):
    return {name: torch.ones(ROWS, dtype=torch.bool) for name in widths}


def some(widths):
    """Study 0 has nothing, study 1 only the first modality, the others have all."""
    present = everywhere(widths)
    for name in present:
        present[name][0] = False
    for name in list(present)[1:]:
        present[name][1] = False
    return present


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("fusion", PROJECTING)
@pytest.mark.parametrize("widths", [WIDTHS, THREE])
@pytest.mark.parametrize("views", [1, 2, 3])
def test_shapes_of_the_streams(fusion, widths, views):
    streams = fusion(widths, projection=3)(features(widths, views), everywhere(widths))
    names = ["joint"] if fusion in (Concat, Sum) else list(widths)
    assert list(streams) == names
    for rows in streams.values():
        assert [one.shape for one in rows] == [(ROWS, 3)] * views


@pytest.mark.parametrize(
    ("fusion", "alone"), [(SepSep, True), (SepShared, True), (Concat, False), (Sum, False)]
)
def test_views_meet_in_batch_norm_as_in_the_released_code(fusion, alone):
    """Of separate projectors each view is a batch of its own; a joint one sees both at once."""
    built = fusion(WIDTHS, projection=3)
    first, second = features(WIDTHS), features(WIDTHS, seed=1)
    mixed = {name: [first[name][0], 100 * second[name][1]] for name in WIDTHS}
    one, other = (built(given, everywhere(WIDTHS)) for given in (first, mixed))
    for name in one:
        assert torch.equal(one[name][0], other[name][0]) == alone
        assert not torch.equal(one[name][1], other[name][1])


@pytest.mark.parametrize("fusion", [SepSep, SepShared])
def test_each_modality_is_a_batch_of_its_own(fusion):
    built = fusion(WIDTHS, projection=3)
    first, second = features(WIDTHS), features(WIDTHS, seed=1)
    mixed = {"clinic": first["clinic"], "derm": second["derm"]}
    one, other = (built(given, everywhere(WIDTHS)) for given in (first, mixed))
    assert torch.equal(one["clinic"][0], other["clinic"][0])


@pytest.mark.parametrize(("fusion", "calls"), [(Concat, 1), (Sum, 1), (SepShared, 4)])
def test_calls_of_a_projector(fusion, calls):
    """Once for all views of a joint stream, or once per view and stream."""
    built = fusion(WIDTHS, projection=3)
    built(features(WIDTHS), everywhere(WIDTHS))
    assert built.projector.layers[1].num_batches_tracked == calls


def test_sep_sep_calls_each_projector_once_per_view():
    built = SepSep(WIDTHS, projection=3)
    built(features(WIDTHS), everywhere(WIDTHS))
    assert list(built.projectors) == list(WIDTHS)
    assert [one.layers[1].num_batches_tracked for one in built.projectors.values()] == [2, 2]


@pytest.mark.parametrize("widths", [WIDTHS, THREE])
@pytest.mark.parametrize("present", [everywhere, some])
def test_sep_sep_with_one_projector_for_all_is_sep_shared(widths, present):
    apart, shared = SepSep(widths, projection=3), SepShared(widths, projection=3)
    for name in widths:
        apart.projectors[name] = shared.projector
    given = features(widths)
    one, other = apart(given, present(widths)), shared(given, present(widths))
    assert list(one) == list(other)
    for name in one:
        assert all(torch.equal(a, b) for a, b in zip(one[name], other[name], strict=True))


def test_sep_sep_has_a_projector_per_modality():
    weights = [one.layers[0].weight for one in SepSep(WIDTHS).projectors.values()]
    assert not torch.equal(*weights)


def test_sep_sep_takes_any_widths():
    widths = {"clinic": 4, "derm": 7, "sono": 2}
    built = SepSep(widths, projection=3)
    streams = built(features(widths), everywhere(widths))
    assert {name: rows[0].shape for name, rows in streams.items()} == dict.fromkeys(
        widths, (ROWS, 3)
    )
    # Hidden layers are as wide as the features, unless told.
    assert [one.layers[0].out_features for one in built.projectors.values()] == [4, 7, 2]
    hidden = SepSep(widths, hidden=5).projectors.values()
    assert [one.layers[0].out_features for one in hidden] == [5, 5, 5]


@pytest.mark.parametrize("widths", [WIDTHS, {"clinic": 4, "derm": 7, "sono": 2}])
def test_concat_is_as_wide_as_all_together(widths):
    built = Concat(widths, projection=3)
    assert built.projector.layers[0].weight.shape == (sum(widths.values()), sum(widths.values()))
    given = features(widths)
    streams = built(given, everywhere(widths))
    joined = [torch.cat([given[name][view] for name in widths], dim=1) for view in (0, 1)]
    expected = built.projector(torch.cat(joined))
    assert torch.equal(torch.cat(streams["joint"]), expected)


def test_concat_goes_by_name_not_by_position():
    built = Concat(WIDTHS, projection=3)
    given = features(WIDTHS)
    turned = {name: given[name] for name in reversed(given)}
    one, other = built(given, everywhere(WIDTHS)), built(turned, everywhere(WIDTHS))
    assert torch.equal(one["joint"][0], other["joint"][0])


@pytest.mark.parametrize("widths", [WIDTHS, THREE])
def test_sum_adds(widths):
    built = Sum(widths, projection=3)
    given = features(widths)
    streams = built(given, everywhere(widths))
    added = [sum(given[name][view] for name in widths) for view in (0, 1)]
    expected = built.projector(torch.cat(added))
    torch.testing.assert_close(torch.cat(streams["joint"]), expected, rtol=1e-5, atol=1e-5)


def test_sum_scales_up_where_a_modality_is_missing():
    built = Sum(THREE, projection=3).eval()
    given = features(THREE)
    present = everywhere(THREE)
    present["sono"][1] = present["sono"][2] = present["derm"][2] = False
    clinic, derm, sono = (given[name][0] for name in THREE)
    added = clinic + derm + sono
    added[1] = (clinic[1] + derm[1]) * 3 / 2
    added[2] = clinic[2] * 3
    expected = built.projector(added)
    found = built(given, present)["joint"][0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fusion", PROJECTING)
@pytest.mark.parametrize("widths", [WIDTHS, THREE])
@pytest.mark.parametrize("training", [True, False])
def test_what_absent_rows_hold_does_not_matter(fusion, widths, training):
    built = fusion(widths, projection=3).train(training)
    present = some(widths)
    given = features(widths)
    other = {
        name: [torch.where(present[name].unsqueeze(1), view, 1e6) for view in views]
        for name, views in given.items()
    }
    one, two = built(given, present), built(other, present)
    real = built.stream_present(present)
    for name in one:
        for a, b in zip(one[name], two[name], strict=True):
            assert torch.equal(a[real[name]], b[real[name]])
            assert (a[~real[name]] == 0).all()
            assert b.isfinite().all()


def test_which_rows_of_a_stream_are_real():
    present = some(THREE)
    every = torch.tensor([False, False, True, True, True, True])
    first = torch.tensor([False, True, True, True, True, True])
    assert {n: r.tolist() for n, r in Concat(THREE).stream_present(present).items()} == {
        "joint": every.tolist()
    }
    assert {n: r.tolist() for n, r in Sum(THREE).stream_present(present).items()} == {
        "joint": first.tolist()
    }
    for fusion in (SepSep, SepShared):
        found = fusion(THREE).stream_present(present)
        assert {n: r.tolist() for n, r in found.items()} == {
            "clinic": first.tolist(),
            "derm": every.tolist(),
            "sono": every.tolist(),
        }
    assert NoFusion(THREE).stream_present(present) == {}


def test_no_fusion_gives_no_stream():
    built = NoFusion(WIDTHS)
    assert built(features(WIDTHS), everywhere(WIDTHS)) == {}
    assert list(built.parameters()) == []


@pytest.mark.parametrize("fusion", ALL)
def test_the_joint_feature_is_concatenated_with_zeros(fusion):
    widths = {"clinic": 4, "derm": 4, "sono": 4}
    built = fusion(widths)
    given = {name: views[0] for name, views in features(widths).items()}
    present = some(widths)
    joint = built.joint(given, present)
    assert joint.shape == (ROWS, built.joint_width) == (ROWS, 12)
    assert torch.equal(joint[2:, 4:8], given["derm"][2:])
    assert torch.equal(joint[1, :4], given["clinic"][1])
    assert (joint[1, 4:] == 0).all()
    assert (joint[0] == 0).all()


@pytest.mark.parametrize(
    ("fusion", "name", "advice"),
    [(SepShared, "sep_shared", "sep_sep"), (Sum, "sum", "concat")],
)
def test_a_shared_projector_needs_one_width(fusion, name, advice):
    with pytest.raises(VariantError) as caught:
        fusion({"clinic": 4, "derm": 7})
    assert str(caught.value) == (
        f"Fusion {name!r} needs features of equal width, not {{'clinic': 4, 'derm': 7}}. "
        f"Use the same backbone for all modalities, or --fusion {advice}."
    )


@pytest.mark.parametrize("fusion", PROJECTING)
def test_gradients_reach_every_modality(fusion):
    built = fusion(THREE, projection=3)
    given = features(THREE)
    for rows in given.values():
        rows[0].requires_grad_()
    streams = built(given, some(THREE))
    sum(view.pow(3).sum() for rows in streams.values() for view in rows).backward()
    present = some(THREE)
    for name, rows in given.items():
        gradient = rows[0].grad
        assert gradient.isfinite().all()
        assert gradient[2:].abs().sum() > 0
        assert (gradient[~present[name]] == 0).all()


@pytest.mark.parametrize("fusion", PROJECTING)
def test_one_modality_is_enough(fusion):
    widths = {"derm": 4}
    streams = fusion(widths, projection=3)(features(widths), everywhere(widths))
    assert [rows[0].shape for rows in streams.values()] == [(ROWS, 3)]

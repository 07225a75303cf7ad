"""Images that are taken away: which studies lose them, and what is left."""

import pytest

from sm3kit.core.errors import VariantError
from sm3kit.data.cases import Case
from sm3kit.data.dropping import Drop, drops_of, without_images
from sm3kit.datasets.base import Study

NAMES = [f"study-{number}" for number in range(2000)]


def case(name, *modalities):
    images = {modality: (f"{name}-{modality}.png",) for modality in modalities}
    return Case(Study(name, images, {}, name, "test"), 0, images, (0,), 0)


def remaining(cases, *words):
    return without_images(cases, drops_of(words, ["ct", "mr"]), lambda one: one.study.id)


def test_all_images_of_a_modality_go():
    left = remaining([case("x", "ct", "mr"), case("y", "ct")], "mr")
    assert [list(one.images) for one in left.cases] == [["ct"], ["ct"]]
    assert (left.lost, left.empty) == ({"mr": 1}, [])


def test_a_study_with_nothing_left_is_counted():
    left = remaining([case("x", "ct", "mr"), case("y", "mr"), case("z", "ct")], "mr")
    assert [one.study.id for one in left.cases] == ["x", "z"]
    assert (left.lost, left.empty) == ({"mr": 1}, ["y"])


def test_a_share_takes_the_same_studies_whatever_is_around_them():
    half, more = Drop("ct", 0.5), Drop("ct", 0.7)
    taken = {name for name in NAMES if half.takes(name)}
    assert len(taken) == pytest.approx(1000, abs=70)  # Three standard deviations.
    cases = [case(name, "ct", "mr") for name in NAMES]
    for own in (cases, cases[::-1], cases[:7]):
        left = remaining(own, "0.5:ct")
        lost = {one.study.id for one in left.cases if "ct" not in one.images}
        assert lost == taken & {one.study.id for one in own}
    assert taken < {name for name in NAMES if more.takes(name)}


def test_a_share_takes_the_same_studies_whatever_they_are_called():
    cases = [case(name, "ct") for name in NAMES]
    alone = remaining(cases, "0.5:ct")
    pooled = without_images(
        cases, drops_of(["0.5:ct"], ["ct"]), lambda one: f"manifest2/{one.study.id}"
    )
    assert pooled.cases == alone.cases
    assert pooled.empty == [f"manifest2/{name}" for name in alone.empty]


def test_modalities_lose_their_images_independently():
    both = [Drop("ct", 0.5).takes(name) and Drop("mr", 0.5).takes(name) for name in NAMES]
    assert sum(both) == pytest.approx(500, abs=60)
    left = remaining([case(name, "ct", "mr") for name in NAMES], "0.5:ct", "0.5:mr")
    assert len(left.empty) == sum(both)


def test_a_modality_may_have_any_name():
    assert drops_of(["0.5:ct"], ["0.5:ct", "ct"]) == [Drop("0.5:ct")]
    assert drops_of(["t1:c"], ["t1:c"]) == [Drop("t1:c")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["xt"], "--drop xt: No modality named 'xt'. Known: ct, mr."),
        (["0.5:xt"], "--drop 0.5:xt: No modality named 'xt'. Known: ct, mr."),
        (["ct", "0.5:ct"], "--drop names 'ct' twice. Name it once."),
        (
            ["1.5:ct"],
            "--drop 1.5:ct: the share must be above 0 and at most 1, such as 0.5:ct, not '1.5'.",
        ),
        (["nan:ct"], "--drop nan:ct: the share must be above 0 and at most 1"),
    ],
)
def test_a_drop_that_is_none_is_refused(words, message):
    with pytest.raises(VariantError) as caught:
        drops_of(words, ["ct", "mr"])
    assert str(caught.value).startswith(message)

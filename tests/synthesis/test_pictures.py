from dataclasses import replace

import cv2
import numpy as np
import pytest

from sm3kit.synthesis import frequencies
from sm3kit.synthesis.clinical import clinical
from sm3kit.synthesis.dermoscopic import dermoscopic
from sm3kit.synthesis.lesion import LABELS, lesion
from sm3kit.synthesis.marks import VESSELS

SIZE = 96
ATTRIBUTES = [(name, given) for name, classes, _ in LABELS[1:] for given in classes[1:]]


def plain(seed, index, **labels):
    """A lesion with no attributes but the given ones."""
    one = lesion(seed, index)
    bare = {name: "ABS" for name, _, _ in LABELS[1:]}
    return replace(one, labels={**bare, "DIAG": one.labels["DIAG"], **labels})


def change(draw, before, after):
    """Mean difference of two pictures over all pixels and channels."""
    return np.abs(draw(before, SIZE).astype(float) - draw(after, SIZE)).mean()


@pytest.mark.parametrize("draw", [dermoscopic, clinical])
@pytest.mark.parametrize("size", [32, 96, 225])
def test_a_picture_is_rgb_of_its_size_and_the_same_again(draw, size):
    one = draw(lesion(0, 1), size)
    assert one.shape == (size, size, 3)
    assert one.dtype == np.uint8
    assert one.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(one, draw(lesion(0, 1), size))


@pytest.mark.parametrize(("name", "given"), ATTRIBUTES)
def test_an_attribute_shows_in_dermoscopy(name, given):
    for index in range(6):
        off, on = plain(5, index), plain(5, index, **{name: given})
        difference = np.abs(dermoscopic(off, SIZE).astype(float) - dermoscopic(on, SIZE)).max(2)
        # Somewhere it is plain to see, and far from the lesion nothing changes.
        assert np.quantile(difference, 0.99) > 20, (name, given, index)
        assert difference[:6, :6].max() == 0


@pytest.mark.parametrize(("name", "given"), ATTRIBUTES)
def test_an_attribute_shows_less_in_the_clinical_picture(name, given):
    lesions = [(plain(5, index), plain(5, index, **{name: given})) for index in range(6)]
    derm = sum(change(dermoscopic, off, on) for off, on in lesions)
    clinic = sum(change(clinical, off, on) for off, on in lesions)
    assert 0 < clinic < 0.6 * derm
    if name == "PN":
        assert clinic < 0.1 * derm


def test_classes_of_an_attribute_look_different():
    for name, classes, _ in LABELS[1:]:
        if len(classes) == 3:
            first, second = (plain(5, 2, **{name: given}) for given in classes[1:])
            assert change(dermoscopic, first, second) > 0.5


@pytest.mark.parametrize("key", sorted(frequencies.FORMS))
def test_every_form_can_be_drawn(key):
    name, given = key.split()
    pictures = []
    for form, _ in frequencies.FORMS[key]:
        one = plain(5, 3, **{name: given})
        pictures.append(dermoscopic(replace(one, forms={**one.forms, key: form}), SIZE))
    for other in pictures[1:]:
        assert np.abs(pictures[0].astype(float) - other).max() > 10


def test_every_vessel_form_has_a_drawing():
    forms = {form for key in ("VS REG", "VS IR") for form, _ in frequencies.FORMS[key]}
    assert set(VESSELS) == forms


def test_the_clinical_picture_shows_more_skin():
    derm, clinic = (
        np.stack([draw(lesion(2, i), 64) for i in range(12)]) for draw in (dermoscopic, clinical)
    )
    skin = np.array([lesion(2, i).skin for i in range(12)])[:, None, None, :]
    near = [(np.abs(p - skin).mean(3) < 30).mean() for p in (derm, clinic)]
    assert near[1] > near[0]


def test_pixels_alone_hardly_match_the_pairs():
    count = 120
    sides = []
    for draw in (dermoscopic, clinical):
        small = [
            cv2.resize(draw(lesion(9, i), 64), (16, 16), interpolation=cv2.INTER_AREA)
            for i in range(count)
        ]
        flat = np.stack(small).reshape(count, -1).astype(float)
        flat -= flat.mean(0)
        sides.append(flat / np.linalg.norm(flat, axis=1, keepdims=True))
    similarity = sides[0] @ sides[1].T
    rank = (similarity >= np.diag(similarity)[:, None]).sum(1)
    assert (rank == 1).mean() < 0.15
    assert np.median(rank) > 8


def test_a_lesion_is_known_again_from_afar():
    """By the mean colour alone; of 24 a guess is at 12.5, and four standard errors are 5.6."""
    drawn = [lesion(0, index) for index in range(24)]
    near, far = (
        np.stack([clinical(one, 48, away).reshape(-1, 3).mean(0) for one in drawn])
        for away in (1.0, 2.0)
    )
    apart = np.linalg.norm(near[:, None] - far, axis=-1)
    ranks = (apart < np.diag(apart)[:, None]).sum(1) + 1
    assert ranks.mean() < 12.5 - 5.6


def test_from_twice_as_far_a_lesion_is_half_as_large():
    """In pixels that differ from the skin beyond the lesion; the dark ones stand out."""
    drawn = [one for one in (lesion(3, index) for index in range(40)) if one.tone < 0.3][:12]
    dark = []
    for away in (1.0, 2.0):
        pictures = np.stack([clinical(one, 96, away).mean(-1) for one in drawn])
        dark.append((pictures < 0.75 * np.median(pictures, (1, 2), keepdims=True)).mean((1, 2)))
    assert np.median(dark[0] / np.maximum(dark[1], 1e-3)) == pytest.approx(4, abs=1.5)

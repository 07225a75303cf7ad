"""Local views of photographs: small crops in a small size."""

import numpy as np
import pytest

from sm3kit.core.errors import OptionError
from sm3kit.modalities.photo import Photo

PLAIN = {"flip": 0.0, "jitter": 0.0, "grayscale": 0.0, "blur": 0.0}


def picture(side=64):
    """Red counts the columns, green the rows."""
    y, x = np.mgrid[0:side, 0:side].astype(np.uint8)
    return np.stack([x, y, np.zeros_like(x)])


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_local_view_shows_its_share_of_the_image():
    """A square with a quarter of the area has half of the columns and of the rows."""
    photo = Photo(
        64, **PLAIN, local_views=5, local_size=32, local_scale=(0.25, 0.25), crop_ratio=(1, 1)
    )
    views = photo.views(picture(), rng())
    assert [view.shape for view in views] == [(3, 64, 64)] * 2 + [(3, 32, 32)] * 5
    corners = set()
    for view in views[2:]:
        columns, rows = view[0].astype(int), view[1].astype(int)
        assert (np.diff(columns, axis=1) == 1).all()
        assert (np.diff(rows, axis=0) == 1).all()
        corners.add((columns[0, 0], rows[0, 0]))
    assert len(corners) == 5


@pytest.mark.parametrize("paired", [False, True])
def test_local_views_leave_the_others_bit_for_bit_as_they_are(paired):
    without, beside = Photo(32), Photo(32, local_views=4, local_size=16)
    where = {"geometry": rng(7)} if paired else {}
    alone = without.views(picture(), rng(), **where)
    where = {"geometry": rng(7)} if paired else {}
    views = beside.views(picture(), rng(), **where)
    assert len(views) == 6
    assert all(map(np.array_equal, alone, beside.global_views(views)))
    assert len(beside.without_local().views(picture(), rng())) == 2
    assert beside.local_views == 4


def test_paired_local_views_are_cropped_alike():
    photo = Photo(32, local_views=3, local_size=16, jitter=0.0, grayscale=0.0, blur=0.0)
    first = photo.views(picture(), rng(1), rng(7))
    second = photo.views(picture(), rng(2), rng(7))
    assert all(map(np.array_equal, first, second))


def test_views_that_are_rotated_are_global():
    photo = Photo(32, views=2, local_views=3, local_size=16)
    rotated = photo.rotations(picture(), rng())
    assert [view.shape for view in rotated] == [(3, 32, 32)] * 4
    assert all(map(np.array_equal, rotated, Photo(32).rotations(picture(), rng())))


def test_an_image_is_read_large_enough_for_the_smallest_crop_of_both():
    """1.5 * 96 / sqrt(0.05) = 643.99 pixels; a global crop of half of the area needs 475.18."""
    assert Photo(224).shorter_side == 476
    assert Photo(224, local_views=1).shorter_side == 644
    assert Photo(224, local_views=1, local_size=16).shorter_side == 476
    assert Photo(224, local_views=1, reduce=False).shorter_side == 0
    assert Photo(224, local_size=64, local_scale=(0.1, 0.2)).reading == Photo(224).reading


def test_local_views_are_smaller_than_the_others():
    with pytest.raises(OptionError) as caught:
        Photo(48, local_views=2)
    assert str(caught.value) == (
        "The modality 'photo': local views of local_size=96 are to be smaller than the others, 48 "
        "pixels. Give -o photo.local_size=20, or another."
    )
    assert Photo(48).local_views == 0

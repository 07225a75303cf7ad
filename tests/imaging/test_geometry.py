"""Crops by torchvision's rule, flips and turns by numpy's."""

import numpy as np
import pytest
import torch
from torchvision.transforms import RandomResizedCrop

from sm3kit.imaging import geometry
from sm3kit.imaging.geometry import Box

RATIO = (3 / 4, 4 / 3)


@pytest.fixture(scope="module")
def pixels():
    """A smooth picture: half a pixel more or less is hardly seen."""
    rows, columns = np.mgrid[0:300, 0:400]
    waves = [np.sin(rows / 30 + phase) + np.cos(columns / 25 - phase) for phase in (0, 2, 4)]
    return (128 + 60 * np.stack(waves, axis=2)).astype(np.uint8)


def test_a_crop_keeps_its_bounds():
    rng = np.random.default_rng(0)
    for _ in range(500):
        box = geometry.draw_crop(300, 400, (0.5, 1.0), RATIO, rng)
        assert 0 <= box.top <= 300 - box.height
        assert 0 <= box.left <= 400 - box.width
        # Whole pixels: each side is half a pixel off at most.
        assert 0.495 <= box.height * box.width / (300 * 400) <= 1
        assert 0.745 <= box.width / box.height <= 1.345


def test_crops_are_spread_like_torchvisions():
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    blank = torch.zeros(3, 300, 400)
    ours = np.array(
        [geometry.draw_crop(300, 400, (0.5, 1.0), RATIO, rng) for _ in range(2000)], dtype=float
    )
    theirs = np.array(
        [RandomResizedCrop.get_params(blank, [0.5, 1.0], list(RATIO)) for _ in range(2000)],
        dtype=float,
    )
    # Four standard errors of the difference of two means of 2000.
    error = 4 * np.sqrt((ours.var(0) + theirs.var(0)) / 2000)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < error).all()


@pytest.mark.parametrize(
    ("height", "width", "wanted"),
    [(100, 1000, Box(0, 433, 100, 133)), (1000, 100, Box(433, 0, 133, 100))],
)
def test_a_crop_that_never_fits_is_the_largest_in_the_centre(height, width, wanted):
    rng = np.random.default_rng(0)
    assert geometry.draw_crop(height, width, (1.0, 1.0), RATIO, rng) == wanted
    theirs = RandomResizedCrop.get_params(torch.zeros(3, height, width), [1.0, 1.0], list(RATIO))
    assert tuple(wanted) == tuple(theirs)


def test_a_crop_of_one_row_is_not_empty():
    assert geometry.draw_crop(1, 1, (0.1, 0.1), (2.0, 2.0), np.random.default_rng(0)) == (
        0,
        0,
        1,
        1,
    )
    assert geometry.draw_crop(1, 9, (0.9, 1.0), (0.1, 0.2), np.random.default_rng(0)).width == 1


def test_the_border_goes_on_each_side(pixels):
    assert (geometry.cut_border(pixels, 25) == pixels[25:275, 25:375]).all()
    assert (geometry.cut_border(pixels, 0) == pixels).all()


def test_flips_are_numpys(pixels):
    assert (geometry.flip_horizontal(pixels) == pixels[:, ::-1]).all()
    assert (geometry.flip_vertical(pixels) == pixels[::-1]).all()


def test_a_quarter_turn_is_numpys(pixels):
    square = pixels[:201, :201]
    turned = geometry.rotate(square, 90)
    # Bilinear on the grid's own points: the sine of 90 degrees is not quite 1.
    assert np.abs(turned.astype(int) - np.rot90(square)).max() <= 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_any_number_of_channels(channels, dtype):
    rng = np.random.default_rng(0)
    pixels = (rng.random((30, 40, channels)) * 255).astype(dtype)
    for change, near in (
        # OpenCV turns two channels by places in 32nds of a pixel: a 64th off along each axis.
        (lambda some: geometry.rotate(some, 10), 255 / 32),
        (geometry.flip_horizontal, 0),
        (geometry.flip_vertical, 0),
    ):
        changed, last = change(pixels), change(pixels[:, :, -1:])
        assert changed.shape == pixels.shape
        assert changed.dtype == dtype
        assert np.abs(changed[:, :, -1:].astype(float) - last).max() <= near


def test_the_symmetries_of_a_square_by_hand():
    """1 2 / 3 4: the first six are FusionM4Net's copies, the eighth is the last."""
    image = np.array([[[1, 2], [3, 4]]])
    shown = [geometry.symmetry(image, number)[0].tolist() for number in range(9)]
    assert shown == [
        *([[1, 2], [3, 4]], [[2, 1], [4, 3]], [[3, 4], [1, 2]], [[4, 3], [2, 1]]),
        *([[2, 4], [1, 3]], [[3, 1], [4, 2]], [[4, 2], [3, 1]], [[1, 3], [2, 4]]),
        [[1, 2], [3, 4]],
    ]

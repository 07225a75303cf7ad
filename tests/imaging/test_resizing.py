"""Pillow's filters: bit for bit by Pillow itself, nearly by torch, and a gentle first step."""

import warnings

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import functional as v1

from sm3kit.imaging import geometry, resizing
from sm3kit.imaging.geometry import Box

BILINEAR = v1.InterpolationMode.BILINEAR
MANY = range(40)


def case(seed, channels=3, dtype=np.uint8):
    """Noise, a box in it, and a size: axes shrink, grow, or stay, each by itself."""
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(2, 300, 2))
    pixels = rng.integers(0, 256, (height, width, channels))
    pixels = pixels.astype(np.uint8) if dtype == np.uint8 else pixels.astype(dtype) * 0.1 - 9
    h, w = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
    box = Box(int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w)
    size = tuple(int(n) for n in rng.integers(1, 250, 2))
    return pixels, box, size


def torchvisions(pixels, box, size):
    """The transform of the release: Pillow's image, cropped, then resized."""
    picture = Image.fromarray(pixels)
    resized = np.asarray(v1.resized_crop(picture, *box, list(size), BILINEAR))
    return resized if resized.ndim == 3 else resized[:, :, np.newaxis]


@pytest.mark.parametrize("seed", MANY)
def test_pillow_is_torchvisions_resized_crop_bit_for_bit(seed):
    for channels in (1, 3):
        pixels, box, size = case(seed, channels)
        theirs = torchvisions(pixels[..., 0] if channels == 1 else pixels, box, size)
        assert (resizing.pillow(geometry.crop(pixels, box), *size) == theirs).all()


@pytest.mark.parametrize("channels", [2, 4, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_pillow_resizes_other_channels_one_by_one(channels, dtype):
    pixels, box, size = case(channels, channels, dtype)
    ours = resizing.pillow(geometry.crop(pixels, box), *size)
    assert ours.dtype == dtype
    for channel in range(channels):
        theirs = torchvisions(pixels[..., channel], box, size)
        assert (ours[..., channel] == theirs[..., 0]).all()


@pytest.mark.parametrize("seed", MANY)
def test_fast_is_within_one_level_of_pillow(seed):
    for channels in (1, 3, 4, 6):
        pixels, box, size = case(seed, channels)
        cut = geometry.crop(pixels, box)
        apart = np.abs(resizing.fast(cut, *size).astype(int) - resizing.pillow(cut, *size))
        # Torch rounds its weights to 16 bits, Pillow to 22.
        assert apart.max() <= 1


@pytest.mark.parametrize("seed", MANY)
def test_fast_is_pillow_for_floats_too(seed):
    for channels in (1, 3, 5):
        pixels, box, size = case(seed, channels, np.float32)
        cut = geometry.crop(pixels, box)
        ours = resizing.fast(cut, *size)
        assert ours.dtype == np.float32
        # Torch places its filter in float32: up to 3e-5 of a pixel off in a row of 300 pixels.
        near = 5e-5 * np.abs(pixels).max()
        np.testing.assert_allclose(ours, resizing.pillow(cut, *size), atol=near)


def test_most_pixels_of_fast_are_pillows_in_a_view_of_a_photo():
    pixels = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    apart = resizing.fast(pixels, 224, 224) != resizing.pillow(pixels, 224, 224)
    assert apart.mean() < 0.01


@pytest.mark.parametrize("resize", [resizing.fast, resizing.pillow])
def test_the_result_is_new_and_can_be_written(resize):
    pixels = case(0)[0]
    pixels.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Torch warns of memory that must not be written.
        for size in ((20, 30), pixels.shape[:2]):
            resized = resize(pixels, *size)
            assert resized.flags.c_contiguous
            assert resized.flags.writeable
            assert not np.shares_memory(resized, pixels)


def test_no_change_of_size_is_no_change():
    pixels = case(1)[0]
    height, width = pixels.shape[:2]
    assert (resizing.fast(pixels, height, width) == pixels).all()
    assert (resizing.pillow(pixels, height, width) == pixels).all()


@pytest.mark.parametrize("resize", [resizing.fast, resizing.pillow])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_growing_and_a_shrinking_axis_are_each_filtered(resize, dtype):
    """The triangle over four columns has equal weight on even and odd ones: 100 of 200 and 0.

    At the edge a part of it is cut off: 7, 5 and 3 eighths lie on the even columns 1 to 4, and
    5, 7 and 1 on the odd ones, so that 200 * 15 / 28 is left.
    """
    stripes = np.zeros((10, 400, 1), dtype=dtype)
    stripes[:, ::2] = 200
    resized = resize(stripes, 40, 100)
    assert resized.shape == (40, 100, 1)
    # Bytes are rounded; floats hold 24 bits.
    near = 0 if dtype == np.uint8 else 1e-4
    assert np.abs(resized[:, 1:-1] - 100.0).max() <= near
    assert np.abs(resized[:, 0] - 3000 / 28).max() <= (0.5 if dtype == np.uint8 else near)


@pytest.mark.parametrize(
    "resize",
    [resizing.fast, resizing.pillow, lambda pixels, height, _: resizing.shrink(pixels, height)],
)
def test_shrinking_does_not_alias(resize):
    """A chessboard of single pixels is grey from afar; plain bilinear would show moire."""
    board = np.indices((301, 301)).sum(0)[:, :, np.newaxis] % 2 * np.uint8(255)
    small = resize(board.astype(np.uint8), 100, 100)
    assert small.shape == (100, 100, 1)
    assert np.abs(small - 127.5).max() <= 1.5


def test_shrink_goes_by_the_shorter_side_and_never_grows():
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    assert resizing.shrink(pixels, 150).shape == (150, 200, 3)
    assert resizing.shrink(pixels.transpose(1, 0, 2), 150).shape == (200, 150, 3)
    assert resizing.shrink(pixels, 300) is pixels
    assert resizing.shrink(pixels, 1000) is pixels
    assert resizing.shrink(pixels[:1], 1000).shape == (1, 400, 3)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_shrink_is_pillows_bicubic(channels, dtype):
    pixels = (np.random.default_rng(0).random((90, 120, channels)) * 255).astype(dtype)
    ours = resizing.shrink(pixels, 40)
    assert ours.dtype == dtype
    for channel in range(channels):
        picture = Image.fromarray(pixels[..., channel])
        theirs = np.asarray(picture.resize((53, 40), Image.Resampling.BICUBIC), dtype=float)
        # One level between rounded weights; floats as in the test of `fast`.
        assert np.abs(ours[..., channel] - theirs).max() <= (1 if dtype == np.uint8 else 0.02)

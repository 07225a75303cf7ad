"""Each formula against torchvision's. Ours rounds and torchvision cuts off: one level apart."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from sm3kit.imaging import colour
from sm3kit.imaging.colour import gaussian_blur
from sm3kit.imaging.layout import to_chw

FACTORS = [0.2, 0.7, 1.0, 1.3, 1.8]


@pytest.fixture(scope="module")
def pixels():
    """Smooth colours with some noise, so that every hue and level occurs."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:96, 0:80]
    waves = [np.sin(rows / 20 + phase) + np.cos(columns / 15 - phase) for phase in (0, 2, 4)]
    levels = 128 + 55 * np.stack(waves, axis=2) + rng.normal(0, 10, (96, 80, 3))
    return levels.clip(0, 255).astype(np.uint8)


def apart(ours, theirs):
    """Largest and mean distance in levels."""
    distance = np.abs(to_chw(ours).astype(int) - theirs.numpy().astype(int))
    return distance.max(), distance.mean()


def tensor(pixels):
    return torch.from_numpy(to_chw(pixels).copy())


@pytest.mark.parametrize("factor", FACTORS)
def test_brightness_is_torchvisions(pixels, factor):
    theirs = tv.adjust_brightness(tensor(pixels), factor)
    assert apart(colour.brightness(pixels, factor), theirs)[0] <= 1


@pytest.mark.parametrize("factor", FACTORS)
def test_contrast_is_torchvisions(pixels, factor):
    theirs = tv.adjust_contrast(tensor(pixels), factor)
    # Their grey mean is of cut-off greys: half a level lower, times |1 - factor|.
    assert apart(colour.contrast(pixels, factor), theirs)[0] <= 1


@pytest.mark.parametrize("factor", FACTORS)
def test_contrast_of_one_channel_is_torchvisions(pixels, factor):
    grey = pixels[:, :, :1]
    theirs = tv.adjust_contrast(tensor(grey), factor)
    assert apart(colour.contrast(grey, factor), theirs)[0] <= 1


@pytest.mark.parametrize("factor", FACTORS)
def test_saturation_is_torchvisions(pixels, factor):
    theirs = tv.adjust_saturation(tensor(pixels), factor)
    # Their grey is cut off first, up to one level lower, times |1 - factor|.
    assert apart(colour.saturation(pixels, factor), theirs)[0] <= 2


def test_grayscale_is_torchvisions(pixels):
    theirs = tv.rgb_to_grayscale(tensor(pixels), num_output_channels=3)
    ours = colour.grayscale(pixels)
    assert apart(ours, theirs)[0] <= 1
    assert (ours[..., 0] == ours[..., 1]).all()
    assert (ours[..., 0] == ours[..., 2]).all()


@pytest.mark.parametrize("shift", [-0.2, -0.05, 0.0, 0.1, 0.2, 0.5])
def test_hue_is_torchvisions(pixels, shift):
    theirs = tv.adjust_hue(tensor(pixels), shift)
    largest, mean = apart(colour.hue(pixels, shift), theirs)
    # A step of hue is six levels where the colour is full. Rounding the hue and the shift is up
    # to one step, rounding the saturation and the result the rest.
    assert largest <= 10
    assert mean <= 1


def test_float_values_keep_their_range():
    pixels = np.array([[[2.0, -1.0, 4.0]]], dtype=np.float32)
    assert colour.brightness(pixels, 2.0).tolist() == [[[4.0, -2.0, 8.0]]]
    # Away from 0.2989 * 2 - 0.587 + 0.114 * 4 = 0.4668, in a picture of one pixel the mean too.
    wanted = [0.5 * value + 0.5 * 0.4668 for value in (2, -1, 4)]
    np.testing.assert_allclose(colour.contrast(pixels, 0.5)[0, 0], wanted, rtol=1e-6)
    np.testing.assert_allclose(colour.saturation(pixels, 0.5)[0, 0], wanted, rtol=1e-6)


def test_brightness_and_contrast_take_any_number_of_channels():
    pixels = np.full((4, 5, 7), 100, dtype=np.uint8)
    assert (colour.brightness(pixels, 1.5) == 150).all()
    assert (colour.contrast(pixels, 1.5) == 100).all()


@pytest.mark.parametrize("change", ["brightness", "contrast", "saturation", "hue"])
def test_the_input_stays(pixels, change):
    before = pixels.copy()
    getattr(colour, change)(pixels, 0.3)
    assert (pixels == before).all()


@pytest.mark.parametrize("kernel", [3, 7])
@pytest.mark.parametrize("sigma", [0.1, 0.8, 2.0])
def test_blur_is_torchvisions(kernel, sigma):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    image = torch.from_numpy(to_chw(pixels).copy())
    theirs = tv.gaussian_blur(image, [kernel, kernel], [sigma, sigma]).permute(1, 2, 0).numpy()
    # OpenCV's 8-bit kernel is in fixed point and rounds twice.
    assert np.abs(gaussian_blur(pixels, kernel, sigma).astype(int) - theirs).max() <= 1


def test_blur_takes_any_number_of_channels_and_floats():
    pixels = np.random.default_rng(0).random((10, 10, 6)).astype(np.float32)
    blurred = gaussian_blur(pixels, 3, 1.0)
    assert blurred.shape == (10, 10, 6)
    assert blurred.dtype == np.float32
    np.testing.assert_allclose(blurred[..., 5:], gaussian_blur(pixels[..., 5:], 3, 1.0))

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from sm3kit.imaging.blur import gaussian_blur
from sm3kit.imaging.layout import to_chw


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

import numpy as np

from sm3kit.imaging.layout import to_chw, to_hwc


def test_there_and_back_is_the_same_memory():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    image = to_chw(pixels)
    assert image.shape == (3, 2, 4)
    assert np.shares_memory(image, pixels)
    assert to_hwc(image).__array_interface__["data"] == pixels.__array_interface__["data"]


def test_an_image_of_another_layout_is_copied_once():
    image = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    pixels = to_hwc(image)
    assert pixels.flags.c_contiguous
    assert (to_chw(pixels) == image).all()


def test_a_grey_picture_gets_its_channel():
    assert to_chw(np.zeros((2, 4))).shape == (1, 2, 4)

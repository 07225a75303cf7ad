"""Radiographs: the laws, what may happen to a view, and files of 8 and of 16 bits."""

import inspect

import numpy as np
import pytest
import torch
from PIL import Image

from sm3kit.api import DataError
from sm3kit.testing import check_modality
from sm3kit_xray.xray import Xray

SLOPE = np.add.outer(np.arange(50), np.arange(40))  # Darkest at the top left.


def saved(pixels, path):
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.mark.parametrize("options", [{}, {"flip": 0.5, "blur": 1.0}, {"reduce": False}])
def test_laws(options, tmp_path):
    check_modality(Xray, Xray.example(tmp_path), **options)


def test_laws_of_float_arrays(tmp_path):
    np.save(tmp_path / "chest.npy", np.random.default_rng(0).random((1, 40, 50), np.float32))
    check_modality(Xray, str(tmp_path / "chest.npy"))


def test_no_option_turns_it_upside_down_or_needs_colour():
    options = set(inspect.signature(Xray).parameters)
    assert not options & {"vertical_flip", "hue", "saturation", "grayscale", "channels"}


def test_up_stays_up_and_left_stays_left():
    image = (SLOPE * 2).astype(np.uint8)[np.newaxis]
    for view in Xray(32, views=50).views(image, np.random.default_rng(0)):
        assert view[0, :8].mean() < view[0, -8:].mean()
        assert view[0, :, :8].mean() < view[0, :, -8:].mean()


def test_places_alone_invent_no_level():
    image = np.full((1, 40, 40), 77, np.uint8)
    for view in Xray(32, jitter=0.0).views(image, np.random.default_rng(0)):
        assert (view == 77).all()


def test_normalisation_is_that_of_shares():
    modality = Xray(8, mean=0.5, std=0.25)
    assert (modality.normalise(torch.full((1, 1, 8, 8), 255, dtype=torch.uint8)) == 2).all()
    assert (modality.normalise(torch.zeros(1, 1, 8, 8)) == -2).all()


class TestReading:
    def test_eight_bits_stay_as_they_are(self, tmp_path):
        pixels = SLOPE.astype(np.uint8)
        image = Xray(64).read(saved(pixels, tmp_path / "chest.png"))
        assert image.dtype == np.uint8
        assert np.array_equal(image[0], pixels)

    def test_a_grey_jpeg_in_three_channels_is_one(self, tmp_path):
        path = saved(np.full((40, 40, 3), 90, np.uint8), tmp_path / "chest.jpg")
        assert (Xray(32).read(path) == 90).all()

    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_sixteen_bits_are_spread_over_the_levels(self, suffix, tmp_path):
        """12-bit values 1000 to 3000: 2000 lies in the middle, wherever 16 bits end."""
        pixels = np.linspace(1000, 3000, 2001).astype(np.uint16)[np.newaxis].repeat(30, 0)
        path = saved(pixels, tmp_path / f"chest.{suffix}")
        image = Xray(32, clip=0.0, reduce=False).read(path)
        assert image.dtype == np.uint8
        assert list(image[0, 0, [0, 500, 1000, 2000]]) == [0, 64, 128, 255]

    def test_extremes_are_clipped(self, tmp_path):
        """A lead marker of the highest value does not make the chest dark."""
        pixels = np.linspace(1000, 3000, 100 * 100).astype(np.uint16).reshape(100, 100)
        pixels[:3, :3] = 65535
        path = saved(pixels, tmp_path / "chest.png")
        assert Xray(100, clip=0.0, reduce=False).read(path).mean() < 10
        assert Xray(100, clip=0.001, reduce=False).read(path).mean() == pytest.approx(127, abs=2)

    def test_a_plain_image_is_black(self, tmp_path):
        path = saved(np.full((40, 40), 700, np.uint16), tmp_path / "chest.png")
        assert not Xray(32).read(path).any()

    def test_large_images_are_reduced(self, tmp_path):
        for bits in (np.uint8, np.uint16):
            path = saved(np.full((500, 600), 99, bits), tmp_path / "large.png")
            # 62 is 1.5 times 32 over the root of 0.6, rounded up.
            assert Xray(32).read(path).shape == (1, 62, 74)

    @pytest.mark.parametrize("bits", [np.uint8, np.uint16])
    def test_damaged_files_are_named(self, bits, tmp_path):
        path = tmp_path / "chest.png"
        pixels = np.random.default_rng(0).integers(0, 255, (90, 90)).astype(bits)
        saved(pixels, path)
        path.write_bytes(path.read_bytes()[:3000])
        with pytest.raises(
            DataError, match=r"^Cannot read the image .*chest\.png: .*Copy it again"
        ):
            Xray(32).read(str(path))

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(DataError, match=r"There is no image .*chest\.png"):
            Xray(32).read(str(tmp_path / "chest.png"))

    def test_it_says_what_changes_pixels(self):
        changed = [{}, {"clip": 0.1}, {"crop_scale": (0.2, 1.0)}, {"reduce": False}]
        assert len({Xray(32, **options).reading for options in changed}) == 4
        assert Xray(32, jitter=0.0).reading == Xray(32).reading

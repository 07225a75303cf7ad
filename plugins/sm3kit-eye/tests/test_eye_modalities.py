"""Fundus photographs and B-scans: the laws, and what is special about an eye."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sm3kit.api import DataError, OptionError
from sm3kit.testing import check_modality
from sm3kit_eye.fundus import Fundus
from sm3kit_eye.oct import Oct, retina

BOTH = pytest.mark.parametrize("plugin", [Fundus, Oct])


def laplacian(view):
    """The root of the mean square of the Laplacian."""
    here, edges = view[1:-1, 1:-1], (view[:-2, 1:-1], view[2:, 1:-1])
    sides = (view[1:-1, :-2], view[1:-1, 2:])
    return np.sqrt(np.square(4 * here - sum(edges) - sum(sides)).mean())


def saved(pixels, path):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return str(path)


@BOTH
def test_laws(plugin, tmp_path):
    check_modality(plugin, plugin.example(tmp_path))


@BOTH
def test_laws_of_float_arrays(plugin, tmp_path):
    image = np.random.default_rng(0).random((plugin.channels, 40, 50), dtype=np.float32)
    np.save(tmp_path / "image.npy", image)
    check_modality(plugin, str(tmp_path / "image.npy"))


@BOTH
def test_no_colour_changes_without_jitter(plugin, tmp_path):
    """Only pixels of the image are in its views: all else is a matter of place."""
    image = np.full((plugin.channels, 40, 40), 77, np.uint8)
    for view in plugin(32, jitter=0.0).views(image, np.random.default_rng(0)):
        assert (view == 77).all()
    assert any((view != 77).any() for view in plugin(32, jitter=1.0).views(image))


@BOTH
def test_geometry_decides_the_place_and_nothing_else(plugin, tmp_path):
    image = plugin(32).read(plugin.example(tmp_path))
    plain = plugin(32, jitter=0.0)
    first, second, other = (
        plain.views(image, np.random.default_rng(seed), np.random.default_rng(place))
        for seed, place in ((1, 5), (2, 5), (1, 6))
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@BOTH
def test_mean_and_deviation_are_those_of_the_shares(plugin):
    modality = plugin(8, mean=(0.5,) * plugin.channels, std=(0.25,) * plugin.channels)
    bytes_ = torch.full((2, plugin.channels, 8, 8), 255, dtype=torch.uint8)
    assert (modality.normalise(bytes_) == 2).all()
    assert (modality.normalise(torch.zeros(1, plugin.channels, 8, 8)) == -2).all()


@BOTH
@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [
        ("std", (1.0, 1.0), "needs one number per channel"),
    ],
)
def test_options_have_limits(plugin, option, value, wanted):
    with pytest.raises(OptionError) as error:
        plugin(32, **{option: value})
    start = f"The modality {plugin.__name__.lower()!r}: option {option!r} "
    assert str(error.value).startswith(start + wanted)


@BOTH
def test_reading_says_what_changes_pixels(plugin):
    readings = [plugin(32), plugin(64), plugin(32, crop_scale=(0.2, 1.0)), plugin(32, reduce=False)]
    assert len({modality.reading for modality in readings}) == 4
    assert plugin(32, jitter=0.0).reading == plugin(32).reading


@BOTH
@pytest.mark.parametrize("size", [32, 64])
def test_views_of_reduced_images_look_like_pillows(plugin, size, tmp_path):
    """Close in level, and as sharp, in detail as fine as noise; see the photographs of sm3kit.

    The second resize makes views a little smoother. Measured are 0.3 to 0.9 levels and 96 to 97 %
    of Pillow's Laplacian; 88 % if images were reduced to just what the smallest crop needs.
    """
    picture = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    picture = Image.fromarray(picture).convert("RGB" if plugin is Fundus else "L")
    modality = plugin(size)
    picture.save(tmp_path / "picture.png")
    image = modality.read(str(tmp_path / "picture.png"))
    assert image.shape[1] < 150
    view = np.moveaxis(modality.eval_view(image), 0, 2).astype(float)
    theirs = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR), dtype=float)
    theirs = theirs.reshape(view.shape)
    assert np.abs(view - theirs).mean() < 1.1
    assert 0.94 < laplacian(view) / laplacian(theirs) < 1.0


@BOTH
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_views_are_pillows_where_nothing_was_reduced(plugin, dtype):
    """Up and down, left and right, channel by channel."""
    image = (np.random.default_rng(0).random((plugin.channels, 50, 80)) * 255).astype(dtype)
    view = plugin(32).eval_view(image)
    assert view.dtype == dtype
    for ours, channel in zip(view, image, strict=True):
        theirs = Image.fromarray(channel).resize((32, 32), Image.Resampling.BILINEAR)
        # Weights are rounded, by Pillow and by torch, to whole numbers for bytes.
        near = 1 if dtype == np.uint8 else 0.01
        assert np.abs(ours - np.asarray(theirs, dtype=float)).max() <= near


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(DataError, match=r"There is no image .*eye\.png"):
        Oct(32).read(str(tmp_path / "eye.png"))


class TestFundus:
    @pytest.fixture
    def photo(self, tmp_path):
        """A grey-red field of view of 60 x 60 in a black picture, with one bright speck outside."""
        pixels = np.zeros((100, 200, 3))
        pixels[20:80, 90:150] = (120, 60, 30)
        pixels[5, 5] = 255
        return saved(pixels, tmp_path / "photo.png")

    def test_it_is_cut_to_the_field_of_view(self, photo):
        image = Fundus(64).read(photo)
        assert image.shape == (3, 60, 60)
        assert (image == np.array([120, 60, 30]).reshape(3, 1, 1)).all()

    def test_the_whole_picture_can_be_kept(self, photo):
        assert Fundus(100, field=0.0).read(photo).shape == (3, 100, 200)
        assert Fundus(100, field=0.0).reading != Fundus(100).reading

    def test_a_black_picture_stays_whole(self, tmp_path):
        assert Fundus(64).read(saved(np.zeros((40, 50, 3)), tmp_path / "black.png")).shape == (
            3,
            40,
            50,
        )

    def test_large_pictures_are_reduced(self, tmp_path):
        path = saved(np.full((500, 600, 3), 99), tmp_path / "large.png")
        # 68 is 1.5 times 32 over the root of a half, rounded up.
        assert Fundus(32).read(path).shape == (3, 68, 82)

    def test_red_free_photographs_have_three_equal_channels(self, tmp_path):
        image = Fundus(32).read(
            saved(np.arange(1600).reshape(40, 40) % 200 + 50, tmp_path / "g.png")
        )
        assert (image == image[:1]).all()

    def test_colour_stays(self):
        """Nothing becomes grey, and hardly anything changes its hue: red stays the strongest."""
        assert "grayscale" not in inspect.signature(Fundus).parameters
        image = np.broadcast_to(np.array([180, 90, 40]).reshape(3, 1, 1), (3, 40, 40))
        modality = Fundus(16, views=100, jitter=1.0)
        for view in modality.views(np.ascontiguousarray(image, np.uint8), np.random.default_rng(0)):
            red, green, blue = view.astype(int).mean((1, 2))
            assert red > green + 30 > blue + 45


class TestOct:
    def test_it_is_one_channel(self, tmp_path):
        path = saved(np.full((40, 40, 3), (90, 90, 90)), tmp_path / "scan.png")
        assert (Oct(32).read(path) == 90).all()
        assert Oct(32).read(path).shape == (1, 40, 40)

    def test_the_retina_is_where_the_light_is(self):
        scan = np.full((100, 50, 1), 20, np.uint8)
        scan[60:80] = 200
        first, last = retina(scan)
        assert 60 <= first <= 62
        assert 78 <= last <= 80
        assert retina(np.full((100, 50, 1), 20)) == (0, 100)

    @pytest.mark.parametrize("rows", [slice(3, 15), slice(85, 97), slice(40, 55)])
    def test_crops_keep_the_retina(self, rows):
        """All of a band of 12 to 15 rows is in every crop of 40 rows or more, wherever it lies."""
        scan = np.zeros((1, 100, 100), np.uint8)
        scan[:, rows] = 200
        band = (rows.stop - rows.start) / 100
        modality = Oct(100, views=50, crop_scale=(0.2, 0.6), rotate=0, jitter=0)
        for view in modality.views(scan, np.random.default_rng(0)):
            # The higher the crop, the smaller the band in the view; a crop has 100 rows at most.
            assert (view > 100).mean() > 0.85 * band

    def test_a_low_crop_is_in_a_high_retina(self):
        scan = np.zeros((1, 100, 100), np.uint8)
        scan[:, 20:90] = 200
        modality = Oct(20, views=50, crop_scale=(0.04, 0.09), rotate=0, jitter=0)
        for view in modality.views(scan, np.random.default_rng(0)):
            assert (view > 100).mean() > 0.85

    def test_up_stays_up(self):
        scan = np.repeat(np.arange(100, dtype=np.uint8), 100).reshape(1, 100, 100) * 2
        for view in Oct(32, views=50, jitter=0).views(scan, np.random.default_rng(0)):
            assert view[0, :8].mean() < view[0, -8:].mean()

    def test_gain_gamma_and_speckle(self):
        scan = np.full((1, 40, 40), 100, np.uint8)
        (noisy,) = Oct(32, views=1, jitter=1, brightness=0, gamma=0).views(
            scan, np.random.default_rng(1)
        )
        assert 0 < noisy.std() < 12  # At most a tenth of 100.
        assert abs(noisy.mean() - 100) < 1
        settings = Oct(32, views=50, jitter=1, speckle=0)
        means = [view.mean() for view in settings.views(scan, np.random.default_rng(1))]
        # Least: 0.7 * (100 / 255) ** (1 / 0.7) * 255 = 47; most: 1.3 * (100 / 255) ** 0.7 * 255 = 172.
        assert 46 <= min(means) < 70
        assert 130 < max(means) <= 173


def test_examples_are_small(tmp_path):
    for plugin in (Fundus, Oct):
        assert Path(plugin.example(tmp_path)).stat().st_size < 20_000

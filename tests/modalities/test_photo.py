"""What is special to photographs; the laws of every modality are tested elsewhere."""

import itertools
import math
import pickle

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from sm3kit.core.errors import DataError, OptionError
from sm3kit.imaging import colour
from sm3kit.modalities.photo import MEAN, STD, Photo

STILL = {
    "crop_scale": (1.0, 1.0), "flip": 0.0, "jitter": 0.0, "grayscale": 0.0, "blur": 0.0,
}  # fmt: skip


def noise(height=90, width=120, channels=3, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 256, (channels, height, width)).astype(dtype)


@pytest.fixture
def path(tmp_path):
    Image.fromarray(np.moveaxis(noise(450, 600), 0, 2)).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


def test_large_images_are_scaled_down_on_reading(path):
    image = Photo(224).read(path)
    assert image.shape == (3, 317, 423)  # 317 = 224 / sqrt(0.5), rounded up
    assert image.dtype == np.uint8
    assert image.transpose(1, 2, 0).flags.c_contiguous


def test_small_images_are_not_scaled_up(path):
    assert Photo(448).read(path).shape == (3, 450, 600)
    assert (Photo(224, reduce=False).read(path) == noise(450, 600)).all()


def test_the_border_is_cut_before_scaling(path):
    photo = Photo(224, border=25, reduce=False)
    assert (photo.read(path) == noise(450, 600)[:, 25:425, 25:575]).all()


def test_an_image_smaller_than_its_border(path):
    with pytest.raises(DataError) as error:
        Photo(border=225).read(path)
    assert str(error.value) == (
        f"The image {path} has 600 x 450 pixels, and nothing is left of it without a border of "
        "225. Choose a smaller -o photo.border=..."
    )


def test_reading_tells_what_read_depends_on():
    plain = Photo(224).reading
    assert plain == Photo(224, flip=0.0, views=3, hue=0.0).reading
    others = [Photo(112), Photo(224, border=25), Photo(224, channels=1), Photo(224, reduce=False)]
    assert len({plain, *(photo.reading for photo in others)}) == 5


def test_a_view_is_its_crop_and_no_more_where_all_else_is_off():
    photo = Photo(45, **STILL, crop_ratio=(4 / 3, 4 / 3), views=1, reduce=False)
    (view,) = photo.views(noise())
    assert (view == photo.eval_view(noise())).all()


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ({"flip": 1.0}, lambda view: view[:, :, ::-1]),
        ({"vertical_flip": 1.0}, lambda v: v[:, ::-1]),
    ],
)
def test_certain_flips(option, wanted):
    (plain,) = Photo(45, **STILL, views=1).views(noise(90, 90))
    (flipped,) = Photo(45, **{**STILL, **option}, views=1).views(noise(90, 90))
    assert (flipped == wanted(plain)).all()


def test_every_change_happens_as_often_as_asked():
    grey = Photo(16, **{**STILL, "grayscale": 0.2}, views=500)
    views = grey.views(noise(20, 20), np.random.default_rng(0))
    share = np.mean([(view[0] == view[1]).all() for view in views])
    assert abs(share - 0.2) < 4 * math.sqrt(0.2 * 0.8 / 500)


def test_jitter_draws_torchvisions_factors():
    """Brightness alone on a grey of 100: the view shows the factor."""
    options = {**STILL, "jitter": 1.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    photo = Photo(4, **options, brightness=0.8, views=500)
    image = np.full((3, 4, 4), 100, dtype=np.uint8)
    factors = [view[0, 0, 0] / 100 for view in photo.views(image, np.random.default_rng(0))]
    assert min(factors) == pytest.approx(0.2, abs=0.02)
    assert max(factors) == pytest.approx(1.8, abs=0.02)
    assert np.mean(factors) == pytest.approx(1, abs=4 * 0.46 / math.sqrt(500))


def test_the_colour_changes_come_in_every_order(monkeypatch):
    names = ("brightness", "contrast", "saturation", "hue")
    calls = []
    for name in names:
        monkeypatch.setattr(
            colour, name, lambda pixels, _, name=name: (calls.append(name), pixels)[1]
        )
    photo = Photo(8, **{**STILL, "jitter": 1.0}, views=300)
    photo.views(noise(8, 8), np.random.default_rng(0))
    orders = {tuple(calls[start : start + 4]) for start in range(0, len(calls), 4)}
    assert orders == set(itertools.permutations(names))


def test_rotation_stays_within_its_degrees():
    image = np.zeros((1, 101, 101), dtype=np.uint8)
    image[:, 50, 55:95] = 255  # a hand at three o'clock
    photo = Photo(101, channels=1, **STILL, views=50, rotate=20.0)
    angles = []
    for view in photo.views(image, np.random.default_rng(0)):
        rows, columns = np.nonzero(view[0] > 60)
        angles.append(math.degrees(math.atan2(50 - rows.mean(), columns.mean() - 50)))
    assert max(np.abs(angles)) <= 20.5  # half a pixel at the hand's middle
    assert max(angles) > 15
    assert min(angles) < -15


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_any_number_of_channels_gives_views(channels, dtype):
    photo = Photo(32, channels=channels, rotate=10.0, vertical_flip=0.5)
    image = noise(channels=channels, dtype=dtype)
    for view in [*photo.views(image, np.random.default_rng(0)), photo.eval_view(image)]:
        assert view.shape == (channels, 32, 32)
        assert view.dtype == dtype


def test_colour_changes_that_need_three_channels_are_said_to_be_left_out():
    assert Photo(32).notes == []
    assert Photo(32, channels=1, saturation=0.0, hue=0.0, grayscale=0.0).notes == []
    assert Photo(32, channels=1).notes == [
        "photo: saturation, hue, grayscale left out, which need 3 channels, not 1"
    ]


def test_views_take_an_image_that_must_not_be_written():
    image = noise()
    image.flags.writeable = False
    views = Photo(90, **STILL).views(image)
    assert all(not np.shares_memory(view, image) for view in views)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_normalise_is_torchvisions_formula_in_the_same_layout(layout):
    views = torch.from_numpy(np.stack([noise(8, 8), noise(8, 8)])).contiguous(memory_format=layout)
    before = views.clone()
    normal = Photo(8).normalise(views)
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    torch.testing.assert_close(normal, (views / 255 - mean) / std)
    assert normal.dtype == torch.float32
    assert normal.is_contiguous(memory_format=layout)
    assert (views == before).all()


def test_normalise_takes_float_images_as_they_are():
    views = torch.rand(2, 1, 8, 8)
    before = views.clone()
    normal = Photo(8, channels=1, mean=(0.5,), std=(0.25,)).normalise(views)
    torch.testing.assert_close(normal, (views - 0.5) / 0.25)
    assert (views == before).all()


def test_the_default_mean_is_averaged_for_other_channels():
    assert Photo(8, channels=1).mean == (sum(MEAN) / 3,)
    assert Photo(8, channels=5, mean=(0.4,), std=(0.2,)).mean == (0.4,) * 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (0.5, 0.5)}, "option 'mean' wants 3 numbers, one per channel, or one for all, not (0.5, 0.5)."),
        ({"std": (0.5, 0.0, 0.5)}, "option 'std' wants numbers above 0, not (0.5, 0.0, 0.5)."),
        ({"views": 0}, "option 'views' wants 1 or more, not 0."),
        ({"border": -1}, "option 'border' wants 0 or more, not -1."),
        ({"crop_scale": (0.5, 1.5)}, "option 'crop_scale' wants two shares in order, above 0, at most 1, not (0.5, 1.5)."),
        ({"crop_ratio": (2.0, 1.0)}, "option 'crop_ratio' wants two numbers in order, above 0, not (2.0, 1.0)."),
        ({"blur_sigma": (0.0, 1.0)}, "option 'blur_sigma' wants two numbers in order, above 0, not (0.0, 1.0)."),
        ({"blur_kernel": 4}, "option 'blur_kernel' wants an odd number, not 4."),
        ({"jitter": 80.0}, "option 'jitter' wants 0 to 1, not 80.0."),
        ({"rotate": -5.0}, "option 'rotate' wants 0 or more, not -5.0."),
        ({"hue": 0.8}, "option 'hue' wants 0 to 0.5, not 0.8."),
    ],
)  # fmt: skip
def test_options_out_of_range(options, message):
    with pytest.raises(OptionError) as error:
        Photo(224, **options)
    assert str(error.value) == f"The modality 'photo': {message}"


def test_a_photo_can_be_pickled_for_a_worker():
    photo = pickle.loads(pickle.dumps(Photo(32)))  # noqa: S301  as a spawned worker does
    pair = [one.views(noise(), np.random.default_rng(3)) for one in (photo, Photo(32))]
    assert all((ours == theirs).all() for ours, theirs in zip(*pair, strict=True))


def test_opencv_keeps_to_one_thread():
    Photo(32).views(noise())
    assert cv2.getNumThreads() == 1

"""Each part of a view in batches against a second way, and no waiting for the device."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch.utils._python_dispatch import TorchDispatchMode

from sm3kit.imaging import augmentation_batches, colour, geometry
from sm3kit.imaging.augmentation import Augmentation, Change, augment
from sm3kit.imaging.augmentation_batches import augment_batch, numbers_of
from sm3kit.imaging.geometry import Box
from sm3kit.imaging.layout import to_chw, to_hwc
from sm3kit.imaging.resizing import fast

SIDE = 40
SIZES = [(90, 120), (40, 40), (33, 200), (31, 17), (64, 50)]


def picture(height, width, channels=3, dtype=np.uint8, seed=0):
    """Smooth colours with some noise, (C, H, W)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(y / (20 + c) + 2 * c) + np.cos(x / (15 + c) - c) for c in range(channels)]
    levels = 128 + 55 * np.stack(waves, axis=2) + rng.normal(0, 6, (height, width, channels))
    levels = levels.clip(0, 255).astype(np.uint8)
    return to_chw(levels if dtype == np.uint8 else (levels / 255).astype(np.float32))


def pictures(channels=3, dtype=np.uint8):
    return [picture(*size, channels, dtype, seed) for seed, size in enumerate(SIZES)]


def in_batch(images, drawn, kernel=3):
    numbers = torch.tensor([numbers_of(own) for own in drawn])
    return augment_batch([torch.from_numpy(image) for image in images], numbers, kernel).numpy()


def one_by_one(images, drawn, kernel=3):
    return np.stack(
        [
            to_chw(augment(to_hwc(image), own, kernel, fast))
            for image, own in zip(images, drawn, strict=True)
        ]
    )


def whole(image, **more):
    height, width = image.shape[1:]
    return Augmentation(Box(0, 0, height, width), SIDE, **more)


def levels_apart(first, second):
    scale = 1 if first.dtype == np.uint8 else 255
    return np.abs(first.astype(float) - second) * scale


@pytest.mark.parametrize("side", [8, 40, 100])
def test_crops_are_pillows(side):
    """The whole crop comes from Pillow, by another code than that of views one by one."""
    rng, images = np.random.default_rng(0), pictures()
    boxes = []
    for image in images:
        height, width = image.shape[1:]
        h, w = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
        top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
        boxes.append(Box(top, left, h, w))
    ours = in_batch(images, [Augmentation(box, side) for box in boxes])
    for view, image, box in zip(ours, images, boxes, strict=True):
        pixels = np.ascontiguousarray(geometry.crop(to_hwc(image), box))
        theirs = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
        apart = levels_apart(view, to_chw(np.array(theirs)))
        assert apart.max() <= 1
        # Where enlarging gives exact halves, Pillow's weights of limited digits say which level.
        assert (apart > 0).mean() < 0.25


def test_flips_and_turns_are_scipys():
    """The interior of a turned picture, which no reflection reaches."""
    image = picture(SIDE, SIDE, 1, np.float32)
    for flip, vertical_flip in ((False, False), (True, False), (False, True), (True, True)):
        more = {"degrees": 25.0, "flip": flip, "vertical_flip": vertical_flip}
        (ours,) = in_batch([image], [whole(image, **more)])
        theirs = ndimage.rotate(image[0], 25.0, reshape=False, order=1)
        theirs = theirs[:, ::-1] if flip else theirs
        theirs = theirs[::-1] if vertical_flip else theirs
        assert np.abs(ours[0] - theirs)[8:-8, 8:-8].max() < 1e-4


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("change", Change)
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_changes_of_colour_are_those_of_single_views(change, channels, dtype):
    if change in (Change.SATURATION, Change.HUE) and channels != 3:
        pytest.skip("is for colours")
    if change is Change.HUE and dtype == np.float32:
        pytest.skip("is for levels")
    image = picture(SIDE, SIDE, channels, dtype)
    amounts = (-0.5, -0.1, 0.2) if change is Change.HUE else (0.0, 0.3, 1.0, 1.7)
    drawn = [whole(image, changes=((change, amount),)) for amount in amounts]
    images = [image] * len(drawn)
    apart = levels_apart(one_by_one(images, drawn), in_batch(images, drawn))
    # Where hue or saturation round to another of 256 steps, colours are up to six levels apart.
    assert apart.max() <= (6 if change is Change.HUE else 1.001 if dtype == np.uint8 else 1e-3)
    assert apart.mean() < 0.06


def test_every_colour_is_turned_as_by_opencv():
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    pixels = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 52, 3)
    views = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    for shift in (-0.5, -0.2, 0.0, 0.07, 0.31):
        ours = augmentation_batches._turn_hue(views, torch.tensor([shift]))[0].permute(1, 2, 0)
        theirs = colour.hue(pixels, shift)
        apart = levels_apart(theirs, ours.numpy())
        assert apart.max() <= 6
        assert (apart > 0).mean() < 0.015


@pytest.mark.parametrize("kernel", [1, 3, 9, 101])
def test_blur_is_opencvs(kernel):
    images = [picture(SIDE, SIDE, dtype=np.float32, seed=seed) for seed in range(3)]
    sigmas = (0.0, 0.1, 2.5)
    ours = in_batch(
        images, [whole(image, sigma=s) for image, s in zip(images, sigmas, strict=True)], kernel
    )
    for view, image, sigma in zip(ours, images, sigmas, strict=True):
        sharp = to_hwc(image)
        theirs = cv2.GaussianBlur(sharp, (kernel, kernel), sigma) if sigma else sharp
        assert np.abs(view - to_chw(theirs)).max() < 1e-5


@pytest.mark.parametrize("side", [1, 2, 3])
def test_views_may_be_tiny(side):
    image = picture(SIDE, SIDE)
    box = Box(0, 0, SIDE, SIDE)
    drawn = [Augmentation(box, side, degrees=10.0, sigma=1.0, changes=((Change.HUE, 0.1),))]
    apart = levels_apart(one_by_one([image], drawn), in_batch([image], drawn))
    assert apart.max() <= 3


def test_chunks_change_nothing(monkeypatch):
    images = pictures()
    drawn = [whole(image) for image in images]
    before = in_batch(images, drawn)
    monkeypatch.setattr(augmentation_batches, "CHUNK", 3 * 64 * 64)
    assert len(list(augmentation_batches._chunks([3 * h * w for h, w in SIZES]))) > 2
    assert levels_apart(before, in_batch(images, drawn)).max() <= 1


class NoWaiting(TorchDispatchMode):
    """Refuses what makes the host wait for a GPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero"), name
        return func(*args, **(kwargs or {}))


def test_the_host_never_waits():
    images = [torch.from_numpy(image) for image in pictures()]
    changes = ((Change.CONTRAST, 0.5), (Change.HUE, 0.1), (Change.SATURATION, 0.0))
    drawn = [
        numbers_of(
            whole(image, degrees=4.0 * n, flip=n == 1, changes=changes[: n % 4], sigma=n / 3)
        )
        for n, image in enumerate(images)
    ]
    numbers = torch.tensor(drawn)
    with NoWaiting():
        augment_batch(images, numbers, 3)

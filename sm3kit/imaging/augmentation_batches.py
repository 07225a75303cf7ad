"""Random views of many images at once, in torch on any device: the pixels of `augmentation`.

They are those of `augment` up to rounding. What is random comes as numbers, (B, NUMBERS) for one view
of each of B images, which the host knows: no step waits for the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.imaging.augmentation import Augmentation, Change
from sm3kit.imaging.colour import GREY
from sm3kit.imaging.layout import Pixels

STEPS = 5  # Changes of colour that a view may have: those of a jitter, and grey.
TOP, LEFT, HEIGHT, WIDTH, SIDE, DEGREES, FLIP, VERTICAL_FLIP, SIGMA = range(9)
KINDS, AMOUNTS = slice(9, 9 + STEPS), slice(9 + STEPS, 9 + 2 * STEPS)
NUMBERS = 9 + 2 * STEPS
IDLE = (Change.BRIGHTNESS, 1.0)  # Changes nothing.
CHUNK = 2**25  # Values of crops that are resized at a time: 128 MB.


def numbers_of(drawn: Augmentation) -> list[float]:
    """All of one augmentation as NUMBERS numbers."""
    changes = [*drawn.changes, *[IDLE] * (STEPS - len(drawn.changes))]
    kinds, amounts = zip(*changes, strict=True)
    flips = (drawn.flip, drawn.vertical_flip)
    return [
        float(number)
        for number in (
            *(*drawn.box, drawn.side, drawn.degrees, *flips, drawn.sigma),
            *(*kinds, *amounts),
        )
    ]


def augment_batch(images: Sequence[Tensor], drawn: Tensor, kernel: int) -> Tensor:
    """One view (B, C, S, S) of each of B images, on their device, channels-last in memory.

    Args:
        images: (C, H, W) each, of any size, uint8 or float32, all of one type and device.
        drawn: (B, NUMBERS) float32 on the host, pinned where the images are on a GPU. All have the
            same SIDE.
        kernel: width of the blur in pixels, odd.
    """
    whole = images[0].dtype == torch.uint8
    numbers = drawn.to(images[0].device, non_blocking=True)
    known = drawn.numpy()  # What is decided here is decided by the host.
    views = _crops(images, known, numbers, whole=whole)
    if known[:, DEGREES].any() and views.shape[2] > 1:
        views = _levels(_rotated(views, numbers), whole=whole)
    for step in range(STEPS):
        kinds, amounts = numbers[:, KINDS][:, step], numbers[:, AMOUNTS][:, step]
        turns = known[:, KINDS][:, step] == Change.HUE
        if (known[:, AMOUNTS][:, step] != 1).any() or turns.any():
            views = _levels(_scaled(views, kinds, amounts), whole=whole)
            views = _turn_hues(views, kinds, amounts, int(turns.sum()))
    if known[:, SIGMA].any():
        views = _levels(_blurred(views, numbers[:, SIGMA], kernel), whole=whole)
    return views.to(images[0].dtype).contiguous(memory_format=torch.channels_last)


def _levels(values: Tensor, *, whole: bool) -> Tensor:
    """Whole levels from 0 to 255, where images have them."""
    return values.round_().clamp_(0, 255) if whole else values


def _across(values: Tensor, columns: Tensor) -> Tensor:
    """What a linear map (B, S, W) makes of the columns of values (B, C, H, W)."""
    return torch.bmm(values.flatten(1, 2), columns.mT).view(*values.shape[:3], -1)


def _crops(images: Sequence[Tensor], known: Pixels, numbers: Tensor, *, whole: bool) -> Tensor:
    """The crops (B, C, S, S), resized by the anti-aliased bilinear filter, and flipped."""
    boxes = known[:, : WIDTH + 1].astype(int).tolist()
    side = int(known[0, SIDE])
    views = []
    for rows in _chunks([height * width * len(images[0]) for _, _, height, width in boxes]):
        views.append(_resized(images[rows], boxes[rows], numbers[rows], side, whole=whole))
    return torch.cat(views)


def _chunks(sizes: Sequence[int]) -> Iterator[slice]:
    """Slices that cut images of these sizes into runs that are padded to less than CHUNK values."""
    start, largest = 0, 0
    for place, size in enumerate(sizes):
        largest = max(largest, size)
        if place > start and (place + 1 - start) * largest > CHUNK:
            yield slice(start, place)
            start, largest = place, size
    yield slice(start, len(sizes))


def _resized(
    images: Sequence[Tensor],
    boxes: Sequence[Sequence[int]],
    numbers: Tensor,
    side: int,
    *,
    whole: bool,
) -> Tensor:
    height, width = (max(box[axis] for box in boxes) for axis in (HEIGHT, WIDTH))
    crops = numbers.new_zeros(len(images), len(images[0]), height, width)
    for crop, image, (top, left, high, wide) in zip(crops, images, boxes, strict=True):
        crop[:, :high, :wide].copy_(image[:, top : top + high, left : left + wide])
    columns = _resize_matrix(numbers[:, WIDTH], width, side, numbers[:, FLIP])
    rows = _resize_matrix(numbers[:, HEIGHT], height, side, numbers[:, VERTICAL_FLIP])
    # As Pillow does it: columns first, whole levels in between, and halves become the level above.
    wide_views = _across(crops, columns)
    if whole:
        return (rows.unsqueeze(1) @ (wide_views + 0.5).floor_() + 0.5).floor_()
    return rows.unsqueeze(1) @ wide_views


def _resize_matrix(lengths: Tensor, longest: int, side: int, flips: Tensor) -> Tensor:
    """(B, S, longest): how much each of the first `length` pixels adds to each pixel of a view.

    Source: the bilinear filter of Pillow, a triangle as wide as two pixels of the smaller image.
    """
    scale = (lengths / side).view(-1, 1, 1)
    place = torch.arange(side, device=lengths.device).view(1, -1, 1)
    place = torch.where(flips.view(-1, 1, 1) > 0, side - 1 - place, place)
    pixel = torch.arange(longest, device=lengths.device).view(1, 1, -1)
    distance = (pixel + 0.5 - scale * (place + 0.5)).abs() / scale.clamp(min=1)
    weights = (1 - distance).clamp(min=0) * (pixel < lengths.view(-1, 1, 1))
    return weights / weights.sum(dim=2, keepdim=True)


def _rotated(views: Tensor, numbers: Tensor) -> Tensor:
    """Turned about the centre; corners are filled by reflection, as by `geometry.rotate`."""
    # A flip after a turn is the turn the other way after the flip, which is done already.
    mirrored = (numbers[:, FLIP] + numbers[:, VERTICAL_FLIP]) == 1
    angle = torch.deg2rad(torch.where(mirrored, -numbers[:, DEGREES], numbers[:, DEGREES]))
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    turn = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(turn, list(views.shape), align_corners=True)
    return F.grid_sample(views, grid, padding_mode="reflection", align_corners=True)


def _scaled(views: Tensor, kinds: Tensor, amounts: Tensor) -> Tensor:
    """Brightness, contrast and saturation: away from black, the mean grey, or a pixel's grey."""
    kinds = kinds.view(-1, 1, 1, 1)
    factors = torch.where(kinds == Change.HUE, 1.0, amounts.view(-1, 1, 1, 1))
    grey = _grey(views)
    mean = grey.mean(dim=(1, 2, 3), keepdim=True)
    base = torch.where(kinds == Change.CONTRAST, mean, grey)
    base = torch.where(kinds == Change.BRIGHTNESS, 0.0, base)
    # Not by `lerp`, which would not keep the values as they are for a factor of 1.
    return views * factors + base * (1 - factors)


def _grey(views: Tensor) -> Tensor:
    """(B, 1, S, S) the grey of RGB; of other channels all values (B, C, S, S)."""
    if views.shape[1] != 3:
        return views
    red, green, blue = (views[:, channel] * float(GREY[channel]) for channel in range(3))
    return (red + green + blue).unsqueeze(1)


def _turn_hues(views: Tensor, kinds: Tensor, amounts: Tensor, count: int) -> Tensor:
    """The `count` views (B, 3, S, S) of RGB levels whose hue changes have it turned, in place."""
    if not count:
        return views
    rows = torch.argsort((kinds != Change.HUE).float(), stable=True)[:count]
    turned = _turn_hue(views.index_select(0, rows), amounts.index_select(0, rows))
    return views.index_copy_(0, rows, turned)


def _turn_hue(views: Tensor, shifts: Tensor) -> Tensor:
    """Hue and saturation are whole numbers from 0 to 255 in between, as OpenCV's 8 bits are."""
    value, least = views.amax(dim=1), views.amin(dim=1)
    red, green, blue = views.unbind(dim=1)
    chroma = value - least
    sixth = torch.where(
        value == red,
        green - blue,
        torch.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma),
    )
    # Without chroma, the sixth is zero; without value, the chroma is.
    hue = (sixth * (256 / 6) / chroma.clamp(min=1) + 0.5).floor_()
    saturation = (255 * chroma / value.clamp(min=1) + 0.5).floor_() / 255
    turn = (shifts * 256).round().view(-1, 1, 1)
    hue = torch.where(hue < 0, hue + 256, hue).clamp_(max=255)
    hue = (hue + turn) % 256 * (6 / 255)
    chroma = value * saturation
    colours = []
    for offset in (5, 3, 1):
        place = (hue + offset) % 6
        colours.append(value - chroma * torch.minimum(place, 4 - place).clamp_(0, 1))
    return torch.stack(colours, dim=1).round_()


def _blurred(views: Tensor, sigmas: Tensor, kernel: int) -> Tensor:
    """Blurred by Gaussians, reflected at the edges; a sigma of 0 blurs nothing."""
    reach, side = kernel // 2, views.shape[2]
    offsets = torch.arange(-reach, reach + 1, device=views.device)
    shares = torch.exp(-((offsets / sigmas.clamp(min=1e-3).view(-1, 1)) ** 2) / 2)
    shares = shares / shares.sum(dim=1, keepdim=True)
    places = (torch.arange(side, device=views.device) + offsets.view(-1, 1)).abs()
    places = places % max(2 * side - 2, 1)
    places = torch.minimum(places, 2 * side - 2 - places).abs()
    for axis in (3, 2):
        total = torch.zeros_like(views)
        for place, share in zip(places, shares.unbind(1), strict=True):
            total.addcmul_(views.index_select(axis, place), share.view(-1, 1, 1, 1))
        views = total
    return views

"""Views per second on one core against Pillow and torchvision, and how near the views are.

Run: python tests/benchmarks/input_pipeline.py [FOLDER]

Without a folder it writes JPEGs of 600 x 450 pixels. All sides make the same two SM3 views of
224 pixels of each image, as a normalised float batch. They take turns, and each figure is a
median over the rounds, of processor time: other programs on the machine then matter less.

The second table compares views without any change of colour to those of Pillow from the same
place of the file: the mean distance in levels of 0 to 255, and the size of the Laplacian, which
is above 1 where views show more detail than Pillow's, and below 1 where they are smoother.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from sm3kit.data.image_cache import ImageCache
from sm3kit.imaging import geometry
from sm3kit.imaging.layout import to_hwc
from sm3kit.modalities.photo import MEAN, STD, Photo

IMAGES, VIEWS, BATCH, ROUNDS = 48, 2, 16, 9
SIZES, CROPS = (224, 96, 64), 3
RELEASE = {"reduce": False, "resize": "pillow"}
PILLOW = ("Pillow + torchvision, decodes per image", "Pillow + torchvision, decodes per view")
SUFFIXES = {".jpg", ".jpeg", ".png"}


def write_pictures(folder: Path) -> None:
    """JPEGs with the detail of a photo: noise on several scales."""
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        pixels = np.full((450, 600, 3), 150.0)
        for side in (6, 25, 100, 300):
            rough = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
            fine = rough.resize((600, 450), Image.Resampling.BICUBIC)
            pixels += (np.asarray(fine, dtype=float) - 128) * 0.3
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
            folder / f"{number:03}.jpg", quality=90
        )


def sm3kit_side(paths: list[str], cache: ImageCache, photo: Photo) -> torch.Tensor:
    rng = np.random.default_rng()
    views = [view for path in paths for view in photo.views(cache.get(path, photo), rng)]
    pixels = np.stack([np.moveaxis(view, 0, -1) for view in views])
    return photo.normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2))


def torchvision_side(paths: list[str], augment: Callable, decodes: int) -> torch.Tensor:
    views = []
    for path in paths:
        for _ in range(decodes):
            picture = Image.open(path).convert("RGB")
            views += [augment(picture) for _ in range(VIEWS // decodes)]
    return torch.stack(views)


def torchvision_transforms() -> Callable:
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(224, scale=(0.5, 1.0)),
            transforms.RandomApply([transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8),
            transforms.RandomGrayscale(0.2),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([transforms.GaussianBlur(3, (0.1, 2.0))], 0.5),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )


def seconds(side: Callable[[list[str]], torch.Tensor], paths: list[str]) -> float:
    start = time.process_time()
    for first in range(0, len(paths), BATCH):
        side(paths[first : first + BATCH])
    return time.process_time() - start


def measure(paths: list[str], folder: Path) -> dict[str, list[float]]:
    default, release = Photo(224, views=VIEWS), Photo(224, views=VIEWS, **RELEASE)
    augment, cache = torchvision_transforms(), ImageCache(folder / "cache")
    cache.fill([(path, photo) for path in paths for photo in (default, release)])
    none = ImageCache(None)
    sides: dict[str, Callable[[list[str]], torch.Tensor]] = {
        "sm3kit, images in the cache": lambda some: sm3kit_side(some, cache, default),
        "sm3kit, decodes per image": lambda some: sm3kit_side(some, none, default),
        "as released, images in the cache": lambda some: sm3kit_side(some, cache, release),
        "as released, decodes per image": lambda some: sm3kit_side(some, none, release),
        PILLOW[0]: lambda some: torchvision_side(some, augment, 1),
        PILLOW[1]: lambda some: torchvision_side(some, augment, VIEWS),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):
        for name, side in sides.items():
            spent = seconds(side, paths)
            if turn:  # The first turn warms up.
                times[name].append(spent)
    return times


def show_speed(times: dict[str, list[float]], count: int) -> None:
    print(f"{'':40}{'views/s':>9}{'ms/view':>9}   times as fast as Pillow + torchvision,")
    print(f"{'':40}{'':18}   {'decoding per image':>20}{'per view':>10}")
    for name, spent in times.items():
        middle = statistics.median(spent) / count
        line = f"{name:40}{1 / middle:9.0f}{middle * 1e3:9.2f}   "
        if name not in PILLOW:
            for other, width in zip(PILLOW, (20, 10), strict=True):
                ratios = [one / own for own, one in zip(spent, times[other], strict=True)]
                line += f"{statistics.median(ratios):{width}.1f}"
        print(line)


def laplacian(view: np.ndarray) -> float:
    """The root of the mean square of the Laplacian."""
    here, edges = view[1:-1, 1:-1], (view[:-2, 1:-1], view[2:, 1:-1])
    sides = (view[1:-1, :-2], view[1:-1, 2:])
    return float(np.sqrt(np.square(4 * here - sum(edges) - sum(sides)).mean()))


def distances(path: str, size: int, options: dict, crops: int) -> list[tuple[float, float]]:
    """Of random crops, or of the evaluation view if there are none: level and Laplacian."""
    still = {"flip": 0.0, "jitter": 0.0, "grayscale": 0.0, "blur": 0.0, "views": 1}
    photo = Photo(size, **still, **options)
    image, picture = photo.read(path), Image.open(path).convert("RGB")
    height, width = image.shape[1:]
    pairs = []
    for seed in range(crops or 1):
        box = geometry.Box(0, 0, height, width)
        view = photo.eval_view(image)
        if crops:
            (view,) = photo.views(image, np.random.default_rng(seed))
            rng = np.random.default_rng(seed)
            box = geometry.draw_crop(height, width, photo.crop_scale, photo.crop_ratio, rng)
        pairs.append((to_hwc(view), of_pillow(picture, box, (width, height), size)))
    return [
        (np.abs(ours - theirs).mean(), laplacian(ours) / laplacian(theirs))
        for ours, theirs in ((one.astype(float), two.astype(float)) for one, two in pairs)
    ]


def of_pillow(
    picture: Image.Image, box: geometry.Box, of: tuple[int, int], size: int
) -> np.ndarray:
    """Pillow's view of a place that was drawn in an image of a size, perhaps a smaller one."""
    edges = (box.left, box.top, box.left + box.width, box.top + box.height)
    if of == picture.size:
        picture, place = picture.crop(edges), None
    else:
        across, down = picture.width / of[0], picture.height / of[1]
        place = tuple(n * by for n, by in zip(edges, (across, down) * 2, strict=True))
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, place))


def show_nearness(paths: list[str]) -> None:
    print(f"\n{'distance to views of Pillow':40}{'levels':>9}{'Laplacian (5 % to 95 %)':>27}")
    for name, options in (("sm3kit", {}), ("as released", RELEASE)):
        for size in SIZES:
            for what, crops in (("crops", CROPS), ("evaluation views", 0)):
                found = [one for path in paths for one in distances(path, size, options, crops)]
                levels, details = np.array(found).T
                low, high = np.quantile(details, [0.05, 0.95])
                print(
                    f"{f'{name}, {what} of {size} px':40}{levels.mean():9.3f}"
                    f"{details.mean():11.3f} ({low:.3f} to {high:.3f})"
                )


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = Path(sys.argv[1]) if len(sys.argv) > 1 else folder / "pictures"
        if len(sys.argv) == 1:
            source.mkdir()
            write_pictures(source)
        found = sorted(str(path) for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not found:
            sys.exit(f"No JPEG or PNG in {source}.")
        paths = found[:: max(1, len(found) // IMAGES)][:IMAGES]
        print(f"{len(paths)} images of {source}, {VIEWS} views of 224 px each, one core,")
        print(f"median of {ROUNDS} rounds in turn\n")
        show_speed(measure(paths, folder), len(paths) * VIEWS)
        show_nearness(paths)


if __name__ == "__main__":
    main()

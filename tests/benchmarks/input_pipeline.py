"""Views per second on one core: sm3kit's cache and views against PIL and torchvision.

Run: python tests/benchmarks/input_pipeline.py [FOLDER]

Without a folder it writes JPEGs of 600 x 450 pixels. All sides make the same two SM3 views of
224 pixels of each image, as a normalised float batch; they take turns, and each figure is a
median over the rounds. The second row is sm3kit without its cache.
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

from sm3kit.engine.image_cache import ImageCache
from sm3kit.modalities.photo import MEAN, STD, Photo

IMAGES, VIEWS, BATCH, ROUNDS = 48, 2, 16, 7
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
    start = time.perf_counter()
    for first in range(0, len(paths), BATCH):
        side(paths[first : first + BATCH])
    return time.perf_counter() - start


def measure(paths: list[str], folder: Path) -> dict[str, list[float]]:
    photo, augment = Photo(224, views=VIEWS), torchvision_transforms()
    cache = ImageCache(folder / "cache")
    cache.fill([(path, photo) for path in paths])
    sides: dict[str, Callable[[list[str]], torch.Tensor]] = {
        "sm3kit, images in the cache": lambda some: sm3kit_side(some, cache, photo),
        "sm3kit, decodes per image": lambda some: sm3kit_side(some, ImageCache(None), photo),
        "PIL + torchvision, decodes per image": lambda some: torchvision_side(some, augment, 1),
        "PIL + torchvision, decodes per view": lambda some: torchvision_side(some, augment, VIEWS),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):
        for name, side in sides.items():
            spent = seconds(side, paths)
            if turn:  # The first turn warms up.
                times[name].append(spent)
    return times


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
        paths = found[:IMAGES]
        times = measure(paths, folder)
    print(f"{len(paths)} images of {source}, {VIEWS} views of 224 px each, one core,")
    print(f"median of {ROUNDS} rounds in turn\n")
    count = len(paths) * VIEWS
    best = statistics.median(next(iter(times.values())))
    print(f"{'':38}{'views/s':>9}{'ms/view':>9}{'sm3kit is':>11}")
    for name, spent in times.items():
        middle = statistics.median(spent)
        print(f"{name:38}{count / middle:9.0f}{middle / count * 1e3:9.2f}{middle / best:10.1f}x")


if __name__ == "__main__":
    main()

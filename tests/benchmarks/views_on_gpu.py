"""Views per second made one by one on a CPU core, and in batches on the device that trains.

Run: python tests/benchmarks/views_on_gpu.py [SIDE]

Both sides make the same two SM3 views of SIDE (224) pixels of each of 64 images of 450 x 600 pixels,
which are decoded already and smaller by `reduce` where that applies. The batched side is timed from
images in (pinned) main memory to views on the device: the GPU if there is one, else the CPU with the
threads that PyTorch takes. What is left to the workers, which draw the random numbers and collate, is
timed apart. Figures are medians over the rounds, in which the sides take turns.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from sm3kit.data.raw_images import RawImage, RawImages
from sm3kit.imaging.layout import to_chw
from sm3kit.imaging.resizing import shrink
from sm3kit.modalities.photo import Photo

IMAGES, ROUNDS = 64, 7


def pictures(photo: Photo) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:450, 0:600]
    images = []
    for phase in range(IMAGES):
        waves = [np.sin(y / (20 + c) + phase) + np.cos(x / (15 + c) - c) for c in range(3)]
        pixels = 128 + 45 * np.stack(waves, axis=2) + rng.normal(0, 8, (450, 600, 3))
        images.append(to_chw(shrink(pixels.clip(0, 255).astype(np.uint8), photo.shorter_side)))
    return images


def one_by_one(photo: Photo, images: list[np.ndarray]) -> list[torch.Tensor]:
    made = [photo.views(image, np.random.default_rng(n)) for n, image in enumerate(images)]
    return [torch.from_numpy(np.stack(views)) for views in zip(*made, strict=True)]


def draw(photo: Photo, images: list[np.ndarray]) -> RawImages:
    items = [
        RawImage(image, photo.draw_views(image, np.random.default_rng(n)), rotated=False)
        for n, image in enumerate(images)
    ]
    return RawImages.of(items)


def milliseconds(action: Callable[[], object], device: str) -> float:
    """For the two views of one image; on a CPU of processor time, whatever else runs on it."""
    clock = time.perf_counter if device == "cuda" else time.process_time
    start = clock()
    action()
    if device == "cuda":
        torch.cuda.synchronize()
    return (clock() - start) / IMAGES * 1000


def main() -> None:
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 224
    device = "cuda" if torch.cuda.is_available() else "cpu"
    photo = Photo(side)
    images = pictures(photo)
    raw = draw(photo, images)
    raw = raw.pin_memory() if device == "cuda" else raw
    sides = {
        "one by one, one CPU core": lambda: one_by_one(photo, images),
        "drawn and collated, one CPU core": lambda: draw(photo, images),
        f"in a batch of {IMAGES}, {device}": lambda: raw.to(device).views(photo),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):
        for name, action in sides.items():
            taken = milliseconds(action, device)
            if turn:  # The first is a warm-up.
                times[name].append(taken)
    where = (
        torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    )
    print(f"two views of {side} px of an image, on {device} ({where})")
    for name, taken in times.items():
        middle = statistics.median(taken)
        print(f"{name:36} {middle:7.2f} ms   {2000 / middle:8.0f} views/s")
    alone, batch = one_by_one(photo, images), raw.to(device).views(photo)
    apart = torch.stack(alone).float() - torch.stack([view.cpu() for view in batch]).float()
    print(
        f"apart: {apart.abs().mean():.3f} levels, {(apart.abs() > 2).float().mean():.2%} above two"
    )


if __name__ == "__main__":
    main()

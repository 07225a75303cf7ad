"""Images decoded from tar shards against the same images in plain files.

python tests/benchmarks/shards.py FOLDER [STUDIES]

Draws pairs of 600 x 450 JPEGs, packs them, and decodes every image at 224 px in a random order, from
files and from shards in turn, five times, without a cache. Then it opens a listing of 100,000
studies in 100 shards, whose images are a byte each.
"""

import random
import statistics
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from sm3kit.data.packing import pack
from sm3kit.data.specs import open_dataset
from sm3kit.datasets.base import as_paths
from sm3kit.modalities.base import read_image
from sm3kit.modalities.photo import Photo
from sm3kit.tables.shard_file import Limits, Packing, write_shards

TURNS, LISTED, PER_SHARD = 5, 100_000, 1_000


def draw(folder: Path, count: int) -> str:
    """A manifest of pairs of photographs with some detail."""
    folder.mkdir(parents=True)
    rng, rows = np.random.default_rng(0), ["id,derm,clinic,DIAG"]
    for number in range(count):
        for name in ("derm", "clinic"):
            coarse = rng.integers(0, 255, (45, 60, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f"{number}-{name}.jpg"), cv2.resize(coarse, (600, 450)))
        rows.append(f"{number},{number}-derm.jpg,{number}-clinic.jpg,{number % 2}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return f"manifest:{folder / 'manifest.csv'}"


def seconds(paths: list[str]) -> float:
    """The time in which one thread decodes all images."""
    photo, start = Photo(224), time.perf_counter()
    for path in paths:
        read_image(path, photo)
    return time.perf_counter() - start


def paths_of(spec: str) -> list[str]:
    """The images of a data set, in one random order."""
    studies = open_dataset(spec).studies()
    paths = [
        path for study in studies for images in study.images.values() for path in as_paths(images)
    ]
    random.Random(0).shuffle(paths)
    return paths


def main(folder: Path, count: int = 500) -> None:
    plain = draw(folder / "files", count)
    packed = pack(plain, {}, folder / "shards", most_studies=max(1, count // 4))
    shards = f"shards:{folder / 'shards'}"
    print(f"{packed.studies} studies in {packed.shards} shards")
    pairs = [(seconds(paths_of(plain)), seconds(paths_of(shards))) for _ in range(TURNS)]
    images = 2 * count
    print(f"images/s from files {images / min(own for own, _ in pairs):.0f}, from shards "
          f"{images / min(other for _, other in pairs):.0f}")  # fmt: skip
    ratio = statistics.median(own / other for own, other in pairs)
    print(f"shards / files: {ratio:.3f}, median of {TURNS} turns")
    (folder / "byte.jpg").write_bytes(b"x")
    byte = [str(folder / "byte.jpg")]
    listed = (
        Packing({"id": f"{n:06}", "labels": {"DIAG": "ab"[n % 2]}}, {"derm": byte, "clinic": byte})
        for n in range(LISTED)
    )
    (folder / "many").mkdir()
    photo = {"plugin": "photo", "options": {}, "frame": ""}
    labels = [{"name": "DIAG", "classes": ["a", "b"], "reported": ""}]
    facts = {
        "modalities": {"derm": photo, "clinic": photo},
        "labels": labels,
        "weak": {},
        "notes": [],
    }
    write_shards(folder / "many", "many", facts, listed, Limits(studies=PER_SHARD))
    for how in ("indexed", "not indexed", "from the cache"):
        if how == "not indexed":
            for file in (folder / "many").glob("*.json"):
                file.unlink()
        start = time.perf_counter()
        count = len(open_dataset(f"shards:{folder / 'many'}").studies())
        print(f"{count:,} studies listed, {how}: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))

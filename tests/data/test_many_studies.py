"""Many studies that share few files: what is kept does not grow from epoch to epoch."""

import pickle

import numpy as np
import pytest
from PIL import Image

from sm3kit.data.batches import Collate, StudyViews
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import open_pool

STUDIES, FILES = 150, 4


@pytest.fixture
def views(tmp_path):
    for number in range(FILES):
        noise = np.random.default_rng(number).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    rows = [f"s{n},train,{n % FILES}.png,{(n + 1) % FILES}.png,{n % 2}" for n in range(STUDIES)]
    table = tmp_path / "manifest.csv"
    table.write_text("\n".join(["id,split,derm,clinic,DIAG", *rows]))
    pool = open_pool([f"manifest:{table}"], image_size=lambda name: 8)
    images = ImageCache(tmp_path / "cache")
    images.fill(
        (path, pool.readers[0][name])
        for case in pool.cases["train"]
        for name, paths in case.images.items()
        for path in paths
    )
    return StudyViews(pool, pool.cases["train"], images, seed=0)


def test_nothing_that_is_kept_grows_from_epoch_to_epoch(views):
    """What views, cache and order hold is the same after the first epoch and after the third."""
    order, collate = EpochBatches(STUDIES, 32, seed=0), Collate(["derm", "clinic"])
    held = []
    for epoch in range(3):
        order.set_epoch(epoch)
        for batch in order:
            collate([views[-1, place] for _, place, _ in batch])
        held.append(len(pickle.dumps((views, order))))
    # The number of the epoch may take a few bytes more.
    assert held[2] - held[0] < 8


def test_studies_take_little_of_the_memory_of_a_worker(views):
    """Where workers are not forked, each gets a copy; words and folders are in it once."""
    assert len(pickle.dumps(views)) < 600 * STUDIES

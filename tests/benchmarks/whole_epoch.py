"""A whole training epoch against the bare forward, backward and step of the same batches.

    python tests/benchmarks/whole_epoch.py [BACKBONE] [IMAGE_SIZE] [BATCH_SIZE] [SPEC]

The epoch is the real one: reading, views, Lightning, monitors, checkpoint, metrics.csv.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from tiny_runs import altered

from sm3kit.core.files import cache_root
from sm3kit.core.variant import Variant
from sm3kit.data.batches import StudyViews, train_loader
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.networks.assemble import build_pool, build_stage1
from sm3kit.training.hardware import keep_freed_memory
from sm3kit.training.pretrain import pretrain
from sm3kit.training.stage1 import MultiModalSSL

EPOCHS, ROUNDS = 3, 3


class Clock(Reporter):
    """Remembers when each epoch ended."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self.ends: list[float] = []

    def say(self, text: str) -> None:
        """Notes the time of an epoch's line."""
        if text.startswith("epoch"):
            self.ends.append(time.perf_counter())


def whole(variant: Variant, cache: ImageCache) -> float:
    """Seconds of one epoch, the mean of those after the first."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        pretrain(variant, Path(folder) / "run", clock, cache)
    return (clock.ends[-1] - clock.ends[0]) / (len(clock.ends) - 1)


class Bare:
    """The same batches held in memory, and the same arithmetic, with nothing around it."""

    def __init__(self, variant: Variant, cache: ImageCache) -> None:
        pool = build_pool(variant)
        cases = pool.of(variant.splits)
        names = list(pool.modalities)
        views = StudyViews(pool, cases, cache, variant.seed)
        order = EpochBatches(len(cases), variant.stage1.batch_size, variant.seed)
        self.batches = list(train_loader(views, order, names, 0))
        parts = build_stage1(variant, pool.modalities)
        self.module = MultiModalSSL(parts, variant, len(self.batches))
        self.module.to(memory_format=torch.channels_last)
        self.optimiser = self.module.configure_optimizers()

    def epoch(self) -> float:
        """Seconds of one pass over the batches."""
        parts = self.module.parts
        start = time.perf_counter()
        for batch in self.batches:
            features = self.module.encode(batch.views, parts.branches.backbones)
            terms = [
                term
                for each in parts.objectives.values()
                for name, objective in each.items()
                for term in objective(features[name]).values()
            ]
            streams = parts.branches.streams(features, batch.present)
            for crossing in parts.crossings.values():
                terms += crossing(streams, present=batch.present, group=batch.group).values()
            torch.stack(terms).sum().backward()
            self.optimiser.step()
            self.optimiser.zero_grad()
        return time.perf_counter() - start


def main() -> None:
    """Prints the ratio."""
    given = sys.argv[1:]
    backbone, size, batch, spec = (
        *given,
        *("timm/resnet18", "64", "96", "synthetic")[len(given) :],
    )
    variant = altered(
        Variant(),
        data=(spec,),
        backbone=backbone,
        weights="none",
        image_size=int(size),
        stage1={"batch_size": int(batch), "epochs": EPOCHS, "monitor_every": 5, "precision": "32"},
    )
    keep_freed_memory()
    cache = ImageCache(Path(cache_root()) / "images")
    bare = Bare(variant, cache)
    bare.epoch()
    pairs = []
    for _ in range(ROUNDS):
        before = bare.epoch()
        full = whole(variant, cache)
        pairs.append(((before + bare.epoch()) / 2, full))
    ratio = statistics.median(b / f for b, f in pairs)
    print(f"{backbone}, {size} px, batch {batch}, {spec}, {ROUNDS} rounds in turn")
    print(f"  bare   {statistics.median(b for b, _ in pairs):7.2f} s an epoch")
    print(f"  whole  {statistics.median(f for _, f in pairs):7.2f} s an epoch")
    print(f"  the whole epoch reaches {100 * ratio:.1f} % of the bare speed")


if __name__ == "__main__":
    main()

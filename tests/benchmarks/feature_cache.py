"""Stage 2 and the probe with cached features against encoding anew in every epoch.

python tests/benchmarks/feature_cache.py [stage2|probe|extraction]

ResNet-50 at 224 px on drawn studies, in half of the numbers of Derm7pt (413, 203 and 395): what
does not grow with them weighs twice as much. The slow side is measured for two epochs and
extrapolated. Both sides find their images decoded.
"""

import csv
import sys
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console

from sm3kit.core.stage_settings import Stage1Settings, Stage2Settings
from sm3kit.core.variant import Variant
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.opening import open_subject
from sm3kit.evaluation.settings import Settings
from sm3kit.networks.extraction import Encoder, encode
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.synthesis.layouts import write
from sm3kit.training.hardware import keep_freed_memory
from sm3kit.training.pretrain import pretrain

COUNTS = {"train": 206, "val": 101, "test": 197}
MEASURED = 2


def studies(folder: Path) -> str:
    """A manifest of drawn studies with the split sizes of Derm7pt."""
    write("manifest", folder, sum(COUNTS.values()), 256)
    table = folder / "manifest.csv"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    splits = [split for split, count in COUNTS.items() for _ in range(count)]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "split": split} for row, split in zip(rows, splits, strict=True))
    return f"manifest:{table}"


def epoch_seconds(metrics: Path, stage: str, count: int) -> float:
    """Mean seconds of an epoch."""
    with metrics.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["stage"] == stage]
    speeds = [float(row.get("studies_per_second") or 0) for row in rows]
    return sum(count / speed for speed in speeds) / len(speeds)


class Bench:
    """Runs in a folder of their own, with one image cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = ImageCache(folder / "images")
        self.reporter = Reporter(Console(quiet=True))
        self.data = (studies(folder / "studies"),)
        # Draws, decodes and writes a run to evaluate.
        self.train("start", 8, 0, "mmssl")

    def train(self, name: str, views: int, epochs: int, stage: str = "mlssl") -> float:
        """Seconds of a pre-training."""
        variant = Variant(
            data=self.data,
            weights="none",
            stage=stage,
            stage1=Stage1Settings(epochs=0),
            stage2=Stage2Settings(epochs=epochs, feature_views=views),
        )
        start = time.perf_counter()
        features = FeatureCache(self.folder / f"features-{name}")
        pretrain(variant, self.folder / name, self.reporter, self.images, features=features)
        return time.perf_counter() - start

    def subject(self, name: str):
        """The run without training, with an empty feature cache."""
        features = FeatureCache(self.folder / f"features-{name}")
        return open_subject(self.folder / "start", (), self.images, features, self.reporter)


def stage2(bench: Bench) -> None:
    """150 epochs of stage 2."""
    fast = bench.train("cached", 8, 150)
    slow = bench.train("anew", 0, MEASURED)
    slow += (150 - MEASURED) * epoch_seconds(
        bench.folder / "anew/metrics.csv", "mlssl", COUNTS["train"]
    )
    print(f"  stage 2, 150 epochs: cached {fast:.0f} s, anew {slow:.0f} s (extrapolated): ", end="")
    print(f"{slow / fast:.1f} times")


def probe(bench: Bench) -> None:
    """50 epochs of the probe."""
    start = time.perf_counter()
    evaluate(bench.subject("probe"), Settings(seed=0))
    fast = time.perf_counter() - start
    start = time.perf_counter()
    settings = Settings(seed=0, feature_views=0, epochs=MEASURED)
    evaluate(bench.subject("probe-anew"), settings)
    slow = time.perf_counter() - start
    # An epoch trains on one view of each study and scores the validation studies.
    test = sum(COUNTS.values()) - COUNTS["train"] - COUNTS["val"]
    share = 1 - test / (test + MEASURED * (COUNTS["train"] + COUNTS["val"]))
    slow += (50 - MEASURED) * slow * share / MEASURED
    print(f"  probe, 50 epochs: cached {fast:.0f} s, anew {slow:.0f} s (extrapolated): ", end="")
    print(f"{slow / fast:.1f} times")


def extraction(bench: Bench) -> None:
    """Images a second against the bare forward of the same batches."""
    subject = bench.subject("extraction")
    cases = subject.cases("val", labelled=False)
    shown = subject.views_of(cases, 0)
    encoder: Encoder = subject.encoder
    keep_freed_memory()
    size = subject.variant.stage1.batch_size
    from sm3kit.data.batches import eval_loader

    batches = list(eval_loader(shown, size, list(subject.branches.widths)))
    network = subject.branches
    inputs = [{n: network.modalities[n].normalise(b.views[n][0]) for n in b.views} for b in batches]
    encode(network, batches[-1], encoder.precision)
    ratios = []
    for attempt in range(3):
        start = time.perf_counter()
        with torch.inference_mode():
            for each in inputs:
                for name, images in each.items():
                    network.backbones[name](images)
        bare = time.perf_counter() - start
        encoder.cache = FeatureCache(bench.folder / f"features-extraction-{attempt}")
        start = time.perf_counter()
        encoder.evaluation(shown)
        ratios.append(bare / (time.perf_counter() - start))
    images = 2 * len(cases)
    print(f"  extraction: {100 * sorted(ratios)[1]:.0f} % of the bare forward's speed ", end="")
    print(f"({', '.join(f'{100 * r:.0f}' for r in ratios)}), {images / bare:.1f} images/s bare")


def main() -> None:
    """Runs the parts that are named, or all."""
    parts = {"stage2": stage2, "probe": probe, "extraction": extraction}
    print(f"{torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for name in sys.argv[1:] or parts:
            parts[name](bench)


if __name__ == "__main__":
    main()

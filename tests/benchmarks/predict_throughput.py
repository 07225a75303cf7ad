"""Predictions from files on disk against the bare forward of the same batches.

python tests/benchmarks/predict_throughput.py [pairs, 395] [backbone, timm/resnet50] [pixels, 224]

The images are JPEG files of 450 pixels that no cache has seen. Bare is the forward of the two
backbones on batches that lie ready in memory, normalised. The goal is 85 % of its speed. On a CPU
the seconds are those of all cores together, so that reading counts in full.
"""

import csv
import dataclasses
import sys
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console

from sm3kit.core.stage_settings import Stage1Settings
from sm3kit.core.variant import Variant
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.deployment.predict import predict
from sm3kit.deployment.predictor import Predictor, find_classifier, open_predictor
from sm3kit.deployment.question import Question, find_studies
from sm3kit.deployment.reading import ReadStudies, batches_of
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.opening import open_subject
from sm3kit.evaluation.settings import Settings
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs.folder import RunFolder
from sm3kit.synthesis.layouts import write
from sm3kit.training.hardware import keep_freed_memory
from sm3kit.training.pretrain import pretrain

ATTEMPTS = 3


def opened(folder: Path, backbone: str, pixels: int) -> Predictor:
    """Untrained networks with a probe of one epoch on a few small studies."""
    write("manifest", folder / "small", 24, 64)
    table = folder / "small" / "manifest.csv"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(
            file, ["id", "split", "derm", "clinic", "DIAG"], extrasaction="ignore"
        )
        writer.writeheader()
        for i, row in enumerate(rows):
            writer.writerow(
                {**row, "split": ("train", "val", "test")[i % 3], "DIAG": "ab"[i // 3 % 2]}
            )
    variant = Variant(
        data=(f"manifest:{table}",),
        backbone=backbone,
        weights="none",
        stage="mmssl",
        image_size=pixels,
        stage1=Stage1Settings(epochs=0, batch_size=16),
    )
    reporter, images, features = Reporter(Console(quiet=True)), ImageCache(None), FeatureCache(None)
    pretrain(variant, folder / "run", reporter, images)
    subject = open_subject(folder / "run", (), images, features, reporter)
    settings = Settings(epochs=1, select="last", feature_views=1, resamples=2, seed=0)
    evaluate(subject, dataclasses.replace(settings, views={**settings.views, "views": 1}))
    trained = RunFolder(folder / "run").trained()
    return open_predictor(trained, find_classifier(trained))


def bare_seconds(predictor: Predictor, question: Question) -> float:
    """The forward of both backbones on batches that lie ready."""
    asked = find_studies(predictor, question)
    size = predictor.variant.stage1.batch_size
    names = predictor.streams
    ready = [
        {
            name: predictor.modalities[name].normalise(batch.views[name][0].to(device()))
            for name in names
        }
        for batch in batches_of(
            asked, predictor.modalities, names, ImageCache(None), size, ReadStudies()
        )
    ]
    predictor.to(device())
    kind = torch.bfloat16 if predictor.file.precision == "bf16-mixed" else None
    start = clock()
    with torch.inference_mode(), torch.autocast(device(), dtype=kind, enabled=kind is not None):
        for each in ready:
            for name, images in each.items():
                found = predictor.branches.backbones[name](images)
        found.sum().item()
    return clock() - start


def clock() -> float:
    """Seconds: of all cores on a CPU, which others may share, and by the wall on a GPU."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


def device() -> str:
    """Where the networks are."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def main() -> None:
    """Measures both sides in turn, and prints the median of their ratios."""
    words = sys.argv[1:]
    pairs = int(words[0]) if words else 395
    backbone = words[1] if len(words) > 1 else "timm/resnet50"
    pixels = int(words[2]) if len(words) > 2 else 224
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        predictor = opened(folder, backbone, pixels)
        write("manifest", folder / "new", pairs, 450)
        question = Question(manifest=folder / "new" / "manifest.csv")
        bare_seconds(predictor, question)  # The first batch of a process is slow.
        ratios, speeds = [], []
        for _ in range(ATTEMPTS):
            bare = bare_seconds(predictor, question)
            start = clock()
            record = predict([predictor], question, ImageCache(None), Reporter(Console(quiet=True)))
            whole = clock() - start
            assert len(record["studies"]) == pairs
            ratios.append(bare / whole)
            speeds.append(2 * pairs / whole)
    print(f"{pairs} pairs, {backbone}, {pixels} px, {device()}, {torch.get_num_threads()} threads")
    unit = "second" if torch.cuda.is_available() else "second of one core"
    every = ", ".join(f"{100 * one:.0f}" for one in ratios)
    print(f"  predict: {sorted(speeds)[1]:.1f} images per {unit}, ", end="")
    print(f"{100 * sorted(ratios)[1]:.0f} % of the bare forward's speed ({every})")


if __name__ == "__main__":
    main()

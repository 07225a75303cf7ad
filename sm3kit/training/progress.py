"""What people see of a training: a bar or lines, and a line for an epoch."""

from __future__ import annotations

import math
from typing import Any, cast

import pytorch_lightning as pl

from sm3kit.data.progress import Reporter
from sm3kit.runs.measures import mean_rank, pairs_of, ranks_of
from sm3kit.training.base import TITLES, EpochRow, Learner


class ShowProgress(pl.Callback):
    """Moves the bar with every batch and says a line with every epoch."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.task = 0
        self.status = ""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the bar over all epochs that are left."""
        module = cast(Learner, pl_module)
        left = module.epochs - module.first_epoch
        self.task = self.reporter.task(TITLES[module.stage], left * module.steps_per_epoch)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Moves the bar."""
        module = cast(Learner, pl_module)
        description = f"{TITLES[module.stage]}, epoch {module.epoch + 1}/{module.epochs}"
        self.reporter.advance(self.task, description=description, status=self.status)

    def tell(self, row: EpochRow, epochs: int) -> None:
        """The line of an epoch: loss, what shows a collapse, and the speed of what encodes images."""
        if row["epoch"] == 0:
            self.reporter.say(f"start    {'  '.join(_signs(row))}")
            return
        self.status = f"loss {row['loss']:.4f}"
        # Epochs after stage 1 are many and short: ten lines tell enough.
        told = row["epoch"] in (1, epochs) or row["epoch"] % -(-epochs // 10) == 0
        if row["stage"] != "mmssl" and not told:
            return
        width = len(str(epochs))
        head = f"epoch {row['epoch']:>{width}}/{epochs}"
        unit = "images" if "images_per_second" in row else "studies"
        speed = [] if row["stage"] == "mlssl" else [f"{row[f'{unit}_per_second']:.0f} {unit}/s"]
        # A bar says it all the time.
        left = "" if self.reporter.bar else self.reporter.left(self.task)
        self.reporter.say("  ".join([head, self.status, *_signs(row), *speed, left]).rstrip())

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the bar away."""
        self.reporter.done(self.task)


def _signs(row: EpochRow) -> list[str]:
    """The smallest std, NaN before all, what validation studies tell; of clusters, sizes and NMI."""
    parts = []
    stds = [value for name, value in row.items() if name.startswith("std/")]
    if stds:
        parts.append(f"std {min(stds, key=lambda std: (not math.isnan(std), std)):.2f}")
    if ranks_of(row):
        # Directions may rank different numbers of pairs.
        least, most = pairs_of(row)
        parts.append(f"rank {mean_rank(row):.1f} of {least}{f' to {most}' * (most > least)}")
    if "knn_auc" in row:
        parts.append(f"kNN AUC {100 * row['knn_auc']:.1f}")
    if "auc" in row:
        parts.append(f"selection AUC {100 * row['auc']:.1f}")
    for column, words in (("entropy", "entropy"), ("nmi_before", "nmi before")):
        own = [value for name, value in row.items() if name.startswith(f"{column}/")]
        # A label without clusters agrees with nothing.
        values = [value for value in own if not math.isnan(value)]
        if values:
            parts.append(f"{words} {sum(values) / len(values):.2f}")
    if not math.isnan(row.get("nmi_labels", math.nan)):
        parts.append(f"between labels {row['nmi_labels']:.2f}")
    return parts

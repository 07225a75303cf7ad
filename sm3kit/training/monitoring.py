"""Looks at every epoch: loss terms, collapse monitors, and how pairs are matched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor

from sm3kit.core.names import pair_names
from sm3kit.core.variant import Variant
from sm3kit.networks.encoding import encoded, mean_ranks
from sm3kit.networks.extractor import Extractor
from sm3kit.nn.monitors import alignment, normalised_std, rankme, uniformity
from sm3kit.runs.run import Run
from sm3kit.training.stage import Row, Stage

COLLAPSED = 0.1


class Monitor(pl.Callback):
    """Writes one row of metrics.csv per epoch and tells it to whoever shows progress.

    Args:
        run: where metrics.csv lies.
        rows: the rows of the epochs before.
        look: gives more columns of an epoch, for the module of the stage.
        tell: called with each row, on the first process.
        warn: called with a sentence, at most once per modality.
    """

    def __init__(
        self,
        run: Run,
        rows: list[Row],
        look: Callable[[Any], Row],
        tell: Callable[[Row], None],
        warn: Callable[[str], None],
    ) -> None:
        self.run, self.rows, self.look = run, rows, look
        self.tell, self.warn = tell, warn
        self.warned: set[str] = set()
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.unit, self.done, self.started = "images", 0, 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock and the sums."""
        self.sums, self.counts, self.done = {}, {}, 0
        self.started = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Adds up the terms, on the device."""
        module = cast(Stage, pl_module)
        for name, value in module.last_terms.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value
            self.counts[name] = self.counts.get(name, 0) + 1
        self.unit = batch.unit
        self.done += batch.count * trainer.world_size

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Completes the row of this epoch."""
        if not trainer.is_global_zero:
            return
        module = cast(Stage, pl_module)
        terms = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        seconds = time.perf_counter() - self.started
        row: Row = {"stage": module.stage, "epoch": module.epoch + 1}
        row |= {"loss": module.total(terms), **terms}
        row |= {"lr": module.rate, f"{self.unit}_per_second": round(self.done / seconds, 1)}
        row |= self.look(module)
        self.rows.append(row)
        self.run.write_metrics(self.rows)
        self.tell(row)
        self._warn_of_collapse(row)

    def _warn_of_collapse(self, row: Row) -> None:
        for name, value in row.items():
            # NaN is not below, and no better.
            low = name.startswith("std/") and not value >= COLLAPSED
            if low and name not in self.warned:
                self.warned.add(name)
                self.warn(
                    f"The features of {name[4:]} are collapsing (std {value:.2f}, healthy is near 1)."
                    " Lower --lr, or raise --batch-size."
                )


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs a block on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def collapse(seen: dict[str, list[list[Tensor]]]) -> Row:
    """The collapse monitors of the newest rows that a module has seen in training.

    Args:
        seen: {modality, or stream with a trailing *: batches of views (B, D)}.

    Returns:
        std, RankMe and uniformity per modality and stream, alignment of the views of each, and
        alignment between streams of two modalities; NaN where features are not finite.
    """
    row: Row = {}
    joined = {}
    for name, batches in seen.items():
        views = [torch.cat(view).float().cpu() for view in zip(*batches, strict=True)]
        if not views or len(views[0]) < 2:
            continue
        joined[name] = views
        row[f"std/{name}"] = normalised_std(views[0])
        row[f"rankme/{name}"] = rankme(views[0])
        row[f"uniformity/{name}"] = uniformity(views[0])
        if len(views) > 1:
            row[f"alignment/{name}"] = alignment(views[0], views[1])
    streams = [name[:-1] for name in joined if name.endswith("*")]
    for (one, other), name in pair_names(streams).items():
        row[f"alignment/{name}"] = alignment(joined[f"{one}*"][0], joined[f"{other}*"][0])
    return row


def validation_ranks(extractor: Extractor, batches: Any) -> Row:
    """Mean rank of the true partner among the validation pairs, per direction and space.

    NaN where features are not finite: a monitor shows it, and the end of the stage refuses it.
    """
    found = encoded(extractor, batches)
    row: Row = {}
    for space, mark in (("projection", "*"), ("backbone", "")):
        for direction, (rank, count) in mean_ranks(found, space).items():
            row[f"rank/{direction}{mark}"] = rank
            row["rank/of"] = count
    return row


def due(variant: Variant, epoch: int) -> bool:
    """Whether the validation pairs are looked at after an epoch, from 1."""
    every = variant.monitor_every
    return bool(every) and (epoch % every == 0 or epoch == variant.epochs)

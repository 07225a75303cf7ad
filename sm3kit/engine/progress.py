"""How a training shows that it lives: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sm3kit.engine.mmssl import MultiModalSSL
from sm3kit.engine.monitoring import Row, shown_rank


class Reporter:
    """Says things to a person; a context around everything that takes long."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Progress | None = None

    def say(self, text: str) -> None:
        """A line of plain text."""
        (self.bar.console if self.bar else self.console).print(text, highlight=False, markup=False)

    def warn(self, text: str) -> None:
        """A line that stands out."""
        target = self.bar.console if self.bar else self.console
        target.print(f"warning: {text}", style="yellow", highlight=False, markup=False)

    def __enter__(self) -> Reporter:
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[status]}"),
                TimeRemainingColumn(compact=True),
                console=self.console,
                transient=True,
            )
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None

    def task(self, description: str, total: int) -> int | None:
        """Starts a bar; None where there is no terminal."""
        return self.bar.add_task(description, total=total, status="") if self.bar else None

    def advance(self, task: int | None, **fields: Any) -> None:
        """Moves a bar by one."""
        if self.bar and task is not None:
            self.bar.update(task, advance=1, **fields)  # type: ignore[arg-type]

    def done(self, task: int | None) -> None:
        """Removes a bar."""
        if self.bar and task is not None:
            self.bar.remove_task(task)  # type: ignore[arg-type]


class ShowProgress(pl.Callback):
    """Moves the bar with every batch and says a line with every epoch."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.task: int | None = None
        self.status = ""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the bar over all epochs that are left."""
        assert isinstance(pl_module, MultiModalSSL)
        left = pl_module.variant.epochs - pl_module.first_epoch
        self.task = self.reporter.task("training", left * pl_module.steps_per_epoch)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Moves the bar."""
        assert isinstance(pl_module, MultiModalSSL)
        description = f"epoch {pl_module.epoch + 1}/{pl_module.variant.epochs}"
        self.reporter.advance(self.task, description=description, status=self.status)

    def tell(self, row: Row, epochs: int) -> None:
        """The line of an epoch: loss, the smallest std, rank of the validation pairs, speed."""
        rank = shown_rank(row)
        stds = [value for name, value in row.items() if name.startswith("std/")]
        parts = [f"loss {row['loss']:.4f}"]
        if stds:
            parts.append(f"std {min(stds):.2f}")
        if rank is not None:
            parts.append(f"rank {rank:.1f} of {row['rank/of']}")
        self.status = "  ".join(parts)
        width = len(str(epochs))
        head = f"epoch {row['epoch']:>{width}}/{epochs}"
        self.reporter.say(f"{head}  {self.status}  {row['images_per_second']:.0f} images/s")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the bar away."""
        self.reporter.done(self.task)

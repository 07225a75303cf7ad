"""How a training shows that it lives: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Any, cast

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sm3kit.core.folding import folded
from sm3kit.engine.monitoring import shown_rank
from sm3kit.engine.stage import Row, Stage


class Reporter:
    """Says things to a person; a context around everything that takes long.

    Args:
        console: where it is said.
        quiet: only warnings are said.
    """

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self.console = console
        self.quiet = quiet
        self.bar: Progress | None = None

    def say(self, text: str) -> None:
        """A line of plain text."""
        if self.quiet:
            return
        self._print(text)

    def warn(self, text: str) -> None:
        """A line that stands out."""
        self._print(f"warning: {text}", style="yellow")

    def _print(self, text: str, style: str | None = None) -> None:
        target = self.bar.console if self.bar else self.console
        if target.is_terminal:
            text = folded(text, target.width)
        target.print(text, style=style, soft_wrap=True, highlight=False, markup=False)

    def __enter__(self) -> Reporter:
        if self.console.is_terminal and not self.quiet:
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
        module = cast(Stage, pl_module)
        left = module.epochs - module.first_epoch
        self.task = self.reporter.task("training", left * module.steps_per_epoch)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Moves the bar."""
        module = cast(Stage, pl_module)
        description = f"epoch {module.epoch + 1}/{module.epochs}"
        self.reporter.advance(self.task, description=description, status=self.status)

    def tell(self, row: Row, epochs: int) -> None:
        """The line of an epoch: loss, what shows a collapse, and speed."""
        self.status = "  ".join([f"loss {row['loss']:.4f}", *_signs(row)])
        # Epochs after stage 1 are many and short: ten lines tell enough.
        told = row["epoch"] in (1, epochs) or row["epoch"] % -(-epochs // 10) == 0
        if row["stage"] != "mmssl" and not told:
            return
        width = len(str(epochs))
        head = f"epoch {row['epoch']:>{width}}/{epochs}"
        unit = "images" if "images_per_second" in row else "studies"
        self.reporter.say(f"{head}  {self.status}  {row[f'{unit}_per_second']:.0f} {unit}/s")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the bar away."""
        self.reporter.done(self.task)


def _signs(row: Row) -> list[str]:
    """The smallest std, the rank of validation pairs; of clusters, sizes and NMI."""
    parts = []
    stds = [value for name, value in row.items() if name.startswith("std/")]
    if stds:
        parts.append(f"std {min(stds):.2f}")
    rank = shown_rank(row)
    if rank is not None:
        parts.append(f"rank {rank:.1f} of {row['rank/of']}")
    if "auc" in row:
        parts.append(f"selection AUC {100 * row['auc']:.1f}")
    for column, words in (("entropy", "entropy"), ("nmi_before", "nmi before")):
        values = [value for name, value in row.items() if name.startswith(f"{column}/")]
        if values:
            parts.append(f"{words} {sum(values) / len(values):.2f}")
    if "nmi_labels" in row:
        parts.append(f"between labels {row['nmi_labels']:.2f}")
    return parts

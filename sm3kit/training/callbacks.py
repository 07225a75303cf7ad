"""What accompanies a training: stops, and a row per epoch."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from sm3kit.core.errors import Interrupted, TimeUp
from sm3kit.nn.finite import first_two, not_finite
from sm3kit.nn.monitors import COLLAPSED
from sm3kit.runs.epoch_rows import read_epochs
from sm3kit.runs.folder import RunFolder
from sm3kit.training.base import EpochRow, Learner
from sm3kit.training.observing.loggers import Logs

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGREE_EVERY = 20  # Steps.


class StopDiverged(pl.Callback):
    """Ends a training after an epoch that left weights, buffers or the optimiser not finite.

    The loss of a step tells of the update before it, and nothing tells of the last one. This
    callback comes before those that look at an epoch and keep it, so that `last.ckpt` is always
    one to go on from.
    """

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Looks at every tensor once, alike in each process.

        Raises:
            TrainingError: some are not finite; they are named.
        """
        module = cast(Learner, pl_module)
        module.check_terms(wait=True)
        state = module.state_dict() | _optimiser_tensors(trainer.optimizers[0], module)
        bad = not_finite(state)
        if bad:
            what = f"{len(bad)} of {len(state)} tensors ({first_two(bad)}) are"
            raise module.diverged(what, "after the last step of")


def _optimiser_tensors(optimiser: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """What an optimiser remembers of the gradients of each weight, by its name."""
    names: dict[Tensor, str] = {weight: name for name, weight in module.named_parameters()}
    return {
        f"{kind} of {names[weight]}": values
        for weight, kept in optimiser.state.items()
        for kind, values in kept.items()
        if isinstance(values, Tensor)
    }


class StopBetweenSteps(pl.Callback):
    """Waits for the step under way, then raises Interrupted; a second signal acts at once.

    As a context it takes the signals. Lightning turns a SIGTERM that comes between our two looks,
    and a second Ctrl-C, into an exit of its own, with code 0 or 1: that is a stop as well.
    """

    def __init__(self) -> None:
        self.asked = False
        self.before: dict[int, Any] = {}

    def __enter__(self) -> StopBetweenSteps:
        if threading.current_thread() is not threading.main_thread():
            return self  # Python gives signals to the main thread alone.
        for number in SIGNALS:
            self.before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if self.asked and isinstance(error, SystemExit):
            raise Interrupted("Stopped.") from None

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(number, self.before[number])

    def on_train_batch_end(self, trainer: pl.Trainer, *rest: Any) -> None:
        """Stops here if it was asked for."""
        if self.asked:
            raise Interrupted("Stopped.")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops here if it was asked for while monitors ran."""
        if self.asked:
            raise Interrupted("Stopped.")


class StopEarly(pl.Callback):
    """Ends a training after an epoch when it asks for it, or when another would not end in time.

    It comes before what keeps an epoch, which then keeps this one. A step beyond the deadline
    raises TimeUp: in the first epoch, or in one that takes longer than those before.

    Args:
        deadline: on the clock `time.monotonic`; None is never.
    """

    def __init__(self, deadline: float | None) -> None:
        self.deadline = deadline
        self.mark = time.monotonic()  # The end of the epoch before.
        self.lengths: list[float] = []  # Of the epochs, in seconds.
        self.stopped_after = 0  # The number of the last epoch, if it was the time that ended it.

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stops here if the time is up.

        Raises:
            TimeUp: it is.
        """
        # Several processes agree now and then, as this makes them wait for each other.
        if self.deadline is None or (trainer.world_size > 1 and batch_idx % AGREE_EVERY):
            return
        if trainer.strategy.broadcast(time.monotonic() > self.deadline):
            raise TimeUp("Stopped.")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Makes this epoch the last one if it has to be; the first process decides for all."""
        module = cast(Learner, pl_module)
        now = time.monotonic()
        self.lengths.append(now - self.mark)
        self.mark = now
        if module.epoch + 1 >= module.epochs or (self.deadline is None and not module.stops_early):
            return
        # The first epoch may have compiled networks.
        longest = max(self.lengths[1:] or self.lengths)
        late = self.deadline is not None and now + longest > self.deadline
        ended, late = trainer.strategy.broadcast((module.ended, late))
        if late and not ended:
            self.stopped_after = module.epoch + 1
        trainer.should_stop = trainer.should_stop or ended or late


class Monitor(pl.Callback):
    """Writes one row of metrics.csv per epoch and tells it to whoever shows progress.

    What the networks are like before the first epoch is the row of epoch 0, in start.csv.

    Args:
        run: where metrics.csv lies.
        rows: the rows of the epochs before.
        tell: called with each row, on the first process.
        warn: called with a sentence, at most once per modality.
        logs: are given each row, too.
    """

    def __init__(
        self,
        run: RunFolder,
        rows: list[EpochRow],
        tell: Callable[[EpochRow], None],
        warn: Callable[[str], None],
        logs: Logs | None = None,
    ) -> None:
        self.run, self.rows, self.tell, self.warn, self.logs = run, rows, tell, warn, logs
        self.warned: set[str] = set()
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.unit, self.done, self.started = "images", 0, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Looks at the networks before the first epoch."""
        module = cast(Learner, pl_module)
        if not trainer.is_global_zero:
            return
        if module.stage == "mmssl" and not module.first_epoch:
            self._look_before(module)
        if self.logs:
            self.logs.begin([*read_epochs(self.run.start_file), *self.rows])

    def _look_before(self, module: Learner) -> None:
        row = module.look_before()
        row = {"stage": module.stage, "epoch": 0, **row} if row else {}
        self.run.write_start(row)
        if row:
            self.tell(row)

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
        module = cast(Learner, pl_module)
        for name, value in module.last_terms.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value
            self.counts[name] = self.counts.get(name, 0) + 1
        self.unit = batch.unit
        self.done += batch.count * trainer.world_size

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Completes the row of this epoch."""
        if not trainer.is_global_zero:
            return
        module = cast(Learner, pl_module)
        terms = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        seconds = time.perf_counter() - self.started
        row: EpochRow = {"stage": module.stage, "epoch": module.epoch + 1}
        row |= {"loss": module.total(terms), **terms}
        row |= {"lr": module.rate, f"{self.unit}_per_second": round(self.done / seconds, 1)}
        row |= module.look()
        self.rows.append(row)
        self.run.write_metrics(self.rows)
        self.tell(row)
        if self.logs:
            self.logs.row(row)
        self._warn_of_collapse(row)

    def _warn_of_collapse(self, row: EpochRow) -> None:
        for name, value in row.items():
            # NaN is not below, and no better.
            low = name.startswith("std/") and not value >= COLLAPSED
            if low and name not in self.warned:
                self.warned.add(name)
                self.warn(
                    f"The features of {name[4:]} are collapsing (std {value:.2f}, healthy is near 1)."
                    " Lower --lr, or raise --batch-size."
                )

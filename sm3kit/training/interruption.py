"""Ctrl-C and SIGTERM end a training between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import pytorch_lightning as pl

from sm3kit.core.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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

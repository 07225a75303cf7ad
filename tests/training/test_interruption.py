"""A signal at any moment of a training is a stop, never the end of the program."""

import os
import signal

import pytest
import pytorch_lightning as pl
import torch

from sm3kit.core.errors import Interrupted
from sm3kit.training.callbacks import SIGNALS, StopBetweenSteps

HOOKS = (
    "on_fit_start",
    "on_train_start",
    "on_train_epoch_start",
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
    "on_train_epoch_end",
)


class Line(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        return self.layer(batch).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Signals(pl.Callback):
    """Sends signals to this process in one hook of the second epoch, or of the start."""

    def __init__(self, hook, numbers):
        def send(trainer, *rest):
            if self.numbers and (
                trainer.current_epoch == 1 or hook.endswith(("fit_start", "train_start"))
            ):
                number, *self.numbers = self.numbers
                os.kill(os.getpid(), number)

        self.numbers = list(numbers)
        setattr(self, hook, send)


def train(*callbacks):
    batches = torch.utils.data.DataLoader(torch.randn(4, 1))
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=50,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Line(), batches)
    return trainer


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("first", [True, False], ids=["before ours", "after ours"])
def test_a_signal_in_any_hook_is_a_stop(hook, number, first):
    stop = StopBetweenSteps()
    signals = Signals(hook, [number])
    before = [signal.getsignal(one) for one in SIGNALS]
    with pytest.raises(Interrupted), stop:
        train(*((signals, stop) if first else (stop, signals)))
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_a_second_signal_is_a_stop_at_once():
    stop = StopBetweenSteps()
    with pytest.raises(Interrupted), stop:
        train(Signals("on_train_batch_start", [signal.SIGINT, signal.SIGINT]), stop)


def test_who_leaves_without_a_signal_leaves():
    class Leave(pl.Callback):
        def on_train_batch_end(self, *rest):
            raise SystemExit(3)

    with pytest.raises(SystemExit, match="3"), StopBetweenSteps() as stop:
        train(Leave(), stop)

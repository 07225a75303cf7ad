"""The training itself: Lightning with the callbacks that a run needs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy

from sm3kit.core.errors import Interrupted, TimeUp, TrainingError
from sm3kit.data.progress import Reporter
from sm3kit.runs.folder import RunFolder
from sm3kit.training import checkpoints
from sm3kit.training.base import TITLES, Learner
from sm3kit.training.callbacks import Monitor, StopBetweenSteps, StopDiverged, StopEarly
from sm3kit.training.hardware import keep_freed_memory
from sm3kit.training.observing.loggers import Logs
from sm3kit.training.processes.world import World, alone
from sm3kit.training.progress import ShowProgress


@dataclass(frozen=True)
class Training:
    """Where a training writes and speaks, and what it is computed on.

    Attributes:
        run: the folder of metrics.csv and last.ckpt.
        reporter: where progress is shown.
        data_hash: of all that a checkpoint must agree in to be gone on from, beside the variant.
        command: what goes on with it after an interruption.
        world: the processes that train together; this one alone by default.
        precision: as Lightning names it.
        deadline: when it has to stop, on the clock `time.monotonic`; None is never.
        logs: for other programs, or None.
    """

    run: RunFolder
    reporter: Reporter
    data_hash: str
    command: str
    world: World = field(default_factory=alone)
    precision: str = "32-true"
    deadline: float | None = None
    logs: Logs | None = None


class Loading(pl.LightningDataModule):
    """Gives Lightning the batches of this process.

    Args:
        loader: (rank, world size) -> batches.
    """

    def __init__(self, loader: Callable[[int, int], Any]) -> None:
        super().__init__()
        self.loader = loader

    def train_dataloader(self) -> Any:
        """The batches of this process."""
        trainer = self.trainer
        assert trainer is not None
        return self.loader(trainer.global_rank, trainer.world_size)


def fit(module: Learner, training: Training, loader: Callable[[int, int], Any]) -> None:
    """Trains the epochs that are left, with checkpoints, metrics and progress.

    Args:
        module: what to train, with the weights to begin with.
        training: the run, its reporter, devices and precision.
        loader: (rank, world size) -> batches.

    Raises:
        Interrupted: the user stopped it, or its time is up; the run can be resumed.
        TrainingError: a loss term, a weight or a buffer is not finite, or the GPU's memory is too
            small.
    """
    if module.ended:
        return
    keep_freed_memory()
    progress = ShowProgress(training.reporter)
    stop, early = StopBetweenSteps(), StopEarly(training.deadline)
    monitor = Monitor(
        training.run,
        training.run.read_metrics(module.stage, module.first_epoch),
        lambda row: progress.tell(row, module.epochs),
        training.reporter.warn,
        training.logs,
    )
    keep = checkpoints.KeepLast(training.run, training.data_hash)
    # The first refuses what the others would look at or keep.
    callbacks = [StopDiverged(), monitor, early, keep, progress, stop]
    try:
        with quiet_lightning(), stop, training.reporter:
            trainer = _trainer(module, callbacks, training)
            if module.scaler_state is not None:
                trainer.precision_plugin.load_state_dict(module.scaler_state)
            trainer.fit(module, datamodule=Loading(loader))
            if early.stopped_after:
                raise TimeUp("Stopped.")
    except Interrupted as error:
        raise type(error)(_how_to_go_on(training, module, early.stopped_after)) from None
    except TrainingError as error:
        raise TrainingError(f"{error} {_remains(training, module)}") from error
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"The GPU has not enough memory for {TITLES[module.stage]}. {module.memory_remedy} "
            # A last epoch of other batches is none to go on with.
            f"{_remains(training, module) if module.stage == 'mlssl' else ''}".rstrip()
        ) from error


def _trainer(module: Learner, callbacks: list[pl.Callback], training: Training) -> pl.Trainer:
    on_gpu, world = torch.cuda.is_available(), training.world
    several = world.size > 1
    # A batch may lack a modality, and an objective may hold weights still for a while.
    ddp = DDPStrategy(
        find_unused_parameters=not module.alike,
        static_graph=module.alike,
        broadcast_buffers=not module.alike,
    )
    precision: Any = training.precision
    return pl.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=world.devices,
        num_nodes=world.num_nodes,
        strategy=ddp if several else "auto",
        # Lightning would believe what launchers left in the environment.
        plugins=[world.environment],
        precision=precision,
        gradient_clip_val=module.clip or None,
        max_epochs=module.epochs - module.first_epoch,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        # With micro-batches, processes may have different numbers of them.
        sync_batchnorm=several and on_gpu and not module.variant.stage1.micro_batch,
    )


def _how_to_go_on(training: Training, module: Learner, after: int = 0) -> str:
    """What to do after a stop: in an epoch, or after a whole one if the time was up."""
    if not training.run.last.is_file():
        return f"Stopped in the first epoch. Start again with: {training.command}"
    place = f"after epoch {after}" if after else f"in epoch {module.epoch + 1}"
    return f"Stopped {place} of {module.epochs}. Resume with: {training.command}"


def _remains(training: Training, module: Learner) -> str:
    if module.stage == "mlssl":
        return f"Stage 1 is kept; continue from it with --stage mlssl --init {training.run.folder}."
    if training.run.last.is_file():
        return f"The last complete epoch is kept in {training.run.last}."
    return "Nothing was saved."


class quiet_lightning(warnings.catch_warnings):
    """Hides what Lightning tells developers: hardware lines and hints on workers and logging."""

    def __enter__(self) -> None:
        super().__enter__()
        for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
            logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        warnings.filterwarnings("ignore", module="lightning_fabric")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*find_unused_parameters=True was specified.*")

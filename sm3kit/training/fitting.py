"""The training itself: Lightning with the callbacks that a run needs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch

from sm3kit.core.errors import Interrupted, TrainingError
from sm3kit.training import checkpoints
from sm3kit.training.divergence import StopDiverged
from sm3kit.training.hardware import keep_freed_memory
from sm3kit.training.interruption import StopBetweenSteps
from sm3kit.training.job import Job
from sm3kit.training.monitoring import Monitor
from sm3kit.training.stage import Row
from sm3kit.training.training_progress import ShowProgress
from sm3kit.training.world import World, join_world, tell_folder


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


@dataclass(frozen=True)
class Machine:
    """What a stage is computed on: processes, machines, and precision as Lightning names it."""

    devices: int = 1
    num_nodes: int = 1
    precision: str = "32-true"


def fit(
    module: Any,
    job: Job,
    loader: Callable[[int, int], Any],
    look: Callable[[Any], Row],
    machine: Machine,
    precision_state: dict[str, Any] | None = None,
) -> None:
    """Trains the epochs that are left, with checkpoints, metrics and progress.

    Args:
        module: what to train, a `Stage`, with the weights to begin with.
        job: the run and its reporter.
        loader: (rank, world size) -> batches.
        look: gives the monitors of an epoch.
        machine: devices and precision.
        precision_state: of a gradient scaler, when a run goes on.

    Raises:
        Interrupted: the user stopped it; the run can be resumed.
        TrainingError: a loss term, a weight or a buffer is not finite, or the GPU's memory is too
            small.
        VariantError: the environment tells of other processes than the machine.
    """
    if module.first_epoch >= module.epochs:
        return
    world = join_world(machine.devices, machine.num_nodes)
    keep_freed_memory()
    progress = ShowProgress(job.reporter)
    stop = StopBetweenSteps()
    monitor = Monitor(
        job.run,
        job.run.read_metrics(module.stage, module.first_epoch),
        look,
        lambda row: progress.tell(row, module.epochs),
        job.reporter.warn,
    )
    keep = checkpoints.KeepLast(job.run, job.data_hash)
    # The first refuses what the others would look at or keep.
    callbacks = [StopDiverged(), monitor, keep, progress, stop]
    try:
        with quiet_lightning(), stop, job.reporter, tell_folder(job.run.folder):
            trainer = _trainer(module, callbacks, machine, world)
            if precision_state is not None:
                trainer.precision_plugin.load_state_dict(precision_state)
            trainer.fit(module, datamodule=Loading(loader))
    except Interrupted:
        raise Interrupted(_how_to_go_on(job, module)) from None
    except TrainingError as error:
        raise TrainingError(f"{error} {_kept(job, module)}") from error
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"The GPU has not enough memory for --batch-size {job.variant.batch_size} at "
            f"--image-size {job.variant.image_size}. Lower one of them, or set "
            "-o timm.grad_checkpointing=true."
        ) from error


def _trainer(module: Any, callbacks: list[Any], machine: Machine, world: World) -> pl.Trainer:
    accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    several = machine.devices * machine.num_nodes > 1
    # A batch may lack a modality, and an objective may hold weights still for a while.
    ddp = "ddp_find_unused_parameters_true"
    precision: Any = machine.precision
    return pl.Trainer(
        accelerator=accelerator,
        devices=machine.devices,
        num_nodes=machine.num_nodes,
        strategy=ddp if several else "auto",
        # Lightning would believe what launchers left in the environment.
        plugins=[world.environment],
        precision=precision,
        max_epochs=module.epochs - module.first_epoch,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        sync_batchnorm=several and accelerator == "gpu",
    )


def _how_to_go_on(job: Job, module: Any) -> str:
    if not job.run.last.is_file():
        return f"Stopped in the first epoch. Start again with: {job.command}"
    where = f"epoch {module.epoch + 1} of {module.epochs}"
    return f"Stopped in {where}. Go on with: {job.command}"


def _kept(job: Job, module: Any) -> str:
    if module.stage == "mlssl":
        return f"Stage 1 is kept; go on from it with --stage mlssl --init {job.run.folder}."
    if job.run.last.is_file():
        return f"The last whole epoch is kept in {job.run.last}."
    return "Nothing of it is kept."


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

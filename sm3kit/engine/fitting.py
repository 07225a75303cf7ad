"""The training itself: Lightning with the callbacks that a run needs."""

from __future__ import annotations

import logging
import os
import warnings
from typing import Any

import pytorch_lightning as pl
import torch

from sm3kit.core.errors import Interrupted, TrainingError
from sm3kit.core.variant import Variant
from sm3kit.engine import checkpoints
from sm3kit.engine.batches import EpochBatches, StudyViews, eval_loader, train_loader
from sm3kit.engine.hardware import keep_freed_memory, resolved_precision
from sm3kit.engine.interruption import StopBetweenSteps
from sm3kit.engine.mmssl import MultiModalSSL
from sm3kit.engine.monitoring import Monitor
from sm3kit.engine.progress import Reporter, ShowProgress
from sm3kit.engine.run import Run


class StudyData(pl.LightningDataModule):
    """Gives Lightning the batches of this process."""

    def __init__(
        self, views: StudyViews, variant: Variant, modalities: list[str], workers: int, first: int
    ) -> None:
        super().__init__()
        self.views, self.variant, self.modalities = views, variant, modalities
        self.workers, self.first = workers, first

    def train_dataloader(self) -> Any:
        """The batches of this process."""
        trainer = self.trainer
        assert trainer is not None
        batches = batches_of(
            self.views, self.variant, trainer.global_rank, trainer.world_size, self.first
        )
        return train_loader(self.views, batches, self.modalities, self.workers)


def fit(
    module: MultiModalSSL,
    run: Run,
    views: StudyViews,
    data_hash: str,
    reporter: Reporter,
    workers: int,
    precision_state: dict[str, Any] | None = None,
) -> None:
    """Trains the epochs that are left, with checkpoints, metrics and progress.

    Args:
        module: what to train, with the weights to begin with.
        run: the run folder.
        views: the studies to train on.
        data_hash: of the data listing, for the checkpoint.
        reporter: where progress is shown.
        workers: processes that prepare views.
        precision_state: of a gradient scaler, when a run goes on.

    Raises:
        Interrupted: the user stopped it; the run can be resumed.
        TrainingError: a loss term is not finite, or the GPU's memory is too small.
    """
    variant = module.variant
    if module.first_epoch >= variant.epochs:
        return
    keep_freed_memory()
    if variant.channels_last:
        module.to(memory_format=torch.channels_last)
    progress = ShowProgress(reporter)
    stop = StopBetweenSteps()
    monitor = Monitor(
        run,
        run.read_metrics(module.first_epoch),
        _validation(views, variant),
        lambda row: progress.tell(row, variant.epochs),
        reporter.warn,
    )
    callbacks = [monitor, checkpoints.KeepLast(run, data_hash), progress, stop]
    names = list(views.pool.modalities)
    data = StudyData(views, variant, names, workers, module.first_epoch)
    # Processes that Lightning starts for more devices run this same command: same folder.
    os.environ["SM3KIT_RUN"] = str(run.folder)
    try:
        with quiet_lightning(), stop, reporter:
            trainer = _trainer(module, callbacks)
            if precision_state is not None:
                trainer.precision_plugin.load_state_dict(precision_state)
            trainer.fit(module, datamodule=data)
    except Interrupted:
        raise Interrupted(_how_to_go_on(run, module)) from None
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"The GPU has not enough memory for --batch-size {variant.batch_size} at --image-size "
            f"{variant.image_size}. Lower one of them, or set -o timm.grad_checkpointing=true."
        ) from error
    finally:
        os.environ.pop("SM3KIT_RUN", None)


def _trainer(module: MultiModalSSL, callbacks: list[Any]) -> pl.Trainer:
    variant = module.variant
    accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    world = variant.devices * variant.num_nodes
    # A batch may lack a modality, and an objective may hold weights still for a while.
    ddp = "ddp_find_unused_parameters_true"
    precision: Any = resolved_precision(variant.precision, module)
    return pl.Trainer(
        accelerator=accelerator,
        devices=variant.devices,
        num_nodes=variant.num_nodes,
        strategy=ddp if world > 1 else "auto",
        precision=precision,
        max_epochs=variant.epochs - module.first_epoch,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        sync_batchnorm=world > 1 and accelerator == "gpu",
    )


def _validation(views: StudyViews, variant: Variant) -> Any | None:
    """The validation studies as batches of evaluation views, unless they are trained on."""
    held_out = views.pool.cases["val"]
    if not held_out or "val" in variant.splits:
        return None
    val_views = StudyViews(views.pool, held_out, views.cache, variant.seed)
    return eval_loader(val_views, variant.batch_size, list(views.pool.modalities))


def batches_of(
    views: StudyViews, variant: Variant, rank: int, world: int, first: int
) -> EpochBatches:
    """The order of the batches of one process."""
    return EpochBatches(
        len(views.cases),
        variant.batch_size,
        variant.seed,
        last=variant.last_batch,
        pad_to=variant.pad_to,
        rank=rank,
        world=world,
        first_epoch=first,
    )


def _how_to_go_on(run: Run, module: MultiModalSSL) -> str:
    if not run.last.is_file():
        return f"Stopped in the first epoch. Start again with: sm3kit pretrain --resume --out {run.folder}"
    return (
        f"Stopped in epoch {module.epoch + 1} of {module.variant.epochs}. "
        f"Go on with: sm3kit pretrain --resume --out {run.folder}"
    )


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

"""Pre-training from a variant to a run folder."""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_utilities.core.rank_zero import rank_zero_only

from sm3kit.core.errors import DataError, VariantError
from sm3kit.core.variant import Variant
from sm3kit.engine import checkpoints
from sm3kit.engine.assemble import Stage1, build_pool, build_stage1
from sm3kit.engine.batches import (
    EpochBatches,
    StudyViews,
    eval_loader,
    shares,
    train_loader,
)
from sm3kit.engine.encoding import encoded, mean_ranks
from sm3kit.engine.hardware import (
    check_devices,
    chosen_workers,
    keep_freed_memory,
    resolved_precision,
)
from sm3kit.engine.image_cache import ImageCache
from sm3kit.engine.interruption import Interrupted, StopBetweenSteps
from sm3kit.engine.mmssl import MultiModalSSL
from sm3kit.engine.monitoring import Monitor
from sm3kit.engine.pool import Case, Pool
from sm3kit.engine.progress import Reporter, ShowProgress
from sm3kit.engine.run import Run


@dataclass(frozen=True)
class Outcome:
    """What a pre-training left.

    Attributes:
        run: the run folder.
        ranks: {split: {space: {direction: (mean rank, pairs)}}} of the final networks.
    """

    run: Run
    ranks: dict[str, dict[str, dict[str, tuple[float, int]]]]


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
        batches = _batches(
            self.views, self.variant, trainer.global_rank, trainer.world_size, self.first
        )
        return train_loader(self.views, batches, self.modalities, self.workers)


def pretrain(
    variant: Variant, folder: Path, reporter: Reporter, cache: ImageCache, resume: bool = False
) -> Outcome:
    """Runs stage 1.

    Args:
        variant: what to train.
        folder: the run folder; a run in it is gone on with, if `resume`, and never overwritten.
        reporter: where progress is shown.
        cache: where decoded images are kept.
        resume: go on from the last checkpoint, bit for bit on a CPU.

    Raises:
        SM3Error: choices or data that do not work, before anything is trained or overwritten.
        Interrupted: the user stopped it; the run can be resumed.
    """
    run = Run(folder)
    main = getattr(rank_zero_only, "rank", 0) == 0
    if main and run.exists and not resume:
        raise VariantError(
            f"{folder} holds a run already. Give another --out, or go on with it by --resume."
        )
    accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    check_devices(variant.devices, accelerator)
    pool = build_pool(variant)
    cases = _trainable(pool, variant)
    workers = chosen_workers(variant.workers, len(cases))
    # Weights depend on the seed alone, whatever ran before in this process.
    torch.manual_seed(variant.seed)
    parts = build_stage1(variant, pool.modalities)
    data_hash = pool.listing_hash()
    resumed = checkpoints.read_last(run, variant, data_hash) if resume else None
    first = resumed["epochs_done"] if resumed else 0
    if main:
        _fill(cache, pool, variant, reporter)
        run.write_variant(variant, data_hash)
        _describe(pool, cases, parts, variant, reporter)
    views = StudyViews(pool, cases, cache, variant.seed)
    world = variant.devices * variant.num_nodes
    steps = len(_batches(views, variant, 0, world, first))
    module = MultiModalSSL(parts, variant, pool.modalities, steps, first)
    if resumed:
        checkpoints.load_weights(module, resumed["model"], run.last)
        module.optimiser_state = resumed["optimiser"]
        reporter.say(f"resume   after epoch {first} of {variant.epochs}")
    _fit(module, run, views, data_hash, reporter, cache, workers, accelerator, resumed)
    if main:
        checkpoints.write_model(run, module, data_hash)
    return Outcome(run, _final_ranks(module, pool, variant, cache) if main else {})


def _fit(
    module: MultiModalSSL,
    run: Run,
    views: StudyViews,
    data_hash: str,
    reporter: Reporter,
    cache: ImageCache,
    workers: int,
    accelerator: str,
    resumed: dict[str, Any] | None,
) -> None:
    variant = module.variant
    left = variant.epochs - module.first_epoch
    if left <= 0:
        return
    keep_freed_memory()
    if variant.channels_last:
        module.to(memory_format=torch.channels_last)
    precision = resolved_precision(variant.precision, module)
    names = list(views.pool.modalities)
    held_out = views.pool.cases["val"]
    seen = {split: len(views.pool.cases[split]) for split in variant.splits}
    validation = None
    if held_out and "val" not in seen:
        val_views = StudyViews(views.pool, held_out, cache, variant.seed)
        validation = eval_loader(val_views, variant.batch_size, names)
    progress = ShowProgress(reporter)
    stop = StopBetweenSteps()
    monitor = Monitor(
        run,
        run.read_metrics(module.first_epoch),
        validation,
        lambda row: progress.tell(row, variant.epochs),
        reporter.warn,
    )
    callbacks = [monitor, checkpoints.KeepLast(run, data_hash), progress, stop]
    data = StudyData(views, variant, names, workers, module.first_epoch)
    world = variant.devices * variant.num_nodes
    missing = any(share < len(views.cases) for share in shares(views.cases, names).values())
    ddp = "ddp_find_unused_parameters_true" if missing else "ddp"
    # Processes that Lightning starts for more devices run this same command: same folder.
    os.environ["SM3KIT_RUN"] = str(run.folder)
    with quiet_lightning(), stop, reporter:
        trainer = pl.Trainer(
            accelerator=accelerator,
            devices=variant.devices,
            num_nodes=variant.num_nodes,
            strategy=ddp if world > 1 else "auto",
            precision=precision,  # type: ignore[arg-type]
            max_epochs=left,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            sync_batchnorm=world > 1 and accelerator == "gpu",
        )
        if resumed:
            trainer.precision_plugin.load_state_dict(resumed["precision"])
        try:
            trainer.fit(module, datamodule=data)
        except Interrupted:
            raise Interrupted(_how_to_go_on(run, module)) from None
        finally:
            os.environ.pop("SM3KIT_RUN", None)


def _batches(
    views: StudyViews, variant: Variant, rank: int, world: int, first: int
) -> EpochBatches:
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


def _trainable(pool: Pool, variant: Variant) -> list[Case]:
    """The cases to train on, if they and the variant can be trained at all."""
    cases = pool.of(variant.splits)
    names = list(pool.modalities)
    if variant.batch_size < 2:
        raise VariantError(
            f"--batch-size {variant.batch_size}: a study needs others to be compared with. "
            "Give at least 2."
        )
    if len(cases) < 2 * variant.devices * variant.num_nodes:
        raise DataError(
            f"The split {'+'.join(variant.splits)} of {', '.join(variant.data)} has {len(cases)} "
            "studies to train on; at least two per process are needed."
        )
    paired = sum(len(case.images) > 1 for case in cases)
    if variant.fusion != "none" and len(names) > 1 and not paired:
        have = ", ".join(f"{count} with {name}" for name, count in shares(cases, names).items())
        raise DataError(
            f"No study has images of two modalities ({have}), and --fusion {variant.fusion} works "
            "on pairs. Check the ids of your data, or take --fusion none."
        )
    if variant.fusion not in ("none", "concat", "sum") and len(names) == 1:
        raise VariantError(
            f"--fusion {variant.fusion} needs two modalities, and there is only {names[0]}. "
            "Take --fusion none."
        )
    return cases


def _fill(cache: ImageCache, pool: Pool, variant: Variant, reporter: Reporter) -> None:
    """Decodes all images that the training will read, so that bad ones are found now."""
    splits = dict.fromkeys([*variant.splits, "val"])
    items = [
        (path, pool.readers[case.source][name])
        for case in pool.of(list(splits))
        for name, path in case.images.items()
    ]
    with reporter:
        task = reporter.task("reading images", len(items))
        filled = cache.fill(items, progress=lambda *done: reporter.advance(task))
    if cache.root is not None and filled.bytes > cache.limit:
        reporter.warn(
            f"The decoded images take {filled.bytes / 2**30:.1f} GiB, more than the cache keeps "
            f"({cache.limit / 2**30:.1f} GiB): they will be decoded again and again. "
            "Set SM3KIT_CACHE_LIMIT to more GiB."
        )


def _describe(
    pool: Pool, cases: list[Case], parts: Stage1, variant: Variant, reporter: Reporter
) -> None:
    counts = ", ".join(f"{split} {len(found)}" for split, found in pool.cases.items())
    have = ", ".join(f"{n} {c}" for n, c in shares(cases, list(pool.modalities)).items())
    millions = sum(p.numel() for b in parts.backbones.values() for p in b.parameters()) / 1e6
    losses = " + ".join([*parts.objectives, *parts.crossings])
    notes = [note for source in pool.sources for note in source.dataset.notes]
    for note in dict.fromkeys(notes + [n for m in pool.modalities.values() for n in m.notes]):
        reporter.say(f"note     {note}")
    reporter.say(f"data     {', '.join(variant.data)}: {counts} studies")
    reporter.say(f"train    {len(cases)} studies of {'+'.join(variant.splits)}: {have}")
    reporter.say(
        f"model    {len(parts.backbones)} x {variant.backbone} ({millions:.1f} M weights, "
        f"{variant.weights}), {variant.image_size} px"
    )
    reporter.say(f"loss     {losses}, fusion {variant.fusion}")


def _how_to_go_on(run: Run, module: MultiModalSSL) -> str:
    if not run.last.is_file():
        return f"Stopped in the first epoch. Start again with: sm3kit pretrain --resume --out {run.folder}"
    return (
        f"Stopped in epoch {module.epoch + 1} of {module.variant.epochs}. "
        f"Go on with: sm3kit pretrain --resume --out {run.folder}"
    )


def _final_ranks(
    module: MultiModalSSL, pool: Pool, variant: Variant, cache: ImageCache
) -> dict[str, dict[str, dict[str, tuple[float, int]]]]:
    names = list(pool.modalities)
    if len(names) < 2:
        return {}
    ranks: dict[str, dict[str, dict[str, tuple[float, int]]]] = {}
    for split in dict.fromkeys([*variant.splits, "val"]):
        cases = pool.cases[split]
        if not cases:
            continue
        batches: Any = eval_loader(
            StudyViews(pool, cases, cache, variant.seed), variant.batch_size, names
        )
        found = encoded(module, batches)
        ranks[split] = {space: mean_ranks(found, space) for space in ("backbone", "projection")}
    return ranks


class quiet_lightning(warnings.catch_warnings):
    """Hides what Lightning tells developers: hardware lines and hints on workers and logging."""

    def __enter__(self) -> None:
        super().__enter__()
        for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
            logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        warnings.filterwarnings("ignore", module="lightning_fabric")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")

"""Stage 1 of a run: from studies to trained backbones and fusion."""

from __future__ import annotations

from typing import Any

import torch

from sm3kit.data.batches import StudyViews, eval_loader, train_loader
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.networks.assemble import Stage1, build_stage1, modules
from sm3kit.networks.encoding import encoded, mean_ranks
from sm3kit.networks.extractor import Extractor
from sm3kit.nn.finite import check_features
from sm3kit.training import checkpoints
from sm3kit.training.fitting import Machine, fit
from sm3kit.training.hardware import resolved_precision, smallest_view
from sm3kit.training.job import Job
from sm3kit.training.mmssl import MultiModalSSL
from sm3kit.training.monitoring import collapse, due, one_thread, validation_ranks
from sm3kit.training.stage import Row

Ranks = dict[str, dict[str, dict[str, tuple[float, int]]]]


def build(job: Job, *, trained_before: bool) -> tuple[Stage1, Extractor]:
    """Networks and losses of stage 1 at their start.

    Args:
        trained_before: the weights will come from a checkpoint, so none are fetched.
    """
    # Weights depend on the seed alone, whatever ran before in this process.
    torch.manual_seed(job.variant.seed)
    start = job.variant.without_weights() if trained_before else job.variant
    parts = build_stage1(start, job.pool.modalities)
    extractor = Extractor(
        parts.backbones, parts.fusion, job.pool.modalities, job.variant.channels_last
    )
    if job.variant.channels_last:
        # Now, not when they are trained: a stage 2 that goes on must round as it did before.
        extractor.to(memory_format=torch.channels_last)
    return parts, extractor


def train(job: Job, parts: Stage1, extractor: Extractor, resumed: dict[str, Any] | None) -> None:
    """Trains stage 1 and writes its model.

    Raises:
        Interrupted: the user stopped it; the run can be resumed.
        TrainingError: a loss term, a weight or a buffer is not finite, or the GPU's memory is too small.
    """
    variant, views = job.variant, job.views
    first = resumed["epochs_done"] if resumed else 0
    world = variant.devices * variant.num_nodes
    steps = len(_batches(job, 0, world, first))
    module = MultiModalSSL(parts, variant, job.pool.modalities, steps, first)
    if resumed:
        checkpoints.load_weights(module, resumed["model"], job.run.last)
        module.optimiser_state = resumed["optimiser"]
        job.reporter.say(f"resume   after epoch {first} of {variant.epochs}")
    validation = _validation(job)
    names = list(job.pool.modalities)

    def look(module: Any) -> Row:
        # Small matrices: threads would only wait for each other, and for the workers.
        with one_thread():
            row = collapse(module.seen)
        if validation is not None and due(variant, module.epoch + 1):
            row |= validation_ranks(extractor, validation)
        return row

    fit(
        module,
        job,
        lambda rank, world: train_loader(
            views, _batches(job, rank, world, first), names, job.workers
        ),
        look,
        Machine(variant.devices, variant.num_nodes, precision(job, parts)),
        resumed["precision"] if resumed else None,
    )


def write(job: Job, parts: Stage1) -> None:
    """Writes `mmssl.ckpt` and the model of stage 1."""
    record = {
        "stage": "mmssl",
        "epochs_done": job.variant.epochs,
        "variant": job.variant.as_dict(),
        "data_hash": job.data_hash,
        "channels": {name: one.channels for name, one in job.pool.modalities.items()},
    }
    checkpoints.write_stage(job.run, job.run.mmssl, modules(parts).state_dict(), record)


def precision(job: Job, parts: Stage1) -> str:
    """The precision of stage 1, as Lightning names it."""
    size = smallest_view(job.pool.modalities)
    return resolved_precision(job.variant.precision, modules(parts), size)


def final_ranks(job: Job, extractor: Extractor) -> Ranks:
    """{split: {space: {direction: (mean rank, pairs)}}} of the networks as they are.

    Raises:
        TrainingError: their features are not finite.
    """
    names = list(job.pool.modalities)
    if len(names) < 2:
        return {}
    # Lightning brings the networks back to the CPU when it is done.
    extractor.to("cuda" if torch.cuda.is_available() else "cpu")
    ranks: Ranks = {}
    for split in dict.fromkeys([*job.variant.splits, "val"]):
        cases = job.pool.cases[split]
        if not cases:
            continue
        shown = StudyViews(job.pool, cases, job.images, job.variant.seed)
        batches: Any = eval_loader(shown, job.variant.batch_size, names, job.workers)
        found = encoded(extractor, batches)
        check_features(found.vectors(), f"of the split {split}, after stage 1,")
        ranks[split] = {space: mean_ranks(found, space) for space in ("backbone", "projection")}
    return ranks


def _validation(job: Job) -> Any | None:
    """The validation studies as batches of evaluation views, unless they are trained on."""
    held_out = job.pool.cases["val"]
    if not held_out or "val" in job.variant.splits:
        return None
    shown = StudyViews(job.pool, held_out, job.images, job.variant.seed)
    return eval_loader(shown, job.variant.batch_size, list(job.pool.modalities))


def _batches(job: Job, rank: int, world: int, first: int) -> EpochBatches:
    """The order of the batches of one process."""
    variant = job.variant
    return EpochBatches(
        len(job.cases),
        variant.batch_size,
        variant.seed,
        last=variant.last_batch,
        pad_to=variant.pad_to,
        rank=rank,
        world=world,
        first_epoch=first,
    )

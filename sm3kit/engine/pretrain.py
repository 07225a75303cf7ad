"""Pre-training from a variant to a run folder."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sm3kit.core.errors import DataError, VariantError
from sm3kit.core.variant import Variant
from sm3kit.engine import checkpoints
from sm3kit.engine.assemble import Stage1, build_pool, build_stage1, modules, resolved
from sm3kit.engine.batches import StudyViews, eval_loader, shares
from sm3kit.engine.encoding import encoded, mean_ranks
from sm3kit.engine.fitting import batches_of, fit
from sm3kit.engine.hardware import (
    check_devices,
    chosen_workers,
    is_first_process,
    machine,
    resolved_precision,
)
from sm3kit.engine.image_cache import ImageCache
from sm3kit.engine.mmssl import MultiModalSSL
from sm3kit.engine.pool import Case, Pool
from sm3kit.engine.progress import Reporter
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
    main = is_first_process()
    if main and run.exists and not resume:
        raise VariantError(
            f"{folder} holds a run already. Give another --out, or go on with it by --resume."
        )
    check_devices(variant.devices)
    variant = resolved(variant)
    pool = build_pool(variant)
    cases = _trainable(pool, variant)
    workers = chosen_workers(variant.workers, len(cases))
    data_hash = pool.listing_hash()
    resumed = checkpoints.read_last(run, variant, data_hash) if resume else None
    first = resumed["epochs_done"] if resumed else 0
    if variant.weights == "imagenet" and not resumed:
        reporter.say("weights  imagenet, fetched by timm where its cache does not hold them")
    # Weights depend on the seed alone, whatever ran before in this process.
    torch.manual_seed(variant.seed)
    start = dataclasses.replace(variant, weights="none") if resumed else variant
    parts = build_stage1(start, pool.modalities)
    if main:
        _fill(cache, pool, variant, reporter)
        precision = resolved_precision(variant.precision, modules(parts))
        computed = machine(precision)
        run.write_variant(variant, data_hash, computed)
        _describe(pool, cases, parts, variant, reporter)
        reporter.say(f"machine  {', '.join(computed.values())}")
    views = StudyViews(pool, cases, cache, variant.seed)
    world = variant.devices * variant.num_nodes
    steps = len(batches_of(views, variant, 0, world, first))
    module = MultiModalSSL(parts, variant, pool.modalities, steps, first)
    if resumed:
        checkpoints.load_weights(module, resumed["model"], run.last)
        module.optimiser_state = resumed["optimiser"]
        reporter.say(f"resume   after epoch {first} of {variant.epochs}")
    scaler = resumed["precision"] if resumed else None
    fit(module, run, views, data_hash, reporter, workers, scaler)
    if main:
        checkpoints.write_model(run, module, data_hash)
    return Outcome(run, _final_ranks(module, views, workers) if main else {})


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
    if variant.fusion != "none" and len(names) == 1:
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


def _final_ranks(
    module: MultiModalSSL, views: StudyViews, workers: int
) -> dict[str, dict[str, dict[str, tuple[float, int]]]]:
    pool, variant = views.pool, module.variant
    names = list(pool.modalities)
    if len(names) < 2:
        return {}
    # Lightning brings the networks back to the CPU when it is done.
    module.to("cuda" if torch.cuda.is_available() else "cpu")
    ranks: dict[str, dict[str, dict[str, tuple[float, int]]]] = {}
    for split in dict.fromkeys([*variant.splits, "val"]):
        cases = pool.cases[split]
        if not cases:
            continue
        shown = StudyViews(pool, cases, views.cache, variant.seed)
        batches: Any = eval_loader(shown, variant.batch_size, names, workers)
        found = encoded(module, batches)
        ranks[split] = {space: mean_ranks(found, space) for space in ("backbone", "projection")}
    return ranks

"""Pre-training from a variant to a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sm3kit.core.errors import DataError, VariantError
from sm3kit.core.registry import registry
from sm3kit.core.variant import FUSION_OF_ONE, Variant
from sm3kit.data.batches import shares
from sm3kit.data.cases import Case
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import Pool
from sm3kit.data.progress import Reporter
from sm3kit.networks.assemble import Stage1, build_pool, modules, resolved
from sm3kit.networks.extractor import Extractor
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs.run import Run
from sm3kit.runs.run_lock import hold_folder
from sm3kit.runs.studies_record import keep_studies
from sm3kit.runs.studies_seen import check_unchanged
from sm3kit.runs.trained import Trained, read_trained, start_from
from sm3kit.training import checkpoints, stage1, stage2
from sm3kit.training.announcement import describe, name_sources
from sm3kit.training.hardware import check_devices, chosen_workers, machine
from sm3kit.training.job import Job
from sm3kit.training.rehearsal import rehearse
from sm3kit.training.suggestions import with_suggestions
from sm3kit.training.world import join_world


@dataclass(frozen=True)
class Outcome:
    """What a pre-training left.

    Attributes:
        run: the run folder.
        ranks: {split: {space: {direction: (mean rank, pairs)}}} of the final networks.
    """

    run: Run
    ranks: stage1.Ranks


def pretrain(
    variant: Variant,
    folder: Path,
    reporter: Reporter,
    cache: ImageCache,
    resume: bool = False,
    features: FeatureCache | None = None,
) -> Outcome:
    """Runs the stages of a variant.

    Args:
        variant: what to train.
        folder: the run folder; a run in it is gone on with, if `resume`, and never overwritten.
        reporter: where progress is shown.
        cache: where decoded images are kept.
        resume: go on from the last checkpoint, bit for bit on a CPU.
        features: where features of stage 2 are kept; None keeps them for this run alone.

    Raises:
        SM3Error: choices or data that do not work, before anything is trained or overwritten.
        Interrupted: the user stopped it; the run can be resumed.
    """
    run = Run(folder)
    given = (variant, reporter, cache, resume, features or FeatureCache(None))
    if not join_world(variant.devices, variant.num_nodes).is_first:
        return Outcome(run, _train(run, *given, main=False))
    with hold_folder(folder, reporter.warn):
        if not resume:
            run.check_free()
        run.remove_unfinished()
        ranks = _train(run, *given, main=True)
        run.check_finished()
    return Outcome(run, ranks)


def _train(
    run: Run,
    variant: Variant,
    reporter: Reporter,
    cache: ImageCache,
    resume: bool,
    features: FeatureCache,
    *,
    main: bool,
) -> stage1.Ranks:
    """Trains what is left of the stages; the first process alone writes."""
    check_devices(variant.devices)
    variant = resolved(variant)
    pool = build_pool(variant)
    variant, pool, suggested = with_suggestions(variant, pool)
    cases = _trainable(pool, variant)
    job = Job(
        run,
        variant,
        pool,
        cases,
        cache,
        features,
        reporter,
        pool.listing_hash(),
        chosen_workers(variant.workers, len(cases)),
        run.resume_command,
    )
    labels = [] if variant.stage == "mmssl" else stage2.pseudo_labels(job)
    resumed = checkpoints.read_last(run, variant, job.data_hash) if resume else None
    _goes_on(job, resumed)
    # Stage 2 alone keeps the networks that it started from, in case its first epoch is stopped.
    kept = bool(resumed) or (resume and variant.stage == "mlssl" and run.mmssl.is_file())
    init = read_trained(Path(variant.init)) if variant.init and not kept else None
    # A modality that the earlier run lacks starts from the weights.
    covered = init is not None and set(pool.modalities) <= set(init.channels)
    parts, extractor = stage1.build(job, trained_before=kept or covered)
    notes = start_from(init, extractor, variant) if init else []
    if main:
        rehearse(job, parts, len(labels))
        if not (kept or covered):
            name_sources(parts, variant, reporter)
        for note in suggested:
            reporter.say(f"note     {note}")
        _announce(job, parts, notes, init, kept)
    ranks: stage1.Ranks = {}
    if variant.stage != "mlssl":
        ranks = _stage1(job, parts, extractor, resumed, main)
    if main and variant.stage != "mmssl":
        _stage2(job, parts, extractor, resumed, kept)
    return ranks


def _goes_on(job: Job, resumed: dict[str, Any] | None) -> None:
    """Refuses what a run that went so far cannot become, before its record is written anew."""
    if resumed is None:
        return
    variant, folder, done = job.variant, job.run.folder, resumed["epochs_done"]
    before = resumed["variant"]["epochs"]
    if resumed["stage"] == "mlssl" and before != variant.epochs:
        raise VariantError(
            f"{folder} has begun stage 2 after {before} epochs of stage 1, so --epochs "
            f"{variant.epochs} comes too late. Leave it out, or train anew with another --out."
        )
    if resumed["stage"] == "mlssl" and variant.stage == "mmssl":
        raise VariantError(
            f"{folder} has begun stage 2, so --stage mmssl comes too late. Leave it out, or train "
            "anew with another --out."
        )
    if resumed["stage"] == "mmssl" and variant.stage == "mlssl" and done < variant.epochs:
        raise VariantError(
            f"{folder} has done {done} of {variant.epochs} epochs of stage 1, and --stage mlssl "
            "would leave out the rest. Take --stage both."
        )
    check_unchanged(job.run, job.pool, job.cases, job.images)


def _stage1(
    job: Job, parts: Stage1, extractor: Extractor, resumed: dict[str, Any] | None, main: bool
) -> stage1.Ranks:
    """Trains stage 1, or reads it where stage 2 has begun, and gives the ranks of its networks."""
    over = resumed is not None and resumed["stage"] == "mlssl"
    if over:
        _read_stage1(job, parts)
    else:
        stage1.train(job, parts, extractor, resumed)
    if not main:
        return {}
    # Before the model is written: features that are not finite leave none.
    ranks = stage1.final_ranks(job, extractor)
    if not over:
        stage1.write(job, parts)
    return ranks


def _stage2(
    job: Job, parts: Stage1, extractor: Extractor, resumed: dict[str, Any] | None, kept: bool
) -> None:
    """Stage 2 runs on one device: a step of it is a few matrix products."""
    if job.variant.stage == "mlssl" and kept:
        _read_stage1(job, parts)
    elif job.variant.stage == "mlssl":
        # What it started from, so that it can be resumed even when that has gone.
        stage1.write(job, parts)
    stage2.train(job, extractor, resumed if resumed and resumed["stage"] == "mlssl" else None)


def _read_stage1(job: Job, parts: Stage1) -> None:
    content = checkpoints.read_checkpoint(job.run.mmssl)
    checkpoints.load_weights(modules(parts), content["model"], job.run.mmssl)


def _announce(job: Job, parts: Stage1, notes: list[str], init: Trained | None, kept: bool) -> None:
    """Decodes the images, writes the record of the run, and says what will be trained."""
    variant, reporter = job.variant, job.reporter
    job.read_images()
    earlier = init.folder if init else None
    keep_studies(job.run, job.pool, variant.splits, job.images, earlier, kept=kept)
    computed = machine(stage1.precision(job, parts))
    started_from = None if kept else init.record() if init else {}
    job.run.write_variant(variant, job.data_hash, computed, started_from)
    describe(job.pool, job.cases, parts, variant, reporter)
    if init:
        reporter.say(f"init     {init.folder}, trained on {', '.join(init.variant.data)}")
    for note in notes:
        reporter.warn(note)
    reporter.say(f"machine  {', '.join(computed.values())}")


def _trainable(pool: Pool, variant: Variant) -> list[Case]:
    """The cases to train on, if they and the variant can be trained at all."""
    cases = pool.of(variant.splits)
    names = list(pool.modalities)
    if len(cases) < 2 * variant.devices * variant.num_nodes:
        raise DataError(
            f"The split {'+'.join(variant.splits)} of {', '.join(variant.data)} has {len(cases)} "
            "studies to train on; at least two per process are needed."
        )
    fused = registry("fusions").get(variant.fusion).default_objective
    if fused and len(names) > 1 and not any(len(case.images) > 1 for case in cases):
        have = ", ".join(f"{count} with {name}" for name, count in shares(cases, names).items())
        raise DataError(
            f"No study has images of two modalities ({have}), and --fusion {variant.fusion} works "
            f"on pairs. Check the ids of your data, or take --fusion {FUSION_OF_ONE}."
        )
    if fused and len(names) == 1:
        raise VariantError(
            f"--fusion {variant.fusion} needs two modalities, and there is only {names[0]}. "
            f"Take --fusion {FUSION_OF_ONE}."
        )
    return cases

"""Pre-training from a variant to a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sm3kit.core.errors import VariantError
from sm3kit.core.options import options_of
from sm3kit.core.variant import Variant
from sm3kit.data.batches import shares
from sm3kit.data.check_report import spelled_twice
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import Pool
from sm3kit.data.progress import Reporter
from sm3kit.datasets.base import SPLITS, Dataset
from sm3kit.networks.assemble import Stage1, build_pool, fill_in, modules
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs.model import TrainedModel
from sm3kit.runs.record import RunRecord, files_of, versions
from sm3kit.runs.run import Run
from sm3kit.runs.run_lock import hold_folder
from sm3kit.runs.studies_seen import check_unchanged, keep_studies
from sm3kit.training import checkpoints, stage1, stage2
from sm3kit.training.hardware import check_devices, chosen_workers, machine_record
from sm3kit.training.monitoring import Ranks, final_ranks
from sm3kit.training.preparation import Setup, apply_suggestions, rehearse, training_cases
from sm3kit.training.world import join_world


@dataclass(frozen=True)
class Outcome:
    """What a pre-training left.

    Attributes:
        run: the run folder.
        ranks: {split: {space: {direction: (mean rank, pairs)}}} of the final networks.
    """

    run: Run
    ranks: Ranks


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
    arguments = (variant, reporter, cache, resume, features or FeatureCache(None))
    if not join_world(variant.machine.devices, variant.machine.num_nodes).is_first:
        return Outcome(run, _train(run, *arguments, main=False))
    with hold_folder(folder, reporter.warn):
        if not resume:
            run.check_free()
        run.remove_unfinished()
        ranks = _train(run, *arguments, main=True)
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
) -> Ranks:
    """Trains what is left of the stages; the first process alone writes."""
    check_devices(variant.machine.devices)
    variant = fill_in(variant)
    pool = build_pool(variant)
    variant, pool, suggested = apply_suggestions(variant, pool)
    cases = training_cases(pool, variant)
    workers, listing = chosen_workers(variant.machine.workers, len(cases)), pool.listing_hash()
    setup = Setup(run, variant, pool, cases, cache, features, reporter, listing, workers)
    labels = [] if variant.stage == "mmssl" else stage2.pseudo_labels(setup)
    resumed = checkpoints.read_last(run, variant, setup.data_hash) if resume else None
    _check_goes_on(setup, resumed)
    # Stage 2 alone keeps the networks that it started from, in case its first epoch is stopped.
    kept = bool(resumed) or (resume and variant.stage == "mlssl" and run.mmssl.is_file())
    init = Run(Path(variant.init)).trained() if variant.init and not kept else None
    # A modality that the earlier run lacks starts from the weights.
    covered = init is not None and set(pool.modalities) <= set(init.channels)
    parts = stage1.build(setup, trained_before=kept or covered)
    notes = init.start(parts.branches, variant) if init else []
    if main:
        rehearse(setup, parts, len(labels))
        if not (kept or covered):
            _name_sources(setup, parts)
        for note in suggested:
            reporter.say(f"note     {note}")
        _begin(setup, parts, notes, init, kept)
    ranks: Ranks = {}
    if variant.stage != "mlssl":
        ranks = _stage1(setup, parts, resumed, main)
    if main and variant.stage != "mmssl":
        _stage2(setup, parts, resumed, kept)
    return ranks


def _check_goes_on(setup: Setup, resumed: dict[str, Any] | None) -> None:
    """Refuses what a run that went so far cannot become, before its record is written anew."""
    if resumed is None:
        return
    variant, folder, done = setup.variant, setup.run.folder, resumed["epochs_done"]
    before, epochs = resumed["variant"]["stage1"]["epochs"], variant.stage1.epochs
    if resumed["stage"] == "mlssl" and before != epochs:
        raise VariantError(
            f"{folder} has begun stage 2 after {before} epochs of stage 1, so --epochs "
            f"{epochs} comes too late. Leave it out, or train anew with another --out."
        )
    if resumed["stage"] == "mlssl" and variant.stage == "mmssl":
        raise VariantError(
            f"{folder} has begun stage 2, so --stage mmssl comes too late. Leave it out, or train "
            "anew with another --out."
        )
    if resumed["stage"] == "mmssl" and variant.stage == "mlssl" and done < epochs:
        raise VariantError(
            f"{folder} has done {done} of {epochs} epochs of stage 1, and --stage mlssl "
            "would leave out the rest. Take --stage both."
        )
    check_unchanged(setup.run, setup.pool, setup.cases, setup.images)


def _stage1(setup: Setup, parts: Stage1, resumed: dict[str, Any] | None, main: bool) -> Ranks:
    """Trains stage 1, or reads it where stage 2 has begun, and gives the ranks of its networks."""
    over = resumed is not None and resumed["stage"] == "mlssl"
    if over:
        _read_stage1(setup, parts)
    else:
        stage1.train(setup, parts, resumed)
    if not main:
        return {}
    # Before the model is written: features that are not finite leave none.
    ranks = final_ranks(setup, parts.branches)
    if not over:
        stage1.write(setup, parts)
    return ranks


def _stage2(setup: Setup, parts: Stage1, resumed: dict[str, Any] | None, kept: bool) -> None:
    """Stage 2 runs on one device: a step of it is a few matrix products."""
    if setup.variant.stage == "mlssl" and kept:
        _read_stage1(setup, parts)
    elif setup.variant.stage == "mlssl":
        # What it started from, so that it can be resumed even when that has gone.
        stage1.write(setup, parts)
    own = resumed if resumed and resumed["stage"] == "mlssl" else None
    stage2.train(setup, parts.branches, own)


def _read_stage1(setup: Setup, parts: Stage1) -> None:
    content = checkpoints.read_checkpoint(setup.run.mmssl)
    checkpoints.load_weights(modules(parts), content["model"], setup.run.mmssl)


def _begin(
    setup: Setup, parts: Stage1, notes: list[str], init: TrainedModel | None, kept: bool
) -> None:
    """Decodes the images, writes the record of the run, and says what will be trained."""
    variant, reporter = setup.variant, setup.reporter
    setup.read_images()
    earlier = init.folder if init else None
    keep_studies(setup.run, setup.pool, variant.splits, setup.images, earlier, kept=kept)
    computed = machine_record(stage1.precision(setup, parts))
    before = setup.run.record() if kept and setup.run.exists else None
    started_from = before.started_from if before else init.record() if init else {}
    facts = (setup.data_hash, computed, versions(), started_from, files_of(variant))
    RunRecord(variant, *facts).write(setup.run.variant_file)
    _describe(setup, parts)
    if init:
        reporter.say(f"init     {init.folder}, trained on {', '.join(init.variant.data)}")
    for note in notes:
        reporter.warn(note)
    reporter.say(f"machine  {', '.join(computed.values())}")


def _name_sources(setup: Setup, parts: Stage1) -> None:
    """Says where ImageNet weights come from that may take a while to fetch."""
    sources = [
        backbone.imagenet_weights
        for name, backbone in parts.branches.backbones.items()
        if setup.variant.of(name, "weights") == "imagenet" and backbone.imagenet_weights
    ]
    for source in dict.fromkeys(sources):
        setup.reporter.say(f"weights  imagenet, {source}")


def _describe(setup: Setup, parts: Stage1) -> None:
    """Says what will be trained: studies, networks, losses."""
    variant, pool, say = setup.variant, setup.pool, setup.reporter.say
    counts = ", ".join(f"{split} {len(cases)}" for split, cases in pool.cases.items())
    have = ", ".join(f"{n} {c}" for n, c in shares(setup.cases, list(pool.modalities)).items())
    losses = " + ".join([*parts.objectives, *parts.crossings])
    notes = [note for source in pool.sources for note in _notes(source.dataset)]
    for note in dict.fromkeys(notes + [n for m in pool.modalities.values() for n in m.notes]):
        say(f"note     {note}")
    say(f"data     {', '.join(variant.data)}: {counts} studies")
    say(f"train    {len(setup.cases)} studies of {'+'.join(variant.splits)}: {have}")
    for line in _networks(pool, parts, variant):
        say(f"model    {line}")
    say(f"loss     {losses}, fusion {variant.fusion}")


def _notes(dataset: Dataset) -> list[str]:
    """What a data set says of itself, and what its spelling may have split in two."""
    studies = [study for split in SPLITS for study in dataset.studies(split)]
    return [*dataset.notes, *spelled_twice(dataset.labels, studies)]


def _networks(pool: Pool, parts: Stage1, variant: Variant) -> list[str]:
    """One line for all backbones that are alike."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for name, modality in pool.modalities.items():
        with_weights = "weights" in options_of(type(parts.branches.backbones[name]))
        weights = str(variant.of(name, "weights")) if with_weights else "none"
        _, height, width = modality.shape
        shown = f", {height} px" if height == width > 1 else ""
        alike.setdefault((variant.of(name, "backbone"), weights, shown), []).append(name)
    lines = []
    for (backbone, weights, shown), names in alike.items():
        networks = (parts.branches.backbones[name] for name in names)
        count = sum(p.numel() for network in networks for p in network.parameters())
        of = f"{', '.join(names)}: " if len(alike) > 1 else ""
        lines.append(
            f"{of}{len(names)} x {backbone} ({count / 1e6:.1f} M weights, {weights}){shown}"
        )
    return lines

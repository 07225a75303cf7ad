"""Pre-training from a variant to a run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sm3kit.core.variant import Variant
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.networks.assemble import Stage1, modules
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs.epoch_rows import Rows
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.record import RunRecord
from sm3kit.runs.run_lock import hold_folder
from sm3kit.runs.studies_seen import keep_studies
from sm3kit.training import checkpoints, stage1, stage2
from sm3kit.training.observing.loggers import Logs
from sm3kit.training.observing.validation import Ranks, final_ranks
from sm3kit.training.outline import Outline
from sm3kit.training.preparation import Setup
from sm3kit.training.processes.together import together
from sm3kit.training.processes.work import Work
from sm3kit.training.processes.world import World, join_world
from sm3kit.training.start import Start, prepare


@dataclass(frozen=True)
class Outcome:
    """What a pre-training left.

    Attributes:
        run: the run folder.
        ranks: {split: {space: {direction: (mean rank, pairs)}}} of the final networks.
    """

    run: RunFolder
    ranks: Ranks


def pretrain(
    variant: Variant,
    folder: Path,
    reporter: Reporter,
    cache: ImageCache,
    resume: bool = False,
    features: FeatureCache | None = None,
    origin: str = "",
    draw: Callable[[Rows, Path], list[Path]] | None = None,
) -> Outcome:
    """Runs the stages of a variant.

    Args:
        variant: what to train.
        folder: the run folder; a run in it is gone on with, if `resume`, and never overwritten.
        reporter: where progress is shown.
        cache: where decoded images are kept.
        resume: go on from the last checkpoint, bit for bit on a CPU.
        features: where features of stage 2 are kept; None keeps them for this run alone.
        origin: where the settings come from, for the first line.
        draw: draws rows of metrics.csv into a folder, for the logs.

    Raises:
        SM3Error: choices or data that do not work, before anything is trained or overwritten.
        Interrupted: the user stopped it; the run can be resumed.
    """
    run = RunFolder(folder)
    arguments = (run, variant, reporter, cache, resume, features or FeatureCache(None))
    world = join_world(variant.machine.devices, variant.machine.num_nodes)
    if not world.is_first:
        return Outcome(run, _train(prepare(*arguments).with_weights(), world))
    with hold_folder(folder, reporter.warn):
        if not resume:
            run.check_free()
        run.remove_unfinished()
        outline = _rehearse(*arguments, origin)
        for line in outline.lines():
            reporter.say(line)
        outline.check_memory()
        for warning in outline.warnings():
            reporter.warn(warning)
        start = outline.start.with_weights()
        _begin(start, outline.record())
        if variant.logger:
            ranks = _train_with_logs(start, world, draw)
        else:
            ranks = _train(start, world)
        run.check_finished()
    return Outcome(run, ranks)


def outline(
    variant: Variant,
    folder: Path,
    reporter: Reporter,
    cache: ImageCache,
    resume: bool = False,
    features: FeatureCache | None = None,
    origin: str = "",
) -> Outline:
    """What `pretrain` would do with the same arguments; it writes nothing, and fetches no weights.

    Raises:
        SM3Error: choices or data that do not work.
    """
    run = RunFolder(folder)
    if not resume:
        run.check_free()
    return _rehearse(run, variant, reporter, cache, resume, features or FeatureCache(None), origin)


def _rehearse(
    run: RunFolder,
    variant: Variant,
    reporter: Reporter,
    cache: ImageCache,
    resume: bool,
    features: FeatureCache,
    origin: str,
) -> Outline:
    """The outline of a pre-training whose choices were tried together."""
    start = prepare(run, variant, reporter, cache, resume, features)
    start.rehearse()
    return Outline.of(start, origin)


def _train_with_logs(
    start: Start, world: World, draw: Callable[[Rows, Path], list[Path]] | None
) -> Ranks:
    """Trains what is left of the stages, and tells the loggers, with figures at the end."""
    setup = start.setup
    with Logs(setup.run.folder, setup.variant) as logs:
        logged = dataclasses.replace(start, setup=dataclasses.replace(setup, logs=logs))
        ranks = _train(logged, world)
        if draw and logs.loggers:
            logs.pictures(draw(setup.run.history(), logs.folder / "figures"))
    setup.reporter.say(f"logs     {logs.folder}: {', '.join(setup.variant.logger)}")
    return ranks


def _train(start: Start, world: World) -> Ranks:
    """Trains what is left of the stages with all processes; the first one alone writes."""
    setup = dataclasses.replace(start.setup, world=world)
    ranks: Ranks = {}
    with together(world, Work(setup.run.folder)):
        if setup.variant.stage != "mlssl":
            ranks = _stage1(setup, start.parts, start.resumed)
        if setup.variant.stage != "mmssl":
            _stage2(setup, start.parts, start.resumed, start.kept)
    return ranks


def _stage1(setup: Setup, parts: Stage1, resumed: dict[str, Any] | None) -> Ranks:
    """Trains stage 1, or reads it where stage 2 has begun, and gives the ranks of its networks."""
    over, epochs = resumed is not None and resumed["stage"] == "mlssl", 0
    if over:
        _read_stage1(setup, parts)
    else:
        epochs = stage1.train(setup, parts, resumed)
    if not setup.world.is_first:
        return {}
    # Before the model is written: features that are not finite leave none.
    ranks = final_ranks(setup, parts.branches)
    if not over:
        stage1.write(setup, parts, epochs)
    return ranks


def _stage2(setup: Setup, parts: Stage1, resumed: dict[str, Any] | None, kept: bool) -> None:
    if setup.variant.stage == "mlssl" and kept:
        _read_stage1(setup, parts)
    elif setup.variant.stage == "mlssl" and setup.world.is_first:
        # What it started from, so that it can be resumed even when that has gone.
        stage1.write(setup, parts, setup.variant.stage1.epochs)
    own = resumed if resumed and resumed["stage"] == "mlssl" else None
    stage2.train(setup, parts.branches, own)


def _read_stage1(setup: Setup, parts: Stage1) -> None:
    content = checkpoints.read_checkpoint(setup.run.mmssl)
    checkpoints.load_weights(modules(parts), content["model"], setup.run.mmssl)


def _begin(start: Start, record: RunRecord) -> None:
    """Decodes the images, and writes the record of the run."""
    setup = start.setup
    setup.read_images()
    earlier = start.init.folder if start.init else None
    splits, kept = setup.variant.splits, start.kept
    keep_studies(setup.run, setup.pool, splits, setup.images, earlier, kept=kept)
    record.write(setup.run.variant_file)

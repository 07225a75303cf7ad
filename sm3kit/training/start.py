"""Where a pre-training starts: everything is looked up and tried, and nothing is written."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sm3kit.core.errors import VariantError
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import Pool
from sm3kit.data.progress import Reporter
from sm3kit.data.raw_images import notes_on_views
from sm3kit.data.viewing import change_views
from sm3kit.networks.assemble import (
    Stage1,
    build_clusterer,
    build_pool,
    build_relation,
    fill_in,
)
from sm3kit.networks.backbone import provider_and_model
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.objectives.base import as_views
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.frozen_network import weights_to_fetch
from sm3kit.runs.model import TrainedModel
from sm3kit.runs.studies_seen import check_unchanged
from sm3kit.training import checkpoints, stage1
from sm3kit.training.hardware import check_devices, chosen_workers
from sm3kit.training.observing.loggers import check_loggers
from sm3kit.training.optimising.chosen_weights import check_stop, has_stopped
from sm3kit.training.optimising.rates import check_rates
from sm3kit.training.preparation import (
    Setup,
    apply_suggestions,
    training_cases,
    view_counts,
)
from sm3kit.training.pseudo_labels.clusters import PseudoLabel, pseudo_labels
from sm3kit.training.pseudo_labels.features import check_source, feature_caveats
from sm3kit.training.pseudo_labels.weak import with_weak_labels
from sm3kit.training.teachers import open_teachers, source_of, teacher_caveats

ROWS = 8  # Studies of the made-up batch that losses are tried on.


@dataclass(frozen=True)
class Start:
    """A pre-training whose choices and data are known and go together.

    Attributes:
        setup: what its stages share.
        parts: networks and losses of stage 1.
        labels: the pseudo-labels of stage 2; none without it.
        resumed: the checkpoint to go on from; None begins anew.
        kept: the networks of stage 1 come from the run itself.
        init: the model of an earlier run to start from.
        to_fetch: {modality: where its weights come from} of those that may have to be fetched.
        teachers_to_fetch: where the weights of teachers come from that may have to be fetched.
        notes: sentences on what the data and the weights changed in the settings.
        warnings: sentences on what the earlier run lacks, and on what teachers saw.
    """

    setup: Setup
    parts: Stage1
    labels: list[PseudoLabel]
    resumed: dict[str, Any] | None
    kept: bool
    init: TrainedModel | None
    to_fetch: Mapping[str, str]
    teachers_to_fetch: list[str]
    notes: list[str]
    warnings: list[str]

    def rehearse(self) -> None:
        """Tries the losses, and builds what stage 2 will need; see `rehearse`."""
        rehearse(self.setup, self.parts, len(self.labels))

    def with_weights(self) -> Start:
        """The start with the weights that `prepare` left out, as they may have to be fetched.

        Raises:
            CheckpointError: they cannot be downloaded.
        """
        parts = self.parts
        if self.to_fetch:
            parts = stage1.build(self.setup, self.setup.variant, parts.teachers)
            if self.init:
                self.init.start(parts.branches, self.setup.variant)
        if self.teachers_to_fetch:
            check_source(self.setup, fetch=True)
            teachers = open_teachers(self.setup, fetch=True)
            parts = dataclasses.replace(parts, teachers=teachers)
        return dataclasses.replace(self, parts=parts)


def prepare(
    run: RunFolder,
    variant: Variant,
    reporter: Reporter,
    cache: ImageCache,
    resume: bool,
    features: FeatureCache,
) -> Start:
    """The start of a pre-training, without weights that may have to be fetched.

    See `sm3kit.training.pretrain.pretrain`.
    """
    seconds = variant.machine.seconds
    deadline = None if seconds is None else time.monotonic() + seconds
    check_devices(variant.machine.devices)
    check_loggers(variant.logger)
    variant = fill_in(variant)
    pool = build_pool(variant)
    variant, pool, suggested = apply_suggestions(variant, pool)
    suggested += notes_on_views(pool, variant)
    cases = training_cases(pool, variant)
    if variant.stage != "mlssl":
        check_stop(variant, pool)
    workers, listing = chosen_workers(variant.machine.workers, len(cases)), pool.listing_hash()
    setup = Setup(run, variant, pool, cases, cache, features, reporter, listing, workers, deadline)
    setup, said = with_weak_labels(setup)
    suggested += said
    labels = [] if variant.stage == "mmssl" else pseudo_labels(setup)
    resumed = checkpoints.read_last(run, variant, setup.data_hash) if resume else None
    _check_goes_on(setup, resumed)
    # Stage 2 alone keeps the networks that it started from, in case its first epoch is stopped.
    kept = bool(resumed) or (resume and variant.stage == "mlssl" and run.mmssl.is_file())
    init = RunFolder(Path(variant.init)).trained() if variant.init and not kept else None
    # A modality that the earlier run lacks starts from the weights.
    covered = kept or (init is not None and set(pool.modalities) <= set(init.channels))
    to_fetch = {} if covered else _weights_to_fetch(variant, pool)
    teachers = open_teachers(setup, fetch=False)
    parts = stage1.build(setup, variant.without_weights(None if covered else to_fetch), teachers)
    if variant.stage != "mlssl":
        suggested = [*suggested, *check_rates(variant.stage1, parts.branches.backbones)]
    warnings = init.start(parts.branches, variant) if init else []
    sources = [source_of(variant, name) for name in teachers]
    warnings += teacher_caveats(sources, "its student")
    clustered = check_source(setup, fetch=False)
    warnings += [caveat for source in clustered for caveat in feature_caveats(source)]
    fetched = (to_fetch, weights_to_fetch([*sources, *clustered]))
    return Start(setup, parts, labels, resumed, kept, init, *fetched, suggested, warnings)


def _weights_to_fetch(variant: Variant, pool: Pool) -> dict[str, str]:
    """{modality: where its ImageNet weights come from}, where these may have to be fetched."""
    sources = {
        name: registry("backbones").get(provider_and_model(variant, name)[0]).imagenet_weights
        for name in pool.modalities
        if variant.of(name, "weights") == "imagenet"
    }
    return {name: source for name, source in sources.items() if source}


def _check_goes_on(setup: Setup, resumed: dict[str, Any] | None) -> None:
    """Refuses what a run that went so far cannot become, before its record is written anew."""
    if resumed is None:
        return
    variant, folder, done = setup.variant, setup.run.folder, resumed["epochs_done"]
    before, epochs = resumed["variant"]["stage1"]["epochs"], variant.stage1.epochs
    if resumed["stage"] == "mlssl" and before != epochs:
        raise VariantError(
            f"{folder} has started stage 2 after {before} epochs of stage 1, so --epochs "
            f"{epochs} comes too late. Leave it out, or start a new run with another --out."
        )
    if resumed["stage"] == "mlssl" and variant.stage == "mmssl":
        raise VariantError(
            f"{folder} has started stage 2, so --stage mmssl comes too late. Leave it out, or "
            "start a new run with another --out."
        )
    whole = done >= epochs or has_stopped(resumed, variant.stage1)
    if resumed["stage"] == "mmssl" and variant.stage == "mlssl" and not whole:
        raise VariantError(
            f"{folder} has done {done} of {epochs} epochs of stage 1, and --stage mlssl "
            "would leave out the rest. Use --stage both."
        )
    check_unchanged(setup.run, setup.pool, setup.cases, setup.images)


def rehearse(setup: Setup, parts: Stage1, labels: int) -> None:
    """Tries the losses of stage 1 on random features, and builds what stage 2 will need.

    Args:
        setup: what is to be trained.
        parts: its networks and losses, which stay as they are.
        labels: number K of pseudo-labels.

    Raises:
        VariantError: choices that do not go together, for example one view and nothing to
            compare it with.
        OptionError: options that cannot be.
    """
    if setup.variant.stage != "mlssl" and setup.variant.stage1.epochs:
        _rehearse_stage1(setup, parts)
    if setup.variant.stage != "mmssl":
        _rehearse_stage2(setup, parts.branches.joint_width, labels)


@torch.no_grad()
def _rehearse_stage1(setup: Setup, parts: Stage1) -> None:
    with torch.random.fork_rng(devices=[]):
        features = {
            name: [torch.randn(ROWS, parts.branches.widths[name]) for _ in range(count)]
            for name, count in view_counts(setup).items()
        }
        modalities = setup.pool.modalities
        whole = {name: modalities[name].global_views(views) for name, views in features.items()}
        for name, by_modality in parts.objectives.items():
            for modality, objective in by_modality.items():
                if modality in features:
                    slow = views = whole[modality]
                    if objective.wants_local:
                        as_views(slow)  # Local views are compared with two others.
                        views = features[modality]
                    more: dict[str, Any] = {"targets": slow} if objective.wants_target else {}
                    if name in parts.teachers:
                        more = parts.teaching(name, modality).made_up(ROWS, len(views))
                    copy.deepcopy(objective)(views, **more)
        if parts.crossings and features.keys() == parts.branches.widths.keys():
            streams = _streams(parts, whole)
            for objective in parts.crossings.values():
                copy.deepcopy(objective)(streams)


def _rehearse_stage2(setup: Setup, joint_width: int, labels: int) -> None:
    change_views(setup.pool, setup.variant, setup.variant.stage2.views)
    with torch.random.fork_rng(devices=[]):
        build_relation(setup.variant, joint_width, labels)
    build_clusterer(setup.variant)


def _streams(parts: Stage1, features: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    present = {name: torch.ones(ROWS, dtype=torch.bool) for name in features}
    streams: dict[str, list[Tensor]] = copy.deepcopy(parts.branches.fusion)(features, present)
    return streams

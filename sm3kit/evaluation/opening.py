"""A run is opened for evaluation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sm3kit.core.errors import DataError
from sm3kit.core.variant import Variant
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import Pool, open_pool
from sm3kit.data.progress import Reporter
from sm3kit.evaluation.labelling.label_embedding import open_label_embedding
from sm3kit.evaluation.subject import Subject
from sm3kit.networks.assemble import check_owners
from sm3kit.networks.extraction import Encoder
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.model import TrainedModel
from sm3kit.runs.supervision import supervision_note
from sm3kit.training.hardware import chosen_workers, resolved_precision, smallest_view
from sm3kit.training.pseudo_labels.weak_refusals import check_made_labels

if TYPE_CHECKING:
    from sm3kit.training.processes.world import World  # It loads Lightning.


def open_subject(
    folder: Path,
    data: Sequence[str],
    images: ImageCache,
    features: FeatureCache,
    reporter: Reporter,
    rename: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    world: World | None = None,
) -> Subject:
    """Opens a run for evaluation.

    Args:
        folder: the run folder.
        data: data sets to evaluate on; empty takes those that it was trained on.
        images, features: caches.
        reporter: where progress is shown.
        rename: {modality of the run: what the data call it}.
        options: of data sets and modalities, laid over those of the run.
        world: the processes that evaluate together; None is this one alone.

    Raises:
        SM3Error: no run, other networks, or data that cannot be opened.
    """
    run = RunFolder(folder)
    trained = run.trained()
    changed_files = run.changed_plugins()
    changes = {"options": options or {}, **({"data": list(data)} if data else {})}
    variant = trained.variant.changed(changes, "command line")
    if data or rename:
        variant = dataclasses.replace(variant, map=dict(rename or {}), modality=())
    transferred = list(variant.data) != list(trained.variant.data)
    pool = _pool(trained, variant, transferred)
    check_owners(options or {}, pool, "evaluate")
    check_made_labels(pool, list(trained.facts.weak), f"{folder} has learned from them")
    branches = trained.branches(pool.modalities)
    embedding, prototypes, notes = open_label_embedding(trained, pool, branches.joint_width)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if world is not None and device == "cuda":
        device = f"cuda:{world.environment.local_rank()}"
    branches.to(device).requires_grad_(False).eval()
    if embedding is not None:
        embedding.to(device).eval()
    count = sum(len(cases) for cases in pool.cases.values())
    size = smallest_view(pool.modalities)
    precision = resolved_precision(variant.stage1.precision, branches, size)
    workers = chosen_workers(variant.machine.workers, count)
    encoder = Encoder(branches, variant, features, reporter, precision, workers)
    seen = run.studies()
    subject = Subject(
        run,
        trained,
        variant,
        pool,
        embedding,
        prototypes,
        images,
        encoder,
        reporter,
        notes,
        seen,
        world,
    )
    notes.extend(changed_files + _notes(subject, transferred))
    return subject


def _pool(trained: TrainedModel, variant: Variant, transferred: bool) -> Pool:
    """The studies, with those of their modalities that the run has networks for.

    Other data may know nothing of a common geometry; it concerns random views alone.
    """
    pool = open_pool(
        variant.data,
        image_size=lambda name: int(variant.of(name, "image_size")),
        among=list(trained.channels),
        rename=variant.map,
        options=variant.options,
        paired_geometry=variant.paired_geometry and not transferred,
    )
    for name, modality in pool.modalities.items():
        if modality.channels != trained.channels[name]:
            raise DataError(
                f"Modality {name!r} of the data has {modality.channels} channels, and the networks "
                f"of {trained.folder} take {trained.channels[name]}."
            )
    return pool


def _notes(subject: Subject, transferred: bool) -> list[str]:
    trained, pool = subject.trained, subject.pool
    notes = [note] if (note := supervision_note(trained.record())) else []
    if trained.facts.stage == "mmssl" and trained.variant.stage != "mmssl":
        notes.append(
            "Stage 2 of the run is not finished: this evaluates the networks of stage 1. To finish "
            f"it: {subject.run.resume_command}"
        )
    if not subject.studies:
        notes.append(
            "The run keeps no record of its studies, so studies that were trained on cannot be "
            "detected."
        )
    missing = [name for name in trained.channels if name not in pool.modalities]
    if missing:
        notes.append(
            f"The data have no {', '.join(missing)}: its features are zeros, as for a missing image."
        )
    if not transferred and pool.listing_hash() != trained.facts.data_hash:
        notes.append(
            "The listing of the data has changed since the run was trained; its splits may differ."
        )
    if "test" in trained.variant.splits and not transferred:
        notes.append("Pre-training saw the images of the test split.")
    return notes

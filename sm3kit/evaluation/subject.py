"""What is evaluated: the networks of a run, and studies with labels."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sm3kit.core.errors import DataError
from sm3kit.core.variant import Variant
from sm3kit.data.batches import StudyViews
from sm3kit.data.cases import Case
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import Pool, open_pool
from sm3kit.data.progress import Reporter
from sm3kit.evaluation.label_embedding import LabelEmbedding, label_embedding
from sm3kit.modalities.base import Modality
from sm3kit.networks.assemble import build_fusion, check_owners
from sm3kit.networks.backbone import build_backbone
from sm3kit.networks.extraction import Encoder, Features
from sm3kit.networks.extractor import Extractor
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs.plugin_origins import check_recorded
from sm3kit.runs.run import Run
from sm3kit.runs.studies_record import SourceRecord, read_studies
from sm3kit.runs.trained import Trained, load_part, read_trained
from sm3kit.training.hardware import chosen_workers, resolved_precision, smallest_view


@dataclass(frozen=True)
class Subject:
    """The networks of a run on a pool of studies.

    Attributes:
        trained: the run.
        variant: its choices, with the data at hand.
        pool: the studies.
        extractor: backbones and fusion, on the device, frozen.
        embedding: the relation, if stage 2 was trained for the labels of the pool; else None.
        prototypes: per label of the pool the weights (C, P) of its prototypes, or None.
        images: decoded images.
        encoder: gives features.
        reporter: where progress is shown.
        notes: what a reader of the results should know, a sentence each.
        record: the studies that the run was trained with; empty if it keeps none.
    """

    trained: Trained
    variant: Variant
    pool: Pool
    extractor: Extractor
    embedding: LabelEmbedding | None
    prototypes: Sequence[Tensor | None]
    images: ImageCache
    encoder: Encoder
    reporter: Reporter
    notes: Sequence[str]
    record: Sequence[SourceRecord] = ()

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.extractor.device

    def computed_in(self, precision: str) -> Subject:
        """The same, with networks that compute in a precision; "run" is that of the run."""
        if precision == "run":
            return self
        encoder = copy.copy(self.encoder)
        size = smallest_view(self.pool.modalities)
        encoder.precision = resolved_precision(precision, self.extractor, size)
        return dataclasses.replace(self, encoder=encoder)

    def cases(self, split: str, *, labelled: bool) -> list[Case]:
        """The studies of a split, all or those with a known label.

        Raises:
            DataError: there is none.
        """
        found = [
            case
            for case in self.pool.cases[split]
            if not labelled or any(value >= 0 for value in case.labels)
        ]
        if not found:
            what = "study with a known label" if labelled else "study"
            remedy = "Choose another --split"
            if labelled:
                remedy = "Classifiers learn from the split train" if split == "train" else remedy
                remedy += "; give labels" if split == "train" else ", or give labels"
            raise DataError(
                f"The split {split} of {', '.join(self.variant.data)} has no {what}. {remedy}."
            )
        return found

    def shown(self, cases: Sequence[Case], seed: int) -> StudyViews:
        """Cases as views."""
        return StudyViews(self.pool, cases, self.images, seed)

    def features(self, cases: Sequence[Case]) -> Features:
        """Features of the evaluation view of cases."""
        with self.reporter:
            return self.encoder.evaluation(self.shown(cases, self.variant.seed))


def open_subject(
    folder: Path,
    data: Sequence[str],
    images: ImageCache,
    features: FeatureCache,
    reporter: Reporter,
    rename: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Subject:
    """Opens a run for evaluation.

    Args:
        folder: the run folder.
        data: data sets to evaluate on; empty takes those that it was trained on.
        images, features: caches.
        reporter: where progress is shown.
        rename: {modality of the run: what the data call it}.
        options: of data sets and modalities, laid over those of the run.

    Raises:
        SM3Error: no run, other networks, or data that cannot be opened.
    """
    trained = read_trained(folder)
    changed_files = check_recorded(Run(folder).plugin_files(), str(folder))
    changes: dict[str, Any] = {"options": options or {}}
    if data:
        changes |= {"data": list(data)}
    variant = trained.variant.changed(changes, "command line")
    if data or rename:
        variant = dataclasses.replace(variant, map=dict(rename or {}), modality=())
    transferred = list(variant.data) != list(trained.variant.data)
    pool = _pool(trained, variant, transferred)
    check_owners(options or {}, pool, "evaluate")
    extractor = extractor_of(trained, pool.modalities)
    embedding, prototypes, notes = label_embedding(trained, pool, extractor.fusion.joint_width)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    extractor.to(device).requires_grad_(False).eval()
    if embedding is not None:
        embedding.to(device).eval()
    if variant.machine.channels_last:
        extractor.to(memory_format=torch.channels_last)
    count = sum(len(cases) for cases in pool.cases.values())
    encoder = Encoder(
        extractor,
        variant,
        features,
        reporter,
        resolved_precision(variant.stage1.precision, extractor, smallest_view(pool.modalities)),
        chosen_workers(variant.machine.workers, count),
    )
    record = read_studies(Run(folder))
    notes += changed_files + _notes(trained, pool, transferred, record)
    return Subject(
        trained,
        variant,
        pool,
        extractor,
        embedding,
        prototypes,
        images,
        encoder,
        reporter,
        notes,
        record,
    )


def _pool(trained: Trained, variant: Variant, transferred: bool) -> Pool:
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


def extractor_of(trained: Trained, modalities: Mapping[str, Modality]) -> Extractor:
    """The backbones and the fusion of a run; also for modalities that the data lack.

    Args:
        modalities: {modality: how raw views are normalised}.
    """
    bare = trained.variant.without_weights()
    backbones = {
        name: build_backbone(bare, name, channels) for name, channels in trained.channels.items()
    }
    fusion = build_fusion(bare, {name: one.width for name, one in backbones.items()})
    for name, backbone in backbones.items():
        load_part(backbone, trained.backbone(name), trained, name)
    load_part(fusion, trained.of("fusion"), trained, "the fusion")
    return Extractor(backbones, fusion, modalities, trained.variant.machine.channels_last)


def _notes(
    trained: Trained, pool: Pool, transferred: bool, record: Sequence[SourceRecord]
) -> list[str]:
    notes = []
    if not record:
        notes.append(
            "The run keeps no record of its studies, so nobody can tell whether measured ones were "
            "trained on."
        )
    missing = [name for name in trained.channels if name not in pool.modalities]
    if missing:
        notes.append(
            f"The data have no {', '.join(missing)}: its features are zeros, as for a missing image."
        )
    same = pool.listing_hash() == trained.data_hash
    if not same and not transferred:
        notes.append(
            "The listing of the data has changed since the run was trained; its splits may be others."
        )
    if "test" in trained.variant.splits and not transferred:
        notes.append("Pre-training saw the images of the test split.")
    return notes

"""What is evaluated: the networks of a run, and studies with labels."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sm3kit.classifiers.base import Classifier
from sm3kit.core.errors import DataError
from sm3kit.core.variant import Variant
from sm3kit.data.batches import StudyViews
from sm3kit.data.cases import Case
from sm3kit.data.dropping import Remaining, drops_of, without_images
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import Pool, case_id
from sm3kit.data.progress import Reporter
from sm3kit.evaluation.labelling.classifier import ClassifierSpec
from sm3kit.evaluation.labelling.label_embedding import LabelEmbedding
from sm3kit.evaluation.missing.filling import Filling, filled_joint
from sm3kit.evaluation.settings import Settings
from sm3kit.networks.branches import Branches
from sm3kit.networks.extraction import Encoder, Features
from sm3kit.networks.pair_spaces import PairSpaces
from sm3kit.nn.finite import check_features
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.model import TrainedModel
from sm3kit.runs.studies_record import SourceRecord
from sm3kit.training.hardware import resolved_precision, smallest_view

if TYPE_CHECKING:
    from sm3kit.training.processes.world import World  # It loads Lightning.

ROWS = 4096  # Studies whose features are joined at a time.


@dataclass(frozen=True)
class Subject:
    """The networks of a run on a pool of studies.

    Attributes:
        run: its folder.
        trained: its model.
        variant: its choices, with the data at hand.
        pool: the studies.
        embedding: the relation, if stage 2 was trained for the labels of the pool; else None.
        prototypes: per label of the pool the weights (C, P) of its prototypes, or None.
        images: decoded images.
        encoder: gives features of its branches, which are frozen and on the device.
        reporter: where progress is shown.
        notes: what a reader of the results should know, a sentence each.
        studies: those that the run was trained with; none if it keeps no record of them.
        world: the processes that evaluate together; None is this one alone.
    """

    run: RunFolder
    trained: TrainedModel
    variant: Variant
    pool: Pool
    embedding: LabelEmbedding | None
    prototypes: Sequence[Tensor | None]
    images: ImageCache
    encoder: Encoder
    reporter: Reporter
    notes: Sequence[str]
    studies: Sequence[SourceRecord]
    world: World | None = None

    @property
    def branches(self) -> Branches:
        """Backbones and fusion."""
        return self.encoder.branches

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.branches.device

    def with_precision(self, precision: str) -> Subject:
        """The same, with networks that compute in a precision; "run" is that of the run."""
        if precision == "run":
            return self
        encoder = copy.copy(self.encoder)
        size = smallest_view(self.pool.modalities)
        encoder.precision = resolved_precision(precision, self.branches, size)
        return dataclasses.replace(self, encoder=encoder)

    def cases(self, split: str, *, labelled: bool) -> list[Case]:
        """The studies of a split, all or those with a known label.

        Raises:
            DataError: there is none.
        """
        cases = [
            case
            for case in self.pool.cases[split]
            if not labelled or any(value >= 0 for value in case.labels)
        ]
        if not cases:
            what, remedy = "study", "Choose another --split"
            if labelled:
                what, remedy = "study with a known label", f"{remedy}, or give labels"
            if labelled and split == "train":
                remedy = "Classifiers learn from the split train; give labels"
            raise DataError(
                f"The split {split} of {', '.join(self.variant.data)} has no {what}. {remedy}."
            )
        return cases

    def measured(self, settings: Settings) -> list[Case]:
        """The studies of the measured split, without the images that the settings take away.

        A matching needs no label of them.

        Raises:
            VariantError: a modality that the data do not have.
            DataError: there is no study, or none has an image left.
        """
        return self.remaining(settings).cases

    def remaining(self, settings: Settings) -> Remaining:
        """The same, with the number of studies that have lost an image, or all of them."""
        cases = self.cases(settings.split, labelled=settings.protocol != "match")
        if not settings.drop:
            return Remaining(cases, {}, [])
        drops = drops_of(settings.drop, list(self.pool.modalities))
        left = without_images(cases, drops, lambda case: case_id(self.pool, case))
        if not left.cases:
            raise DataError(
                f"No study of the split {settings.split} of {', '.join(self.variant.data)} has an "
                f"image left without {' and '.join(left.lost)}. Drop fewer modalities."
            )
        if not any(left.lost.values()):
            raise DataError(
                f"No study of the split {settings.split} of {', '.join(self.variant.data)} has an "
                f"image of {' or '.join(left.lost)} to drop. Leave out --drop, or drop a larger share."
            )
        return left

    def views_of(self, cases: Sequence[Case], seed: int) -> StudyViews:
        """Cases as views."""
        return StudyViews(self.pool, cases, self.images, seed)

    def features(self, cases: Sequence[Case]) -> Features:
        """Features of the evaluation view of cases."""
        with self.reporter:
            return self.encoder.evaluation(self.views_of(cases, self.variant.seed))

    def joint(self, cases: Sequence[Case], filling: Filling | None = None) -> Tensor:
        """Joint features (N, J) of the evaluation view of cases, on the CPU.

        Args:
            cases: the studies.
            filling: what stands in for absent modalities; None leaves them to the fusion.

        Raises:
            TrainingError: some are not finite.
        """
        features = self.features(cases)
        parts = []
        with torch.no_grad():
            for places in torch.split(torch.arange(len(features)), ROWS):
                rows = {n: own.to(self.device) for n, own in features.rows(places).items()}
                present = {name: mask[places] for name, mask in features.present.items()}
                parts.append(filled_joint(self.branches.joint, filling, rows, present).cpu())
        joint = torch.cat(parts)
        check_features({"all modalities": joint}, "joined by the fusion")
        return joint

    def embeddings(self, cases: Sequence[Case]) -> PairSpaces:
        """Features and streams of the evaluation view of cases.

        Raises:
            TrainingError: some are not finite.
        """
        features = self.features(cases)
        embeddings = self.branches.embed(features.whole(), features.present)
        check_features(embeddings.of_modalities, "after the fusion")
        return embeddings

    def classifier(
        self,
        *,
        relation: bool,
        prototypes: bool,
        seed: int,
        spec: ClassifierSpec | None = None,
        among: Tensor | None = None,
    ) -> Classifier:
        """A fresh classifier for the labels, which leaves the subject as it is when it learns.

        Args:
            relation: whether it gets the label embeddings of stage 2, if it wants them.
            prototypes: whether it may start as the prototypes of stage 2.
            seed: of the weights.
            spec: the plugin and its options; "linear" by default.
            among: (N,) bool, which training studies it learns from; None for all.

        Raises:
            SM3Error: no such classifier, or it does not work with these networks.
        """
        known = self.known_labels()
        if among is not None:
            known = known.masked_fill(~among.unsqueeze(1), -1)
        torch.manual_seed(seed)
        return (spec or ClassifierSpec()).build(
            self.branches,
            self.pool.labels,
            known=known,
            embedding=copy.deepcopy(self.embedding) if relation else None,
            prototypes=self.prototypes if prototypes else (),
        )

    def known_labels(self) -> Tensor:
        """Labels (N, K) of the training studies that have any, -1 where unknown."""
        cases = self.cases("train", labelled=True)
        return torch.tensor([case.labels for case in cases], dtype=torch.long)

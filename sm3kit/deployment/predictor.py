"""The networks and the classifier of a run, as they predict, and which classifier is meant."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sm3kit.classifiers.base import Streams
from sm3kit.core.errors import DataError, VariantError
from sm3kit.core.variant import Variant
from sm3kit.data.batches import EVALUATION, Batch
from sm3kit.data.pool import build_modality
from sm3kit.deployment.finding import find_classifier
from sm3kit.evaluation.classifier_file import ClassifierFile, read_weights
from sm3kit.evaluation.decisions.decision import mean_probabilities
from sm3kit.evaluation.decisions.stack import metadata_rows
from sm3kit.evaluation.labelling.ensemble import Ensemble
from sm3kit.evaluation.labelling.kept import open_network
from sm3kit.evaluation.labelling.label_network import FromImages, LabelNetwork
from sm3kit.evaluation.predicting import concatenate, stream_logits
from sm3kit.modalities.base import Modality
from sm3kit.networks.branches import Branches
from sm3kit.networks.extraction import Features
from sm3kit.networks.joint_batches import CachedJoint
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.model import ModelFacts, TrainedModel
from sm3kit.runs.supervision import supervision_of
from sm3kit.training.hardware import cpu_has_bf16


@dataclass(frozen=True)
class Predictor:
    """Turns images into class probabilities.

    Attributes:
        run: where the networks come from.
        variant: its choices.
        file: where the classifier comes from.
        modalities: {modality: how its images are read, viewed and normalised}.
        branches: backbones and fusion, in eval mode; of a fine-tuned ensemble those of its first
            member.
        network: what a batch goes through, in eval mode: features with "probe", else images.
    """

    run: RunFolder
    variant: Variant
    file: ClassifierFile
    modalities: Mapping[str, Modality]
    branches: Branches
    network: LabelNetwork | Ensemble

    @property
    def members(self) -> list[tuple[Branches, LabelNetwork]]:
        """The networks below each member, and the member."""
        members = self.network.members if isinstance(self.network, Ensemble) else [self.network]
        return [
            (member.extractor if isinstance(member, FromImages) else self.branches, member)
            for member in members
            if isinstance(member, LabelNetwork)
        ]

    @property
    def streams(self) -> list[str]:
        """The names of all modalities that the networks know, in the order of the fusion."""
        return list(self.branches.widths)

    @property
    def supervision(self) -> dict[str, Any]:
        """What results say of the weak labels of the run; see `supervision_of`."""
        return supervision_of(self.variant, ModelFacts.read(self.run.model).weak)

    def to(self, device: str) -> Predictor:
        """Moves all networks to a device."""
        self.branches.to(device)
        self.network.to(device)
        return self

    def probabilities(self, batches: Iterable[Batch]) -> list[Tensor]:
        """Class probabilities [(N, C)] * K of raw evaluation views, in float64.

        Computed as `sm3kit evaluate` does: a probe encodes all images, then classifies many
        features at once; a fine-tuned network goes through batch by batch.

        Raises:
            DataError: some are not finite.
        """
        decision = self.file.decision
        metadata: list[Tensor] = []

        def watched() -> Iterator[Batch]:
            for batch in batches:
                if decision.stack is not None:
                    of = decision.stack.metadata
                    metadata.append(metadata_rows(batch, self.modalities, of))
                yield batch

        probabilities = mean_probabilities(self.network, self._logits(watched()))
        if decision.stack is not None:
            probabilities = decision.stack.mix(probabilities, torch.cat(metadata))
        names = [label.name for label in self.file.labels]
        probabilities = decision.calibrate(names, probabilities)
        for label, rows in zip(self.file.labels, probabilities, strict=True):
            if not bool(rows.isfinite().all()):
                raise DataError(
                    f"The probabilities of {label.name} by {self.file.path} are not finite: its "
                    "training has diverged. Lower its learning rate and train it again."
                )
        return probabilities

    def _logits(self, batches: Iterable[Batch]) -> list[Streams]:
        """Logits {stream: [(N, C)] * K} of each test view."""
        numbers = range(self.file.decision.views)
        if self.file.protocol == "finetune":
            parts: list[list[Streams]] = [[] for _ in numbers]
            for batch in batches:
                for number, part in enumerate(parts):
                    part.append(stream_logits(self.network, [batch.of_view(number)]))
            return [concatenate(part) for part in parts]
        return [
            stream_logits(
                self.network,
                CachedJoint(features, self.branches, self.file.seed).in_order(EVALUATION),
            )
            for features in self._features(batches)
        ]

    def _features(self, batches: Iterable[Batch]) -> list[Features]:
        """Features of each test view."""
        views = range(self.file.decision.views)
        tables: list[list[dict[str, Tensor]]] = [[] for _ in views]
        masks: list[dict[str, Tensor]] = []
        for batch in batches:
            for view, table in zip(views, tables, strict=True):
                features = self.branches.frozen_features(batch.of_view(view), self._precision())
                table.append({name: rows.cpu() for name, rows in features.items()})
            masks.append(batch.present)
        names = self.streams
        count = sum(len(present[names[0]]) for present in masks)
        present = {name: torch.cat([mask[name] for mask in masks]) for name in names}
        return [
            Features(
                {name: [torch.cat([rows[name] for rows in table]).numpy()] for name in names},
                present,
                torch.empty(count, 0, dtype=torch.long),
                [""] * count,
                torch.zeros(count, dtype=torch.long),
            )
            for table in tables
        ]

    def _precision(self) -> str:
        """The precision of the features that the classifier learned from, where it is fast."""
        fast = self.branches.device.type == "cuda" or (
            self.file.precision == "bf16-mixed" and cpu_has_bf16()
        )
        return self.file.precision if fast else "32-true"


def open_predictors(
    folders: Sequence[Path],
    protocol: str | None = None,
    select: str | None = None,
    classifier: str = "",
) -> list[Predictor]:
    """A predictor for each run, with the classifier that `find_classifier` takes.

    Raises:
        SM3Error: a run is given twice or has no such classifier, or its networks cannot be built.
    """
    if len(set(folders)) < len(folders):
        raise VariantError("A run is given twice. Give each run once.")
    models = [RunFolder(folder).trained() for folder in folders]
    files = [find_classifier(model, protocol, select, classifier) for model in models]
    return [open_predictor(model, file) for model, file in zip(models, files, strict=True)]


def open_predictor(trained: TrainedModel, file: ClassifierFile) -> Predictor:
    """Builds the networks of a run and the classifier that was trained on them, on the CPU.

    Raises:
        SM3Error: a plugin is missing, or the weights do not fit.
    """
    run = RunFolder(trained.folder)
    run.changed_plugins()
    modalities = {
        name: build_modality(name, reading.spec, reading.image_size, {})
        for name, reading in file.readings.items()
    }
    branches = trained.branches(modalities)
    network = open_network(trained, file, branches)
    # As after the training: torch takes other kernels for frozen weights, and last bits differ.
    branches.requires_grad_(False).eval()
    network.requires_grad_(file.protocol == "finetune").eval()
    stack = file.decision.stack
    if stack is not None:
        decision = dataclasses.replace(
            file.decision, stack=stack.with_tensors(read_weights(file.path))
        )
        file = dataclasses.replace(file, decision=decision)
    predictor = Predictor(run, trained.variant, file, modalities, branches, network)
    return dataclasses.replace(predictor, branches=predictor.members[0][0])

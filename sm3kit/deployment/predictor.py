"""The networks and the classifier of a run, as they predict, and which classifier is meant."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sm3kit.core.errors import CheckpointError, DataError, VariantError
from sm3kit.core.names import unknown
from sm3kit.core.variant import Variant
from sm3kit.data.batches import EVALUATION, Batch
from sm3kit.data.pool import build_modality
from sm3kit.evaluation.classifier_file import ClassifierFile, read_classifier
from sm3kit.evaluation.labelling.ensemble import Ensemble
from sm3kit.evaluation.labelling.kept import open_network
from sm3kit.evaluation.labelling.label_network import FromImages, LabelNetwork
from sm3kit.evaluation.predicting import scores
from sm3kit.modalities.base import Modality
from sm3kit.networks.branches import Branches
from sm3kit.networks.extraction import Features
from sm3kit.networks.joint_batches import CachedJoint
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.model import TrainedModel
from sm3kit.training.hardware import cpu_has_bf16

SPLITS = ("test", "val", "train")  # In the order in which a classifier of theirs is taken.


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
        if self.file.protocol == "finetune":
            probabilities = scores(self.network, batches)
        else:
            joint = CachedJoint(self._features(batches), self.branches, self.file.seed)
            probabilities = scores(self.network, joint.in_order(EVALUATION))
        for label, rows in zip(self.file.labels, probabilities, strict=True):
            if not bool(rows.isfinite().all()):
                raise DataError(
                    f"The probabilities of {label.name} by {self.file.path} are not finite: its "
                    "training has diverged. Lower its learning rate and train it again."
                )
        return probabilities

    def _features(self, batches: Iterable[Batch]) -> Features:
        tables: list[dict[str, Tensor]] = []
        masks: list[dict[str, Tensor]] = []
        for batch in batches:
            features = self.branches.frozen_features(batch, self._precision())
            tables.append({name: rows.cpu() for name, rows in features.items()})
            masks.append(batch.present)
        names = self.streams
        count = sum(len(present[names[0]]) for present in masks)
        return Features(
            {name: [torch.cat([table[name] for table in tables]).numpy()] for name in names},
            {name: torch.cat([present[name] for present in masks]) for name in names},
            torch.empty(count, 0, dtype=torch.long),
            [""] * count,
            torch.zeros(count, dtype=torch.long),
        )

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
    predictor = Predictor(run, trained.variant, file, modalities, branches, network)
    return dataclasses.replace(predictor, branches=predictor.members[0][0])


def find_classifier(
    trained: TrainedModel, protocol: str | None = None, select: str | None = None, name: str = ""
) -> ClassifierFile:
    """The classifier that `sm3kit evaluate` left in a run.

    Of several: the run's own protocol before the other, one that is neither leaky nor measured on
    what pre-training saw before one that is, the run's own data before others, one without a label
    before those with one, the split test before val before train, the seed of the run before
    another, then by name.

    Args:
        protocol: "probe" or "finetune"; None takes either.
        select: how its epoch was chosen; None takes any.
        name: of its file in RUN/eval, without the ending, or the label of its evaluation.

    Raises:
        CheckpointError: there is none, or it was trained on networks that the run no longer has.
        VariantError: there is none of this name.
    """
    files = sorted((trained.folder / "eval").glob("*.safetensors"))
    names = {file.stem: file for file in files}
    if name in names:
        candidates = [read_classifier(names[name])]
    else:
        known, damage = _read_all(files)
        labels = dict.fromkeys(file.label for file in known if file.label)
        if name and name not in labels:
            raise VariantError(f"--classifier: {unknown('classifier', name, [*names, *labels])}")
        candidates = [
            file
            for file in known
            if protocol in (None, file.protocol)
            and select in (None, file.select)
            and name in ("", file.label)
        ]
        if damage and not known:
            raise damage
    if not candidates:
        raise CheckpointError(_nothing_there(trained, files, protocol, select))
    chosen = min(candidates, key=lambda file: _order(file, trained))
    if chosen.model != trained.file_hash:
        raise CheckpointError(
            f"The classifier {chosen.path} was trained on other networks than {trained.folder} "
            f"has now. Train it again: {_command(trained.folder, chosen.protocol, chosen.select)}"
        )
    return chosen


def _read_all(files: list[Path]) -> tuple[list[ClassifierFile], CheckpointError | None]:
    """The classifiers that can be used, and why the first of the others cannot."""
    known: list[ClassifierFile] = []
    damage = None
    for file in files:
        try:
            known.append(read_classifier(file))
        except CheckpointError as error:
            damage = damage or error
    return known, damage


def _order(file: ClassifierFile, trained: TrainedModel) -> tuple[object, ...]:
    return (
        file.protocol != trained.variant.protocol,
        file.leaky or file.seen,
        file.transfer,
        bool(file.label),
        SPLITS.index(file.split),
        file.seed != trained.variant.seed,
        len(file.path.stem),
        file.path.stem,
    )


def _nothing_there(
    trained: TrainedModel, files: list[Path], protocol: str | None, select: str | None
) -> str:
    asked = [f"--protocol {protocol}"] if protocol else []
    asked += [f"--select {select}"] if select else []
    what = f" with {' '.join(asked)}" if asked and files else ""
    there = f" (there are {', '.join(file.stem for file in files)})" if files else ""
    return (
        f"{trained.folder} has no classifier{what} yet{there}. Train one: "
        f"{_command(trained.folder, protocol, select)}"
    )


def _command(folder: Path, protocol: str | None, select: str | None) -> str:
    chosen = f" --select {select}" if select not in (None, "val_best") else ""
    return f"sm3kit evaluate {folder} --protocol {protocol or 'probe'}{chosen}"

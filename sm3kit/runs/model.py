"""The file `model.safetensors` of a run: its networks, and what they were trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from sm3kit.backbones.base import Backbone
from sm3kit.core.errors import CheckpointError, SM3Error
from sm3kit.core.plain_json import check_shape, parse
from sm3kit.core.variant import Variant
from sm3kit.modalities.base import Modality
from sm3kit.networks.assemble import build_fusion
from sm3kit.networks.backbone import build_backbone
from sm3kit.networks.branches import Branches
from sm3kit.nn.finite import first_two, not_finite
from sm3kit.nn.named_modules import module_key
from sm3kit.runs.record import REMEDY, fact, facts_of, names_of, shape_of
from sm3kit.runs.supervision import supervision_of
from sm3kit.runs.tensor_file import write_tensors

FORMAT = 2  # The first one had a variant without parts.
DOWNSTREAM = ("backbones", "fusion", "relation", "prototypes")  # What downstream needs.
# What a file that is no model, or a damaged one, makes of safetensors and of us.
DAMAGE = (SafetensorError, OSError, RuntimeError, LookupError, TypeError, ValueError, SM3Error)


@dataclass(frozen=True)
class ModelFacts:
    """What a model says of itself, in its own file and in the checkpoint of its stage.

    Attributes:
        stage: the last stage that was finished, "mmssl" or "mlssl".
        epochs_done: of that stage.
        variant: all choices of the run.
        data_hash: of the listing of the data that it was trained on.
        channels: {modality: number of channels}, of those that it has a backbone for.
        labels: {label: number of clusters} of stage 2, in order; empty after stage 1.
        weak: {label: studies with weak labels} of stage 2; empty without any.
    """

    stage: str = fact(str)
    epochs_done: int = fact(int)
    variant: Variant = fact(dict)
    data_hash: str = fact(str)
    channels: Mapping[str, int] = fact({"*": int})
    labels: Mapping[str, int] = fact({"*": int}, default_factory=dict)
    weak: Mapping[str, int] = fact({"*": int}, default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"format": FORMAT, **facts_of(self), "variant": self.variant.as_dict()}

    @classmethod
    def read(cls, file: Path) -> ModelFacts:
        """What a model file says of itself; its weights are not read.

        Raises:
            One of `DAMAGE`: it is no model.
        """
        with safe_open(file, "pt") as opened:
            facts = parse(opened.metadata()["sm3kit"])
        check_shape(facts, {"format": int, **shape_of(cls)})
        if facts["format"] != FORMAT:
            raise CheckpointError("another version of sm3kit wrote it.")
        facts["variant"] = Variant().changed(facts["variant"], str(file))
        return cls(**{name: facts[name] for name in names_of(cls) if name in facts})

    def write(self, file: Path, networks: Mapping[str, Tensor]) -> None:
        """Writes a model file, whole or not at all, with the weights that downstream needs."""
        kept = {name: value for name, value in networks.items() if name.split(".")[0] in DOWNSTREAM}
        write_tensors(file, kept, {"sm3kit": json.dumps(self.as_dict())}, REMEDY)


@dataclass(frozen=True)
class TrainedModel:
    """The model file of a run.

    Attributes:
        folder: the run folder.
        facts: what it says of itself.
        weights: all weights by name.
        file_hash: of the model file.
    """

    folder: Path
    facts: ModelFacts
    weights: Mapping[str, Tensor]
    file_hash: str

    @property
    def variant(self) -> Variant:
        """All choices of the run."""
        return self.facts.variant

    @property
    def channels(self) -> Mapping[str, int]:
        """{modality: number of channels}, of those that it has a backbone for."""
        return self.facts.channels

    def of(self, part: str) -> dict[str, Tensor]:
        """The weights of one of `DOWNSTREAM`, without its name."""
        start = f"{part}."
        return {n[len(start) :]: w for n, w in self.weights.items() if n.startswith(start)}

    def backbone(self, modality: str) -> dict[str, Tensor]:
        """The weights of the backbone of one modality."""
        return self.of(f"backbones.{module_key(modality)}")

    def network(self, modality: str) -> Backbone:
        """The backbone of one modality: normalised views (B, C, H, W) -> features (B, width).

        Raises:
            SM3Error: a plugin is missing, or the weights do not fit.
        """
        variant = self.variant.without_weights()
        network = build_backbone(variant, modality, self.channels[modality])
        self.load(network, self.backbone(modality), modality)
        return network

    def branches(self, modalities: Mapping[str, Modality]) -> Branches:
        """The backbones and the fusion; also for modalities that the data lack.

        Args:
            modalities: {modality: how raw views are normalised}.

        Raises:
            SM3Error: a plugin is missing, or the weights do not fit.
        """
        bare = self.variant.without_weights()
        backbones = {name: self.network(name) for name in self.channels}
        widths = {name: backbone.width for name, backbone in backbones.items()}
        fusion = build_fusion(bare, widths)
        self.load(fusion, self.of("fusion"), "the fusion")
        return Branches(backbones, fusion, modalities, bare.machine.channels_last)

    def load(self, network: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
        """Puts the weights of one part into its network.

        Raises:
            CheckpointError: they do not fit.
        """
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"The weights of {name} in {self.folder} do not fit this network: {reason}"
            ) from error

    def start(self, branches: Branches, variant: Variant) -> list[str]:
        """Puts its networks into branches that are about to be trained, as far as they fit.

        Returns:
            A sentence on each part that this model does not have.

        Raises:
            CheckpointError: its backbone is another, or it has none of the modalities.
        """
        names = list(branches.backbones)
        shared = [name for name in names if name in self.channels]
        for name in shared:
            own, asked = self.variant.of(name, "backbone"), variant.of(name, "backbone")
            if own != asked:
                raise CheckpointError(
                    f"--init {self.folder} was trained with --backbone {own} for {name}, "
                    f"not {asked}. Give the same backbone, or another run."
                )
        if not shared:
            raise CheckpointError(
                f"--init {self.folder} has networks for {', '.join(self.channels)}, and the "
                f"data have {', '.join(names)}. Rename a modality with --map."
            )
        notes = [
            f"{name} has no network in {self.folder} and starts from new weights"
            for name in names
            if name not in shared
        ]
        for name in shared:
            self.load(branches.backbones[name], self.backbone(name), name)
        fusion = self.of("fusion")
        # Compared first: a load that fails has put in what fits.
        if _shapes(fusion) == _shapes(branches.fusion.state_dict()):
            branches.fusion.load_state_dict(fusion)
        else:
            notes.append(
                f"the fusion of {self.folder} is different: this one starts from new weights"
            )
        return notes

    def record(self) -> dict[str, Any]:
        """What a result that builds on this model says of it."""
        v = self.variant
        return {
            "run": str(self.folder),
            "model": self.file_hash,
            "recipe": list(v.recipe),
            "data": list(v.data),
            "data_hash": self.facts.data_hash,
            "stage": self.facts.stage,
            "splits": list(v.splits),
            "init": v.init,
            "seed": v.seed,
            **supervision_of(v, self.facts.weak),
        }


def read_model(file: Path) -> TrainedModel:
    """The model in a file.

    Raises:
        CheckpointError: it is damaged, or its training diverged.
    """
    try:
        facts = ModelFacts.read(file)
        with safe_open(file, "pt") as opened:
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        bad = not_finite(weights)
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200].removesuffix(".")
        raise CheckpointError(
            f"{file} is not a model written by sm3kit, or it is damaged: {reason}. Train the "
            "run again."
        ) from error
    if bad:
        raise CheckpointError(
            f"{file} comes from a training that diverged: {len(bad)} of {len(weights)} tensors "
            f"({first_two(bad)}) are not finite. Train the run again with a lower --lr."
        )
    digest = hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest()
    return TrainedModel(file.parent, facts, weights, digest)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}

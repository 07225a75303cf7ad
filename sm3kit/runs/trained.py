"""What a run left: its networks, and what they were trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from sm3kit.core.errors import CheckpointError, SM3Error
from sm3kit.core.plain_json import check_shape, parse
from sm3kit.core.variant import Variant
from sm3kit.networks.extractor import Extractor
from sm3kit.runs.run import Run
from sm3kit.nn.finite import first_two, not_finite
from sm3kit.nn.named_modules import module_key

# What the model file says of itself.
FACTS = {
    "variant": dict,
    "stage": str,
    "data_hash": str,
    "channels": {"*": int},
    "labels?": {"*": int},
}


@dataclass(frozen=True)
class Trained:
    """The model file of a run.

    Attributes:
        folder: the run folder.
        variant: all choices of the run.
        stage: the last stage that it finished, "mmssl" or "mlssl".
        data_hash: of the listing of the data that it was trained on.
        channels: {modality: number of channels}, of those that it has a backbone for.
        labels: {label: number of clusters} of stage 2, in order; empty after stage 1.
        weights: all weights by name.
        file_hash: of the model file.
    """

    folder: Path
    variant: Variant
    stage: str
    data_hash: str
    channels: Mapping[str, int]
    labels: Mapping[str, int]
    weights: Mapping[str, Tensor]
    file_hash: str

    def of(self, part: str) -> dict[str, Tensor]:
        """The weights of "backbones", "fusion", "relation" or "prototypes", without that name."""
        start = f"{part}."
        return {n[len(start) :]: w for n, w in self.weights.items() if n.startswith(start)}

    def backbone(self, modality: str) -> dict[str, Tensor]:
        """The weights of the backbone of one modality."""
        return self.of(f"backbones.{module_key(modality)}")

    def record(self) -> dict[str, Any]:
        """What a result that builds on this run says of it."""
        v = self.variant
        return {
            "run": str(self.folder),
            "model": self.file_hash,
            "recipe": list(v.recipe),
            "data": list(v.data),
            "data_hash": self.data_hash,
            "stage": self.stage,
            "splits": list(v.splits),
            "init": v.init,
            "seed": v.seed,
        }


def read_trained(folder: Path) -> Trained:
    """The model of a run folder.

    Raises:
        CheckpointError: there is none, it is damaged, or its training diverged.
    """
    run = Run(folder)
    if not run.model.is_file():
        if run.exists:
            raise CheckpointError(
                f"The run {folder} has no model yet. Finish it with: {run.resume_command}"
            )
        raise CheckpointError(
            f"{folder} holds no run: there is no model.safetensors in it. Give the folder that "
            "`sm3kit pretrain` wrote."
        )
    try:
        with safe_open(run.model, "pt") as file:
            facts = parse(file.metadata()["sm3kit"])
            check_shape(facts, FACTS)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        variant = Variant().changed(facts["variant"], str(run.model))
        found = str(facts["stage"]), str(facts["data_hash"])
        tables = dict(facts["channels"]), dict(facts.get("labels", {}))
        bad = not_finite(weights)
    except (
        SafetensorError,
        OSError,
        RuntimeError,
        LookupError,
        TypeError,
        ValueError,
        SM3Error,
    ) as error:
        reason = " ".join(str(error).split())[:200].removesuffix(".")
        raise CheckpointError(
            f"{run.model} is no model that sm3kit wrote, or it is damaged: {reason}. Train the "
            "run again."
        ) from error
    if bad:
        raise CheckpointError(
            f"{run.model} is of a training that diverged: {len(bad)} of {len(weights)} tensors "
            f"({first_two(bad)}) are not finite. Train the run again with a lower --lr."
        )
    digest = hashlib.blake2b(run.model.read_bytes(), digest_size=8).hexdigest()
    return Trained(folder, variant, *found, *tables, weights, digest)


def start_from(trained: Trained, extractor: Extractor, variant: Variant) -> list[str]:
    """Puts the networks of an earlier run into an extractor, as far as they fit.

    Returns:
        A sentence on each part that the earlier run does not have.

    Raises:
        CheckpointError: its backbone is another, or it has none of the modalities.
    """
    names = list(extractor.backbones)
    shared = [name for name in names if name in trained.channels]
    for name in shared:
        own, asked = trained.variant.of(name, "backbone"), variant.of(name, "backbone")
        if own != asked:
            raise CheckpointError(
                f"--init {trained.folder} was trained with --backbone {own} for {name}, "
                f"not {asked}. Give the same backbone, or another run."
            )
    if not shared:
        raise CheckpointError(
            f"--init {trained.folder} has networks for {', '.join(trained.channels)}, and the "
            f"data have {', '.join(names)}. Rename a modality with --map."
        )
    notes = []
    for name in names:
        if name not in shared:
            notes.append(f"{name} has no network in {trained.folder} and starts anew")
            continue
        load_part(extractor.backbones[name], trained.backbone(name), trained, name)
    fusion = trained.of("fusion")
    # Compared first: a load that fails has put in what fits.
    if _shapes(fusion) == _shapes(extractor.fusion.state_dict()):
        extractor.fusion.load_state_dict(fusion)
    else:
        notes.append(f"the fusion of {trained.folder} is another and starts anew")
    return notes


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def load_part(module: Any, state: Mapping[str, Tensor], trained: Trained, name: str) -> None:
    """Puts the weights of one part into its network.

    Raises:
        CheckpointError: they do not fit.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"The weights of {name} in {trained.folder} do not fit this network: {reason}"
        ) from error

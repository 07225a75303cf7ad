"""A second stage: one support vector machine per label on probabilities and metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from sm3kit.data.batches import Batch
from sm3kit.evaluation.decisions.support_vectors import SupportVectors
from sm3kit.modalities.base import Modality

START = "stack."  # How the names of its tensors begin in the file of a classifier.


@dataclass(frozen=True, eq=False)
class Stack:
    """What the second stage adds to the probabilities of the networks.

    Source: Tang et al. 2022, FusionM4Net, second stage: P = (1 - w) P1 + w P2, where machines give
    P2 of the class probabilities P1 of all labels and of the metadata.

    Attributes:
        weight: w of the machines.
        metadata: modalities that are vectors, in order.
        machines: {number of the label: machine}; a label without one keeps P1.
    """

    weight: float
    metadata: Sequence[str] = ()
    machines: Mapping[int, SupportVectors] = field(default_factory=dict)

    def mix(self, probabilities: Sequence[Tensor], metadata: Tensor) -> list[Tensor]:
        """P [(N, C)] * K of P1 [(N, C)] * K and metadata (N, M)."""
        if not self.weight:
            return list(probabilities)
        rows = stacked_rows(probabilities, metadata)
        return [
            (1 - self.weight) * own
            + self.weight * self.machines[number].probabilities(rows, own.shape[1])
            if number in self.machines
            else own
            for number, own in enumerate(probabilities)
        ]

    def facts(self) -> dict[str, Any]:
        """What is kept beside the tensors."""
        return {"weight": self.weight, "metadata": list(self.metadata)}

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the machines, named for a file."""
        return {
            f"{START}{number}.{name}": tensor
            for number, machine in self.machines.items()
            for name, tensor in machine.state().items()
        }

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Stack:
        """The same with the machines of a file, of whose tensors some may be others."""
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith(START):
                number, _, part = name.removeprefix(START).partition(".")
                states.setdefault(int(number), {})[part] = tensor
        machines = {number: SupportVectors(**state) for number, state in sorted(states.items())}
        return replace(self, machines=machines)


def stacked_rows(probabilities: Sequence[Tensor], metadata: Tensor) -> Tensor:
    """What the machines see of N studies, (N, F) in float64."""
    return torch.cat([*(rows.double() for rows in probabilities), metadata.double()], dim=1)


def metadata_names(modalities: Mapping[str, Modality]) -> list[str]:
    """The modalities that are metadata: those whose views are vectors, of one pixel."""
    return [name for name, modality in modalities.items() if modality.shape[1:] == (1, 1)]


def metadata_rows(batch: Batch, modalities: Mapping[str, Modality], names: Sequence[str]) -> Tensor:
    """The metadata (B, M) of a batch, float64 on the CPU; zeros where absent."""
    parts = [torch.empty(len(batch.index), 0, dtype=torch.float64)]
    for name in names:
        present, views = batch.present[name], batch.views[name]
        width = modalities[name].channels
        rows = torch.zeros(len(present), width, dtype=torch.float64)
        if views:
            values = modalities[name].normalise(views[0]).flatten(1).double().cpu()
            rows = torch.where(present.cpu()[:, None], values, rows)
        parts.append(rows)
    return torch.cat(parts, dim=1)

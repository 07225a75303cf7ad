"""GIIN: a graph whose nodes are the labels as each modality shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from sm3kit.classifiers.base import (
    Classifier,
    ClassifierInputs,
    Streams,
    modalities_with_maps,
    stream_name,
)
from sm3kit.core import ranges
from sm3kit.core.errors import OptionError, VariantError
from sm3kit.core.names import unknown
from sm3kit.metrics.checklist import CRITERIA, checklist_of
from sm3kit.nn.association import association
from sm3kit.nn.label_heads import LabelHeads
from sm3kit.nn.named_modules import NamedModules
from sm3kit.nn.present_rows import BatchNorm, in_place_of_absent, on_present

LEAST = 0.01  # Of the strength of a tie that edges start from: its logarithm is finite.


class GIIN(Classifier):
    """Embeds each label from the map of each modality; a graph relates labels and modalities.

    Each modality has a head on its own embeddings, and "graph" one on the nodes of all of them.
    The decision is the softmax of their mean.

    Source: Fu et al. 2022, arXiv:2104.00201: category embeddings as the nodes of a graph, relations
    between labels and between modalities, and priority for dermoscopy.
    A minimal form: the publication is not followed in its layers, the number of its nodes and its
    weights, which are not known for certain. Each label has a convolution of its own on the last
    map. Within a modality every label hears every label, as much as learned edges say. Between
    modalities a label hears itself: from the first modality fully, from others by a learned share
    below one; of several, their mean. The first modality also weighs half or more of what the head
    sees. An absent modality has no nodes. One whose backbone gives no maps, such as metadata, is
    embedded from its feature vector, as a map of one place.

    Args:
        inputs: what it is built for.
        width: P of a node.
        layers: updates of the nodes.
        first: the modality with priority; empty takes the first of the fusion.
        prior: what the edges between labels start from: "none"; "cooccurrence", how much two labels
            say of each other in the training split (Cramer's V); or "checklist", the points of the
            seven-point checklist between its labels and the others.

    Raises:
        VariantError: no backbone gives maps, or the labels are not those of the checklist.
        OptionError: there is no modality `first`.
    """

    wants_maps: ClassVar[bool] = True

    def __init__(
        self,
        inputs: ClassifierInputs,
        *,
        width: ranges.Width = 128,
        layers: ranges.Layers = 2,
        first: str = "",
        prior: Literal["none", "cooccurrence", "checklist"] = "none",
    ) -> None:
        super().__init__(inputs)
        mapped, names = modalities_with_maps(inputs, "giin"), list(self.widths)
        if first and first not in names:
            raise OptionError(unknown("modality", first, names))
        self.graph = stream_name("graph", names)
        self.last_maps = [name for name in names if name in mapped]
        channels = {name: inputs.maps[name][-1].channels for name in mapped}
        count = len(self.classes)
        self.embeddings = NamedModules(
            {
                name: CategoryEmbedding(channels.get(name, own), count, width)
                for name, own in self.widths.items()
            }
        )
        strength = _strength(inputs, prior).clamp(min=LEAST).log()  # (K, K)
        self.edges = nn.Parameter(strength.repeat(len(names), 1, 1))
        self.priority = Priority(len(names), names.index(first) if first else 0)
        self.layers = nn.ModuleList(GraphLayer(width) for _ in range(layers))
        heads = {name: LabelHeads(width, self.classes) for name in names}
        heads[self.graph] = LabelHeads(width * len(names), self.classes)
        self.heads = NamedModules(heads)
        self.stream_weights = dict.fromkeys(names, 0.5)

    def forward(
        self, features: Mapping[str, Tensor], present: Mapping[str, Tensor], **more: Any
    ) -> Streams:
        """One stream per modality, and "graph"."""
        maps: Mapping[str, Sequence[Tensor]] = more["maps"]
        own = {
            name: on_present(
                self.embeddings[name],
                present[name],
                maps[name][-1] if name in self.last_maps else features[name][:, :, None, None],
            )
            for name in self.widths
        }
        here = torch.stack([present[name] for name in self.widths], dim=1)  # (B, M)
        nodes = torch.stack(list(own.values()), dim=1)  # (B, M, K, P)
        heard = self.priority.messages(here)
        for layer in self.layers:
            nodes = layer(nodes, self.edges.softmax(dim=-1), heard) * here[:, :, None, None]
        nodes = nodes * self.priority.shares(here)[:, :, None, None]
        graph = self.heads[self.graph](nodes.transpose(1, 2).flatten(2))
        streams = {
            name: in_place_of_absent(self.heads[name](own[name]), present[name], graph)
            for name in self.widths
        }
        return {**streams, self.graph: graph}


class CategoryEmbedding(nn.Module):
    """A convolution for each label, and the mean of what it shows.

    Args:
        channels: C of the map.
        labels: K.
        width: P of an embedding.
    """

    def __init__(self, channels: int, labels: int, width: int) -> None:
        super().__init__()
        self.labels, self.width = labels, width
        self.layers = nn.Sequential(
            nn.Conv2d(channels, labels * width, 1, bias=False), BatchNorm(labels * width), nn.ReLU()
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Embeddings (B, K, P) of maps (B, C, H, W)."""
        means: Tensor = self.layers(maps).mean(dim=(2, 3))
        return means.view(-1, self.labels, self.width)


class GraphLayer(nn.Module):
    """An update of all nodes from themselves, from other labels and from other modalities.

    Args:
        width: P of a node.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.own = nn.Linear(width, width, bias=False)
        self.within = nn.Linear(width, width, bias=False)
        self.between = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, nodes: Tensor, edges: Tensor, messages: Tensor) -> Tensor:
        """New nodes (B, M, K, P).

        Args:
            nodes: (B, M, K, P).
            edges: (M, K, K), how much a label (row) hears of a label, within a modality.
            messages: (B, M, M), how much a modality (row) hears of a modality, for each label.
        """
        labels = torch.einsum("mkl,bmlp->bmkp", edges, nodes)
        modalities = torch.einsum("bmn,bnkp->bmkp", messages, nodes)
        total = self.own(nodes) + self.within(labels) + self.between(modalities)
        updated: Tensor = self.norm(total).relu()
        return updated


class Priority(nn.Module):
    """How much the first modality is heard more than others, as learned.

    Args:
        modalities: M.
        first: the place of the first.
    """

    is_first: Tensor

    def __init__(self, modalities: int, first: int) -> None:
        super().__init__()
        self.register_buffer("is_first", torch.arange(modalities) == first, persistent=False)
        self.heard = nn.Parameter(torch.zeros(()))
        self.share = nn.Parameter(torch.zeros(()))

    def messages(self, present: Tensor) -> Tensor:
        """What each modality hears of each other (B, M, M): a mean over those that are present.

        It counts 1 from the first, and sigmoid(heard) < 1 from any other.

        Args:
            present: (B, M) bool.
        """
        loudness = torch.where(self.is_first, 1.0, self.heard.sigmoid())
        others = present.unsqueeze(1) & ~torch.eye(len(loudness), dtype=torch.bool).to(present)
        return loudness * others / others.sum(dim=2, keepdim=True).clamp(min=1)

    def shares(self, present: Tensor) -> Tensor:
        """The weight (B, M) of each modality's nodes; they sum to one over those that are present.

        That of the first is (1 + sigmoid(share)) / 2 where all are; the others share the rest.

        Args:
            present: (B, M) bool.
        """
        first = (1 + self.share.sigmoid()) / 2
        rest = (1 - first) / max(len(self.is_first) - 1, 1)
        weights = torch.where(self.is_first, first, rest) * present
        return weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(first.dtype).eps)


def _strength(inputs: ClassifierInputs, prior: str) -> Tensor:
    """How much two labels have to do with each other (K, K), from 0 to 1; 1 for each with itself."""
    count = len(inputs.labels)
    if prior == "cooccurrence":
        return association(inputs.known, inputs.classes)
    if prior == "checklist":
        return checklist_strength(inputs.labels)
    return torch.ones(count, count)


def checklist_strength(labels: Mapping[str, Sequence[str]]) -> Tensor:
    """Half the points of a criterion, between it and every label that is no criterion (K, K).

    Source: Argenziano et al. 1998, doi:10.1001/archderm.134.12.1563: two points for each of the
    three major criteria, one for each of the minor ones.

    Raises:
        VariantError: the labels are not those of the checklist.
    """
    prefix = checklist_of(labels)
    if prefix is None:
        raise VariantError(
            "The prior 'checklist' of the classifier giin needs the labels of the seven-point "
            f"checklist, {', '.join(CRITERIA)}, and the data set has {', '.join(labels)}. Use "
            "prior=cooccurrence or prior=none."
        )
    points = [CRITERIA.get(name.removeprefix(prefix), ("", 0, ""))[1] for name in labels]
    halves = torch.tensor(points) / 2
    ties = torch.maximum(halves.unsqueeze(1), halves)
    ties[(halves.unsqueeze(1) > 0) == (halves > 0)] = 0.0  # Two criteria, or two other labels.
    return ties.fill_diagonal_(1.0)

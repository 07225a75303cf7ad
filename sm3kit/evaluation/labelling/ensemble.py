"""Ensembles: members that learn and decide for themselves, and whose probabilities are averaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sm3kit.classifiers.base import Streams
from sm3kit.evaluation.labelling.label_network import LabelNetwork
from sm3kit.nn.host.values import to_device


class Ensemble(nn.Module):
    """Several networks as one; every stream is named after its member, such as "2/joint".

    Source: Lakshminarayanan et al. 2017 (arXiv:1612.01474), members that differ in their seed;
    Liu et al. 2009 (doi.org/10.1109/TSMCB.2008.2007853), EasyEnsemble, in their balanced subset of
    the studies.
    Differs from EasyEnsemble: a member is a network, not boosted trees. Nothing corrects the mean of
    the members for the class frequencies of their subsets.

    Args:
        members: the networks.
        subsets: (members, N) bool, which of the N training studies each of them learns from; None
            for all.
    """

    def __init__(self, members: Sequence[LabelNetwork], subsets: Tensor | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.subsets = subsets

    def forward(self, batch: Any) -> Streams:
        """Logits {stream: [(B, C)] * K} of all members."""
        return merged_streams(self, [member(batch) for member in self.members])

    def weight_of(self, stream: str) -> float:
        """The weight of the loss of a stream; every member learns as if it were alone."""
        member, name = self._member(stream)
        return member.weight_of(name)

    def labels_of(self, stream: str, batch: Any) -> Tensor:
        """The labels (B, K) that a stream learns from, -1 outside the subset of its member."""
        labels: Tensor = batch.labels
        if self.subsets is None:
            return labels
        chosen = to_device(self.subsets[int(stream.partition("/")[0])], labels.device)[batch.index]
        return labels.masked_fill(~chosen.unsqueeze(1), -1)

    def extra_terms(self) -> dict[str, Tensor]:
        """Weighted loss terms of the last batch beside those of the labels."""
        return {
            f"{number}/{name}": term
            for number, member in enumerate(self.members)
            for name, term in member.extra_terms().items()  # type: ignore[operator]
        }

    def decide(self, streams: Mapping[str, Sequence[Tensor]]) -> list[Tensor]:
        """Class probabilities [(B, C)] * K: the mean of those of the members."""
        return _mean([member.decide(own) for member, own in self.of_members(streams)])

    def names_of(self, streams: Iterable[str]) -> list[str]:
        """What every member calls its streams."""
        return list(dict.fromkeys(name.partition("/")[2] for name in streams))

    def weigh(self, streams: Mapping[str, Sequence[Tensor]]) -> list[Tensor]:
        """One table of logits [(B, C)] * K: the mean of those of the members."""
        return _mean([member.weigh(own) for member, own in self.of_members(streams)])

    def of_members(
        self, streams: Mapping[str, Sequence[Tensor]]
    ) -> Iterator[tuple[LabelNetwork, dict[str, Sequence[Tensor]]]]:
        """Every member and its own streams, as it calls them."""
        for number, member in enumerate(self.members):
            assert isinstance(member, LabelNetwork)
            start = f"{number}/"
            yield (
                member,
                {
                    name.removeprefix(start): rows
                    for name, rows in streams.items()
                    if name.startswith(start)
                },
            )

    def _member(self, stream: str) -> tuple[LabelNetwork, str]:
        """The member that a stream belongs to, and the stream's name there."""
        number, _, name = stream.partition("/")
        member = self.members[int(number)]
        assert isinstance(member, LabelNetwork)
        return member, name


def _mean(tables: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    return [torch.stack(list(rows)).mean(dim=0) for rows in zip(*tables, strict=True)]


def merged_streams(network: nn.Module, streams: Sequence[Streams]) -> Streams:
    """Logits {stream: [(B, C)] * K} of a network from those of its members.

    Args:
        network: an ensemble, or a network alone, which is its only member.
        streams: of each member.
    """
    if not isinstance(network, Ensemble):
        return streams[0]
    return {
        f"{number}/{name}": logits
        for number, own in enumerate(streams)
        for name, logits in own.items()
    }


def balanced_subsets(labels: Tensor, members: int, seed: int) -> Tensor:
    """Subsets of the studies in which rare classes have more weight, (members, N) bool.

    Of one label, all studies of the rarest class that occurs and equally many of each other one
    (Liu et al. 2009). Of several, half of the studies, drawn without replacement with
    probabilities proportional to the inverse size of the rarest class that a study has.

    Args:
        labels: (N, K), -1 where unknown.
        members: how many subsets.
        seed: of the draws.
    """
    table = labels.numpy()
    rng = np.random.default_rng(seed)
    draw = _of_one_label if table.shape[1] == 1 else _of_several_labels
    chosen = np.zeros((members, len(table)), bool)
    for row in chosen:
        row[draw(table, rng)] = True
    return torch.from_numpy(chosen)


def _of_one_label(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    of_classes = [np.nonzero(table[:, 0] == index)[0] for index in np.unique(table[table >= 0])]
    least = min(map(len, of_classes))
    return np.concatenate([rng.choice(rows, least, replace=False) for rows in of_classes])


def _of_several_labels(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    weights = np.zeros(len(table))
    for column in table.T:
        known = column >= 0
        sizes = np.bincount(column[known])
        weights[known] = np.maximum(weights[known], 1 / sizes[column[known]])
    count = min(-(-len(table) // 2), int((weights > 0).sum()))
    return rng.choice(len(table), count, replace=False, p=weights / weights.sum())

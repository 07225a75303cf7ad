"""Inception-Combined: heads on subsets of the modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import torch
from torch import Tensor

from sm3kit.classifiers.base import Classifier, ClassifierInputs, Streams, stream_name
from sm3kit.nn.label_heads import LabelHeads
from sm3kit.nn.named_modules import NamedModules
from sm3kit.nn.present_rows import in_place_of_absent, only_present


class InceptionCombined(Classifier):
    """Linear heads on the concatenated features of subsets of the modalities.

    A study takes part in the subsets whose modalities it has, all of one weight. All modalities
    decide; for a study that lacks some, the largest subset that it has, or the mean of the logits
    of several of that size.

    Source: Kawahara et al. 2019, doi:10.1109/JBHI.2018.2824327: losses of several combinations of
    the inputs, so that missing ones are tolerated.
    A minimal form: the code was never released. As later code of its authors' group has it, the
    subsets are all inputs together and each alone. Class weights within a batch are left to the
    label loss `class_balanced`, and the batches of the publication to the sampler
    `label_balanced`.

    Args:
        inputs: what it is built for.
        subsets: all modalities and each of them, or all that can be formed.
    """

    def __init__(
        self, inputs: ClassifierInputs, *, subsets: Literal["each", "powerset"] = "each"
    ) -> None:
        super().__init__(inputs)
        self.subsets = _named(_chosen(list(self.widths), subsets), list(self.widths))
        self.heads = NamedModules(
            {
                stream: LabelHeads(sum(self.widths[name] for name in subset), self.classes)
                for stream, subset in self.subsets.items()
            }
        )
        self.decision_weights = {next(iter(self.subsets)): 1.0}

    def forward(
        self, features: Mapping[str, Tensor], present: Mapping[str, Tensor], **more: Any
    ) -> Streams:
        """The stream "all", and one for every other subset, such as "derm" or "derm+clinic"."""
        rows = {name: only_present(features[name], present[name]) for name in self.widths}
        own = {
            stream: self.heads[stream](torch.cat([rows[name] for name in subset], dim=1))
            for stream, subset in self.subsets.items()
        }
        whole = {
            stream: torch.stack([present[name] for name in subset]).all(dim=0)
            for stream, subset in self.subsets.items()
        }
        largest = self._largest(torch.stack(list(whole.values()))).unsqueeze(2)
        instead = [
            (torch.stack(of_label) * largest).sum(dim=0)
            for of_label in zip(*own.values(), strict=True)
        ]
        return {name: in_place_of_absent(own[name], whole[name], instead) for name in own}

    def _largest(self, whole: Tensor) -> Tensor:
        """How much each subset counts (S, B) for a study that lacks others; it sums to one."""
        sizes = torch.tensor([len(subset) for subset in self.subsets.values()])
        sizes = sizes.to(whole.device).unsqueeze(1) * whole
        largest = whole & (sizes == sizes.amax(dim=0))
        return largest / largest.sum(dim=0).clamp(min=1)


def _chosen(names: Sequence[str], subsets: str) -> list[tuple[str, ...]]:
    """Subsets of the modalities, all together first."""
    sizes = range(len(names), 0, -1) if subsets == "powerset" else sorted({len(names), 1})[::-1]
    return [subset for size in sizes for subset in combinations(names, size)]


def _named(subsets: Sequence[tuple[str, ...]], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Subsets by the names of their streams, which are all different."""
    named = {stream_name("all", names): subsets[0]}
    for subset in subsets[1:]:
        taken = {*named, *names} if len(subset) > 1 else ()
        named[stream_name("+".join(subset), taken)] = subset
    return named

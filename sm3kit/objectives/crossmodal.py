"""The cross-modal contrast of SM3, and other losses in its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from sm3kit.core import ranges
from sm3kit.core.errors import VariantError
from sm3kit.core.names import pair_names, unknown
from sm3kit.nn.pairs.contrastive import in_shards, pairwise_clip, pairwise_ntx
from sm3kit.nn.pairs.decorrelation import barlow_twins, vicreg
from sm3kit.nn.processes import any_row
from sm3kit.objectives.base import Features, Objective

CONTRASTS: dict[str, Callable[..., Tensor]] = {"ntx": pairwise_ntx, "clip": pairwise_clip}
WITHOUT_NEGATIVES: dict[str, Callable[..., Tensor]] = {"vicreg": vicreg, "barlow": barlow_twins}
HOTTEST = 100.0  # The largest 1/t that is learned.


class CrossModal(Objective):
    """Contrasts the streams of a fusion; images of one study in two modalities are positives.

    Source: Wang et al. 2025, equation 4, and the released code; "clip": Radford et al. 2021,
    arXiv:2103.00020, section 2.3; "vicreg": Bardes et al. 2022, arXiv:2105.04906, equations 1 to 6;
    "barlow": Zbontar et al. 2021, arXiv:2103.03230, equations 1 and 2.
    Differs from the paper: the default is the released code, which contrasts view 1 with view 1
    and view 2 with view 2 in both directions and takes the mean; "eq4" is equation 4 as printed.
    For a single stream (concat, sum), the views are contrasted. For more than two streams, the
    loss is the mean over all pairs of streams that occur together in the batch. Missing streams of
    a study are ignored. A learned temperature is kept as the change of its logarithm, so weight
    decay draws it back to where it began, and not to 1; CLIP decays it not at all.

    Args:
        width: not used, since the streams are already projected.
        loss: how partners are compared. "ntx": with the images of both modalities as negatives,
            the paper's. "clip": with those of the other modality alone. "vicreg" and "barlow":
            without negatives, by the statistics of each dimension of the projections. They have
            no temperature, and the published weights.
        pairing: which views are paired. "aligned": (1, 1') and (2, 2'), the release. "crossed":
            (1, 2') and (2, 1'). "all": all four. "eq4": (1, 1') and (1, 2'), the anchor stream
            only, summed, so about twice as large as the others.
        temperature: t; the paper's 0.1. CLIP began at 0.07.
        learn_temperature: start at that temperature and learn it, at 0.01 or more as in CLIP; with
            the losses "ntx" and "clip".
        anchor: the stream whose rows are the anchors of "eq4"; empty takes the first one.
        mask_groups: images of the same patient or lesion are not used as negatives of each other.
        gather: use negatives from all processes (DDP); the release does not.
        shards: splits the batch into parts, each with its own negatives, as several GPUs without
            gathering do; the release ran on 2.
    """

    on: ClassVar[Literal["modality", "streams"]] = "streams"

    def __init__(
        self,
        width: int,
        *,
        loss: Literal["ntx", "vicreg", "barlow", "clip"] = "ntx",
        pairing: Literal["aligned", "crossed", "all", "eq4"] = "aligned",
        temperature: ranges.Temperature = 0.1,
        learn_temperature: bool = False,
        anchor: str = "",
        mask_groups: bool = True,
        gather: bool = False,
        shards: ranges.Count = 1,
    ) -> None:
        super().__init__()
        self.loss, self.pairing, self.temperature, self.anchor = loss, pairing, temperature, anchor
        self.mask_groups, self.gather, self.shards = mask_groups, gather, shards
        self.learns = learn_temperature
        if loss in WITHOUT_NEGATIVES:
            self._refuse_what_needs_negatives()
            self.notes = self._idle_options()
        if learn_temperature:
            self.sharpness = nn.Parameter(torch.zeros(()))  # log(1/t) less its start.

    def _refuse_what_needs_negatives(self) -> None:
        wrong = {"learn_temperature=true": self.learns, "pairing=eq4": self.pairing == "eq4"}
        for choice in [name for name, chosen in wrong.items() if chosen]:
            raise VariantError(
                f"crossmodal.{choice} needs a loss with negatives, and crossmodal.loss={self.loss} "
                "has none. Leave it out, or use crossmodal.loss=ntx or clip."
            )

    def _idle_options(self) -> list[str]:
        idle = {"temperature": self.temperature != 0.1, "mask_groups": not self.mask_groups}
        return [
            f"crossmodal.{name} does nothing with crossmodal.loss={self.loss}, which has no negatives"
            for name, chosen in idle.items()
            if chosen
        ]

    @torch.no_grad()
    def before_step(self, progress: float) -> None:
        """Keeps a temperature that is learned at 0.01 or more."""
        if self.learns:
            self.sharpness.clamp_(max=math.log(HOTTEST * self.temperature))

    def forward(
        self,
        features: Features,
        targets: Features | None = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        group: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """One term "a-b" for each pair of streams, already divided by the number of such pairs.

        Args:
            features: {stream: [(B, P)] * V}.
            present: {stream: (B,) bool}; None means all.
            group: (B,) integers.

        Raises:
            VariantError: the anchor is not a stream, or there are too few views, or unlike ones.
        """
        assert isinstance(features, Mapping)
        streams = self._stream_order(features)
        group = group if self.mask_groups else None
        if len(streams) == 1:
            (name,) = streams
            pairs = list(combinations(_enough(features[name]), 2))
            here = present[name] if present is not None else None
            return {name: self._mean(pairs, here, group)}
        terms: dict[str, Tensor] = {}
        met: list[Tensor | float] = []
        for (first, second), name in pair_names(streams).items():
            here = present[first] & present[second] if present is not None else None
            pairs = self._pairs(features[first], features[second])
            terms[name] = self._mean(pairs, here, group)
            met.append(1.0 if here is None else any_row(here, self.gather))
        count = torch.as_tensor(sum(met)).clamp(min=1)
        return {name: term / count for name, term in terms.items()}

    def _stream_order(self, features: Mapping[str, Sequence[Tensor]]) -> list[str]:
        streams = list(features)
        if self.anchor and self.anchor not in streams:
            raise VariantError(
                f"Option crossmodal.anchor: {unknown('stream', self.anchor, streams)}"
            )
        return sorted(streams, key=lambda name: name != self.anchor) if self.anchor else streams

    def _pairs(
        self, first: Sequence[Tensor], second: Sequence[Tensor]
    ) -> list[tuple[Tensor, Tensor]]:
        if self.pairing == "aligned":
            if len(first) != len(second):
                raise VariantError(
                    "crossmodal.pairing=aligned needs the same number of views of each modality, "
                    f"not {len(first)} and {len(second)}. Set their option views to the same "
                    "number, or use crossmodal.pairing=all."
                )
            return list(zip(first, second, strict=True))
        if self.pairing == "eq4":
            return [(first[0], view) for view in second]
        if self.pairing == "crossed":
            _enough(max(first, second, key=len))
        return [
            (a, b)
            for i, a in enumerate(first)
            for j, b in enumerate(second)
            if self.pairing == "all" or i != j
        ]

    def _mean(
        self, pairs: list[tuple[Tensor, Tensor]], present: Tensor | None, group: Tensor | None
    ) -> Tensor:
        """The mean over view pairs and shards; for "eq4" the sum over view pairs."""
        one_way = self.pairing == "eq4"
        shards = in_shards(len(pairs[0][0]), self.shards)
        terms = [
            self._compare(
                a[rows],
                b[rows],
                None if present is None else present[rows],
                None if group is None else group[rows],
            )
            for a, b in pairs
            for rows in shards
        ]
        return torch.stack(terms).sum() / (len(shards) if one_way else len(terms))

    def _compare(
        self, a: Tensor, b: Tensor, present: Tensor | None, group: Tensor | None
    ) -> Tensor:
        """The loss of the pairs (N, P) of two views."""
        if self.loss in WITHOUT_NEGATIVES:
            return WITHOUT_NEGATIVES[self.loss](a, b, present=present, gather=self.gather)
        return CONTRASTS[self.loss](
            a,
            b,
            self.temperature * (-self.sharpness).exp() if self.learns else self.temperature,
            present=present,
            group=group,
            symmetric=self.pairing != "eq4",
            gather=self.gather,
        )


def _enough(views: Sequence[Tensor]) -> Sequence[Tensor]:
    """The views, if there are two to be paired."""
    if len(views) < 2:
        raise VariantError(
            "crossmodal pairs different views of an image here, and there is only one. Set the "
            "option views of the modalities to 2 or more."
        )
    return views

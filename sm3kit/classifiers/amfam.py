"""AMFAM: modalities that an adversary cannot tell apart, and attention that can redraw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from sm3kit.classifiers.base import (
    Classifier,
    ClassifierInputs,
    Streams,
    modalities_with_maps,
    stream_name,
)
from sm3kit.core import ranges
from sm3kit.nn.gradient_reversal import reverse_gradient
from sm3kit.nn.label_heads import LabelHeads
from sm3kit.nn.named_modules import NamedModules
from sm3kit.nn.present_rows import BatchNorm, on_present, only_present

HIDDEN = 512  # Of the adversary.
UPSAMPLINGS = 4
SPARSITY = 0.01


class AMFAM(Classifier):
    """Heads on the attended maps of all modalities, with an adversary and a reconstruction.

    The adversary learns which modality a feature vector is of, and the backbones learn that it
    cannot tell. From the attended map a decoder redraws the view, most of all where the attention
    is high.

    Source: Wang et al. 2022, doi:10.1016/j.media.2022.102535: adversarial learning of what is
    common to the modalities, attention-based reconstruction of what is not, fusion of both.
    A minimal form: layers and weights are ours. The adversary is a perceptron under spectral norm,
    behind a gradient reversal, and tells N modalities apart. Features of another width than
    those of the first are projected linearly to it for the adversary. The reconstruction is the
    absolute difference, weighed by the attention, and 0.01 of the mean attention, which keeps it
    sparse. An absent modality takes no part in any of this. One whose backbone gives no maps, such
    as metadata, gives its feature vector to the heads alone.

    Args:
        inputs: what it is built for.
        adversary: weight of the adversary's loss.
        reconstruction: weight of the reconstruction.
        decoder: channels of the first of four upsampling blocks; each has half of the one before.

    Raises:
        VariantError: no backbone gives maps.
    """

    wants_maps: ClassVar[bool] = True
    wants_views: ClassVar[bool] = True

    def __init__(
        self,
        inputs: ClassifierInputs,
        *,
        adversary: ranges.Amount = 0.1,
        reconstruction: ranges.Amount = 0.1,
        decoder: ranges.Width = 256,
    ) -> None:
        super().__init__(inputs)
        self.weights = {"adversary": adversary, "reconstruction": reconstruction}
        self.mapped = modalities_with_maps(inputs, "amfam")
        self.fusion = stream_name("fusion", self.widths)
        channels = {name: inputs.maps[name][-1].channels for name in self.mapped}
        self.attention = NamedModules({n: nn.Conv2d(c, 1, 1) for n, c in channels.items()})
        self.decoders = NamedModules(
            {n: Decoder(c, inputs.shapes[n][0], decoder) for n, c in channels.items()}
        )
        self.adversary = None
        if len(self.mapped) > 1:
            self.adversary = Adversary({name: self.widths[name] for name in self.mapped})
        self.heads = LabelHeads(sum({**self.widths, **channels}.values()), self.classes)
        self._terms: dict[str, Tensor] = {}

    def forward(
        self, features: Mapping[str, Tensor], present: Mapping[str, Tensor], **more: Any
    ) -> Streams:
        """Logits of the one stream "fusion"."""
        maps: Mapping[str, Sequence[Tensor]] = more["maps"]
        attention = {name: self.attention[name](maps[name][-1]).sigmoid() for name in self.mapped}
        attended = {name: attention[name] * maps[name][-1] for name in self.mapped}
        rows = {**features, **{name: values.mean(dim=(2, 3)) for name, values in attended.items()}}
        joint = torch.cat([only_present(rows[name], present[name]) for name in self.widths], dim=1)
        self._terms = {}
        if self.training:
            views: Mapping[str, Tensor] = more["views"]
            self._terms["reconstruction"] = self._reconstruct(attention, attended, views, present)
            if self.adversary is not None:
                self._terms["adversary"] = self.adversary(features, present)
        return {self.fusion: self.heads(joint)}

    def __getstate__(self) -> dict[str, Any]:
        """All but the terms: a copy or a file has no gradient to pass on."""
        return {**self.__dict__, "_terms": {}}

    def extra_terms(self) -> dict[str, Tensor]:
        """The terms "reconstruction" and, of several modalities, "adversary"; none in eval mode."""
        return {name: self.weights[name] * term for name, term in self._terms.items()}

    def _reconstruct(
        self,
        attention: Mapping[str, Tensor],
        attended: Mapping[str, Tensor],
        views: Mapping[str, Tensor],
        present: Mapping[str, Tensor],
    ) -> Tensor:
        """The mean over the modalities, and the studies that have them."""
        terms = []
        for name in self.mapped:
            redrawn = on_present(self.decoders[name], present[name], attended[name])
            size = views[name].shape[2:]
            where = F.interpolate(attention[name], size, mode="bilinear")
            redrawn = F.interpolate(redrawn, size, mode="bilinear")
            errors = (where * (views[name] - redrawn).abs()).mean(dim=(1, 2, 3))
            errors = errors + SPARSITY * attention[name].mean(dim=(1, 2, 3))
            terms.append(only_present(errors, present[name]).sum() / present[name].sum().clamp(1))
        return torch.stack(terms).mean()


class Adversary(nn.Module):
    """Learns to tell of which modality a feature is; what made the features learns that it cannot.

    Args:
        widths: {modality: D}.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.names = list(widths)
        width = widths[self.names[0]]
        self.to_width = NamedModules(
            {name: nn.Linear(own, width) for name, own in widths.items() if own != width}
        )
        self.layers = nn.Sequential(
            spectral_norm(nn.Linear(width, HIDDEN)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Linear(HIDDEN, len(widths))),
        )

    def forward(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """The mean cross-entropy of the features of present images; 0 without any."""
        rows = []
        for name in self.names:
            own = features[name]
            rows.append(
                reverse_gradient(self.to_width[name](own) if name in self.to_width else own)
            )
        guesses = self.layers(torch.cat(rows))
        absent = torch.cat([~present[name] for name in self.names])
        truth = torch.arange(len(self.names), device=absent.device)
        truth = truth.repeat_interleave(len(rows[0])).masked_fill(absent, -1)
        total = F.cross_entropy(guesses, truth, ignore_index=-1, reduction="sum")
        return total / (~absent).sum().clamp(min=1)


class Decoder(nn.Sequential):
    """Draws a view from a map, 16 times as large.

    Args:
        channels: C of the map.
        colours: C of the view.
        width: channels of the first block; each further one has half of them.
    """

    def __init__(self, channels: int, colours: int, width: int) -> None:
        blocks: list[nn.Module] = []
        before = channels
        for block in range(UPSAMPLINGS):
            after = max(width >> block, 1)
            blocks += [
                nn.Upsample(scale_factor=2),
                nn.Conv2d(before, after, 3, padding=1, bias=False),
                BatchNorm(after),
                nn.ReLU(),
            ]
            before = after
        super().__init__(*blocks, nn.Conv2d(before, colours, 3, padding=1))

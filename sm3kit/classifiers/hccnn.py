"""HcCNN: a third branch joins the feature maps of all modalities, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sm3kit.classifiers.base import (
    Classifier,
    ClassifierInputs,
    Streams,
    modalities_with_maps,
    stream_name,
)
from sm3kit.core import ranges
from sm3kit.nn.label_heads import LabelHeads
from sm3kit.nn.map_shape import MapShape
from sm3kit.nn.named_modules import NamedModules
from sm3kit.nn.present_rows import BatchNorm, in_any, in_place_of_absent, on_present, only_present


class HcCNN(Classifier):
    """A hyper-branch joins the maps of all modalities at every stage, with multi-scale attention.

    Heads on each modality, on the hyper-branch ("hyper"), and on all of them together ("final"),
    which decides.

    Source: Bi et al. 2020, doi:10.1016/j.patcog.2020.107502: a branch per modality, a hyper-branch
    that joins their maps hierarchically, and multi-scale attention; the layers as in code that
    others published for it.
    A minimal form: the exact layers and the optimiser are not known. Every convolution of the
    hyper-branch has a batch norm. The heads of single branches are trained, too, where that
    code trains "final" alone (`supervision=0`). Of the backbone it takes the last `levels` + 1
    maps, or as many as there are. A modality whose backbone gives no maps, such as metadata,
    joins with its feature vector at every place of a map; an absent one with zeros.

    Args:
        inputs: what it is built for.
        levels: stages of the hyper-branch.
        embedding: width of what the heads see of each branch.
        supervision: weight of the loss of every stream but "final".

    Raises:
        VariantError: no backbone gives the maps of two stages.
    """

    wants_maps: ClassVar[bool] = True

    def __init__(
        self,
        inputs: ClassifierInputs,
        *,
        levels: ranges.Layers = 4,
        embedding: ranges.Width = 128,
        supervision: ranges.Amount = 0.33,
    ) -> None:
        super().__init__(inputs)
        self.mapped = modalities_with_maps(inputs, "hccnn", least=2)
        self.levels = min([levels, *(len(inputs.maps[name]) - 1 for name in self.mapped)])
        self.ladders = {name: inputs.maps[name][-self.levels - 1 :] for name in self.mapped}
        self.hyper_stream = stream_name("hyper", self.widths)
        self.final = stream_name("final", self.widths)
        lead = self.ladders[self.mapped[0]]
        self.hyper = HyperBranch(
            [
                sum(
                    self.ladders[name][level].channels if name in self.ladders else width
                    for name, width in self.widths.items()
                )
                for level in range(self.levels)
            ],
            lead,
        )
        widths = {**self.widths, self.hyper_stream: lead[-1].channels}
        self.embeddings = NamedModules(
            {name: nn.Sequential(nn.Linear(w, embedding), nn.SiLU()) for name, w in widths.items()}
        )
        heads = {name: LabelHeads(embedding, self.classes) for name in widths}
        heads[self.final] = LabelHeads(embedding * len(widths), self.classes)
        self.heads = NamedModules(heads)
        self.stream_weights = dict.fromkeys(widths, supervision)
        self.decision_weights = {self.final: 1.0}

    def forward(
        self, features: Mapping[str, Tensor], present: Mapping[str, Tensor], **more: Any
    ) -> Streams:
        """One stream per modality, "hyper" and "final"."""
        here = {name: present[name] for name in self.widths}
        some = in_any(list(here.values()))
        tables = self._tables(features, present, more["maps"])
        hyper = on_present(self.hyper, some, *tables)
        rows = {**features, self.hyper_stream: hyper}
        here[self.hyper_stream] = some
        embedded = {
            name: only_present(self.embeddings[name](rows[name]), mask)
            for name, mask in here.items()
        }
        final = self.heads[self.final](torch.cat(list(embedded.values()), dim=1))
        streams = {
            name: in_place_of_absent(self.heads[name](embedded[name]), mask, final)
            for name, mask in here.items()
        }
        return {**streams, self.final: final}

    def _tables(
        self,
        features: Mapping[str, Tensor],
        present: Mapping[str, Tensor],
        maps: Mapping[str, Sequence[Tensor]],
    ) -> list[Tensor]:
        """What the hyper-branch gets at each stage, {modality: (B, C, H, W)} side by side."""
        ladders = {name: maps[name][-self.levels - 1 :] for name in self.mapped}
        tables = []
        for level in range(self.levels):
            size = ladders[self.mapped[0]][max(level, 1)].shape[2:]
            parts = []
            for name in self.widths:
                if name in ladders:
                    part = ladders[name][level]
                    part = part if level else _pooled_stem(part, self.ladders[name])
                else:
                    part = features[name][:, :, None, None]
                parts.append(only_present(resize(part, size), present[name]))
            tables.append(torch.cat(parts, dim=1))
        return tables


class HyperBranch(nn.Module):
    """The stages that join maps, and what they had joined before.

    Args:
        joined: channels of the maps of all modalities together, for each of S stages.
        ladder: the S + 1 maps of a backbone; stage s gives a map like that at s + 1.
    """

    def __init__(self, joined: Sequence[int], ladder: Sequence[MapShape]) -> None:
        super().__init__()
        stages = []
        for level, channels in enumerate(joined):
            before, after = ladder[level], ladder[level + 1]
            stride = after.stride // before.stride if level else 1
            earlier = before.channels if level else 0
            stages.append(Stage(channels + earlier, before.channels, after.channels, stride))
        self.stages = nn.ModuleList(stages)

    def forward(self, *tables: Tensor) -> Tensor:
        """The means (B, C) of the last map, of what each of S stages gets, (B, C, H, W)."""
        hyper = self.stages[0](tables[0])
        for stage, table in zip(self.stages[1:], tables[1:], strict=True):
            hyper = stage(torch.cat([table, resize(hyper, table.shape[2:])], dim=1))
        means: Tensor = hyper.mean(dim=(2, 3))
        return means


class Stage(nn.Module):
    """Joins maps, goes on to the next resolution, and attends to what matters.

    Args:
        joined: channels of all that it gets.
        before: channels that they are joined in.
        after: channels of what it gives.
        stride: by which what it gives is smaller.
    """

    def __init__(self, joined: int, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.join = nn.Sequential(
            nn.Conv2d(joined, before, 3, padding=1, bias=False), BatchNorm(before), nn.ReLU()
        )
        self.refine = bottleneck(before, before)
        self.go_on = nn.Sequential(Residual(before, after, stride), Residual(after, after))
        self.attend = MultiScaleAttention(after)

    def forward(self, maps: Tensor) -> Tensor:
        """A map (B, after, H / stride, W / stride) of maps (B, joined, H, W)."""
        joined = self.join(maps)
        attended: Tensor = self.attend(self.go_on(self.refine(joined) + joined))
        return attended


class Residual(nn.Module):
    """A bottleneck beside a shortcut; see He et al. 2016, arXiv:1512.03385, figure 5."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.layers = bottleneck(before, after, stride)
        self.shortcut: nn.Module = nn.Identity()
        if before != after or stride > 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), BatchNorm(after)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """(B, after, H / stride, W / stride) of (B, before, H, W)."""
        return F.relu(self.layers(maps) + self.shortcut(maps))


class MultiScaleAttention(nn.Module):
    """Weighs each value of a map by its channel, seen as a whole, and by its surroundings.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(channels // 4, 1)
        self.channel = nn.Sequential(
            nn.Conv2d(channels, narrow, 1), nn.ReLU(), nn.Conv2d(narrow, channels, 1)
        )
        self.surroundings = bottleneck(channels, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """sigmoid(channel gate of the means + bottleneck) * maps, for maps (B, C, H, W)."""
        gate = self.channel(maps.mean(dim=(2, 3), keepdim=True))
        weighed: Tensor = (gate + self.surroundings(maps)).sigmoid() * maps
        return weighed


def bottleneck(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """Three convolutions with a quarter of the channels within, each with a batch norm."""
    narrow = max(before // 4, 1)
    return nn.Sequential(
        nn.Conv2d(before, narrow, 1, bias=False),
        BatchNorm(narrow),
        nn.ReLU(),
        nn.Conv2d(narrow, narrow, 3, stride, padding=1, bias=False),
        BatchNorm(narrow),
        nn.ReLU(),
        nn.Conv2d(narrow, after, 1, bias=False),
        BatchNorm(after),
    )


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps of another size (B, C, H, W): means where they shrink, repeated where they grow."""
    same = maps.shape[2:] == tuple(size)
    return maps if same else F.adaptive_avg_pool2d(maps, (size[0], size[1]))


def _pooled_stem(maps: Tensor, ladder: Sequence[MapShape]) -> Tensor:
    """The first map at the stride of the second, by a maximum as in a ResNet."""
    times = ladder[1].stride // ladder[0].stride
    return F.max_pool2d(maps, times + 1, times, times // 2) if times > 1 else maps

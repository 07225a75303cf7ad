"""The laws of backbones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sm3kit.backbones.base import Backbone
from sm3kit.core.options import options_of
from sm3kit.testing import tensors
from sm3kit.testing.every_plugin import check_documented
from sm3kit.testing.law import Laws, NotTried, Plugin, require, require_attributes

Shape = tuple[int, int, int]
SHAPES: tuple[Shape, ...] = ((1, 64, 64), (3, 64, 64))


@dataclass(frozen=True)
class BackboneTrial:
    """A provider, a small model of it, and the shapes (C, H, W) of views that it is shown."""

    plugin: Plugin
    model: str
    shapes: Sequence[Shape] = SHAPES
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, shape: Shape | None = None) -> Backbone:
        """The backbone for views of a shape, the last one by default."""
        channels, _, width = shape or self.shapes[-1]
        # As a training does, which knows the size of the views.
        sized = {"image_size": width} if "image_size" in options_of(self.plugin) else {}
        backbone: Backbone = self.plugin(self.model, channels, **{**sized, **self.options})
        return backbone

    def views(self, shape: Shape | None = None) -> Tensor:
        """Four views (4, C, H, W)."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(4, *(shape or self.shapes[-1]), generator=generator)


LAWS: Laws[BackboneTrial] = Laws()


def check_backbone(
    plugin: Plugin, model: str, shapes: Sequence[Shape] = SHAPES, **options: Any
) -> None:
    """Gives (B, width), for any channel count, independent of row order, and all of it learns.

    Args:
        plugin: the provider class.
        model: a small model of it.
        shapes: the shapes (C, H, W) of views to try, where images are not what it takes.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    LAWS.enforce(BackboneTrial(plugin, model, shapes, options), plugin)


@LAWS.law("builds", first=True)
def builds(trial: BackboneTrial) -> None:
    """It can be built for any number of channels."""
    for shape in trial.shapes:
        remedy = "call super().__init__() there, and set self.width to the length of its features"
        require_attributes(trial.build(shape), ["_modules", "width"], remedy)


@LAWS.law("shape")
def shape_of_features(trial: BackboneTrial) -> None:
    """Views (B, C, H, W) become features (B, width)."""
    for shape in trial.shapes:
        torch.manual_seed(0)
        backbone = trial.build(shape)
        features, wanted = backbone(trial.views(shape)), (4, backbone.width)
        require(features.shape == wanted, f"gives {tuple(features.shape)}, not {wanted}")


@LAWS.law("size")
def takes_its_size(trial: BackboneTrial) -> None:
    """One view alone, and one of the size that the model was made for, become features."""
    shapes = list(trial.shapes)
    own = trial.build().own_size(trial.model)
    require(isinstance(own, int) and own >= 0, f"names {own!r} as its own size, not a whole number")
    if own:
        shapes.append((shapes[-1][0], own, own))
    for shape in shapes:
        backbone = trial.build(shape).eval()
        with torch.no_grad():
            features = backbone(trial.views(shape)[:1])
        wanted = (1, backbone.width)
        require(features.shape == wanted, f"gives {tuple(features.shape)} of a view, not {wanted}")


@LAWS.law("input")
def input_stays(trial: BackboneTrial) -> None:
    """The views stay as they were."""
    tensors.leaves_alone(trial.build(), trial.views())


@LAWS.law("gradient")
def every_weight_learns(trial: BackboneTrial) -> None:
    """A gradient reaches every weight."""
    torch.manual_seed(0)
    backbone = trial.build()
    tensors.all_learn(backbone, backbone(trial.views()).square().sum())


@LAWS.law("batch order")
def any_order(trial: BackboneTrial) -> None:
    """The order of the rows in a batch does not matter."""
    tensors.any_row_order(trial.build().eval(), trial.views())


@LAWS.law("seed")
def seed_decides(trial: BackboneTrial) -> None:
    """The same seed gives the same weights and features."""
    tensors.by_seed(trial.build, lambda network: network(trial.views()))


@LAWS.law("state")
def state_is_whole(trial: BackboneTrial) -> None:
    """With its state saved and loaded it is the same."""
    tensors.round_trip(trial.build(), trial.build(), lambda network: network(trial.views()))


@LAWS.law("maps")
def maps_are_as_told(trial: BackboneTrial) -> None:
    """Its maps are as `map_shapes` says at any size, and the features beside them the same."""
    shapes = [trial.build(shape).map_shapes for shape in trial.shapes]
    if not any(shapes):
        raise NotTried("it gives no feature maps")
    for channels, height, width in trial.shapes:
        for shape in ((channels, height, width), (channels, 2 * height, 2 * width)):
            _check_maps(trial.build(shape).eval(), trial.views(shape))


def _check_maps(backbone: Backbone, views: Tensor) -> None:
    strides = [shape.stride for shape in backbone.map_shapes]
    require(strides == sorted(strides), f"lists maps of strides {strides}, not the finest first")
    with torch.no_grad():
        wanted, alone = backbone(views), backbone.maps(views)
        features, maps = backbone.features_and_maps(views)
    require(
        features.shape == wanted.shape
        and bool((features - wanted).abs().max() < tensors.TOLERANCE),
        "gives other features beside its maps",
    )
    require(tensors.same(list(maps), list(alone)), "gives other maps beside its features")
    count = len(backbone.map_shapes)
    require(len(maps) == count, f"gives {len(maps)} maps, and lists {count} in `map_shapes`")
    for values, shape in zip(maps, backbone.map_shapes, strict=True):
        rows, height, width = len(views), *(side / shape.stride for side in views.shape[2:])
        fits = values.ndim == 4 and values.shape[:2] == (rows, shape.channels)
        near = fits and all(
            abs(got - side) < 2 for got, side in zip(values.shape[2:], (height, width), strict=True)
        )
        require(
            near,
            f"gives a map {tuple(values.shape)} of views {tuple(views.shape)}, and lists {shape}",
        )


@LAWS.law("stem")
def stem_is_its_own(trial: BackboneTrial) -> None:
    """Its stem lists weights of its own."""
    backbone = trial.build()
    own = {id(weight) for weight in backbone.parameters()}
    require(
        all(id(weight) in own for weight in backbone.stem()),
        "has weights in its stem that are not its own",
    )

"""The laws of fusions, each for one, two and three modalities."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sm3kit.fusions.base import Fusion
from sm3kit.testing import tensors
from sm3kit.testing.every_plugin import check_documented
from sm3kit.testing.law import Fault, Laws, Plugin, require, require_attributes
from sm3kit.testing.tensors import ROWS, WIDTH

MODALITIES = (["a"], ["a", "b"], ["a", "b", "c"])
IMAGES = 6  # Of a batch, of which all ways to be present are tried.
REFUSED = ["type", "train", "a.b"]  # By torch, as names of modules.
Views = dict[str, list[Tensor]]


@dataclass(frozen=True)
class FusionTrial:
    """A fusion class and the options to build it with."""

    plugin: Plugin
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, names: list[str]) -> Fusion:
        """The fusion of some modalities, under seed 0."""
        torch.manual_seed(0)
        fusion: Fusion = self.plugin(dict.fromkeys(names, WIDTH), **self.options)
        return fusion

    def each(self) -> Iterator[tuple[list[str], Fusion, Views, dict[str, Tensor]]]:
        """For one, two and three modalities: names, fusion, two views each, all present."""
        for names in MODALITIES:
            fusion = self.build(names)
            torch.manual_seed(1)
            features = {name: [tensors.leaf(ROWS, WIDTH) for _ in range(2)] for name in names}
            yield names, fusion, features, _present(names, True)


LAWS: Laws[FusionTrial] = Laws()


def check_fusion(plugin: Plugin, **options: Any) -> None:
    """Works for one, two and three modalities, with missing ones, in any row order.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    LAWS.enforce(FusionTrial(plugin, options), plugin)


@LAWS.law("builds", first=True)
def builds(trial: FusionTrial) -> None:
    """It can be built for any number of modalities."""
    for names in MODALITIES:
        fusion = trial.build(names)
        remedy = "call super().__init__(widths) there, before anything else"
        require_attributes(fusion, ["_modules", "widths"], remedy)
        require(list(fusion.widths) == names, f"has widths {fusion.widths}, not one for each name")


@LAWS.law("streams")
def named_streams(trial: FusionTrial) -> None:
    """Each stream has all views and rows, and `stream_present` knows the same names."""
    for _, fusion, features, present in trial.each():
        streams = fusion(features, present)
        known = fusion.stream_present(present)
        require(
            set(streams) == set(known), "names different streams in forward and in stream_present"
        )
        for name, views in streams.items():
            require(len(views) == 2, f"loses a view of stream {name!r}")
            for view in views:
                require(len(view) == ROWS, f"loses rows of stream {name!r}")
                wide = f"stream {name!r} is {tuple(view.shape)}, not (B, P)"
                require(view.ndim == 2, wide)


@LAWS.law("joint feature")
def joint_feature(trial: FusionTrial) -> None:
    """The joint feature is (B, joint_width)."""
    for _, fusion, features, present in trial.each():
        joint = fusion.joint({name: views[0] for name, views in features.items()}, present)
        require(joint.shape == (ROWS, fusion.joint_width), "has another joint_width")


@LAWS.law("input")
def input_stays(trial: FusionTrial) -> None:
    """The features stay as they were."""
    for _, fusion, features, present in trial.each():
        tensors.leaves_alone(partial(_streams, fusion, present), features)


@LAWS.law("gradient")
def every_weight_learns(trial: FusionTrial) -> None:
    """A gradient reaches every weight."""
    for _, fusion, features, present in trial.each():
        streams = fusion(features, present)
        if streams:
            total = torch.stack([v.square().sum() for views in streams.values() for v in views])
            tensors.all_learn(fusion, total.sum())


@LAWS.law("batch order")
def any_order(trial: FusionTrial) -> None:
    """The order of the rows in a batch does not matter."""
    order = tensors.order_of_rows(ROWS)
    for names, fusion, features, _ in trial.each():
        fusion.eval()
        present = _without_two(names)
        streams = fusion(features, present)
        real = fusion.stream_present(present)
        two = fusion(*tensors.each_tensor((features, present), lambda rows: rows[order]))
        for name, views in streams.items():
            here = real[name][order]
            for view, other in zip(views, two[name], strict=True):
                near = torch.allclose(view[order][here], other[here], atol=1e-4)
                require(near, tensors.ORDER)


@LAWS.law("names")
def any_names(trial: FusionTrial) -> None:
    """Modalities may have any name, such as `type`, `train` and `a.b`."""
    try:
        fusion, fresh = trial.build(REFUSED), trial.build(REFUSED)
    except (KeyError, TypeError) as error:
        fault = "cannot be built for modalities named `type`, `train` and `a.b`"
        raise Fault(f"{fault}: {error}. Keep modules in a NamedModules of sm3kit.api") from error
    features = {name: [torch.randn(ROWS, WIDTH)] for name in REFUSED}
    tensors.round_trip(fusion, fresh, partial(_ask, features, _present(REFUSED, True)))


@LAWS.law("seed")
def seed_decides(trial: FusionTrial) -> None:
    """The same seed gives the same weights and streams."""
    for names, _, features, present in trial.each():
        asked = partial(_ask, features, present)
        tensors.by_seed(partial(trial.build, names), asked)


@LAWS.law("state")
def state_is_whole(trial: FusionTrial) -> None:
    """With its state saved and loaded it is the same."""
    for names, fusion, features, present in trial.each():
        fresh = trial.build(names)
        tensors.round_trip(fusion, fresh, partial(_ask, features, present))


@LAWS.law("missing images")
def missing_images(trial: FusionTrial) -> None:
    """Absent rows reach no present one and stay finite, whichever rows of a batch are absent."""
    for names in MODALITIES:
        fusion, rows = trial.build(names), IMAGES // len(names)
        torch.manual_seed(1)
        features = {name: [torch.randn(rows, WIDTH) for _ in range(2)] for name in names}
        for present in tensors.every_presence(names, rows):
            for mode in (True, False):
                _absent_rows_stay_out(fusion.train(mode), features, present)


def _absent_rows_stay_out(fusion: Fusion, features: Views, present: dict[str, Tensor]) -> None:
    """The same streams, statistics and joint feature, whatever stands in absent rows."""
    twin = copy.deepcopy(fusion) if fusion.training else fusion
    other = tensors.with_other_absent_rows(features, present)
    first, second = fusion(features, present), twin(other, present)
    for name, real in fusion.stream_present(present).items():
        for view, of_other in zip(first[name], second[name], strict=True):
            near = torch.allclose(view[real], of_other[real], atol=1e-5)
            require(near, "lets absent rows change present ones")
            finite = bool(view.isfinite().all() and of_other.isfinite().all())
            require(finite, f"stream {name!r} is not finite where rows are absent")
    for kept, of_other in zip(fusion.buffers(), twin.buffers(), strict=True):
        near = torch.allclose(kept, of_other, atol=1e-5)
        require(near, "lets absent rows change its running statistics")
    joint, of_other = (
        fusion.joint({name: views[0] for name, views in table.items()}, present)
        for table in (features, other)
    )
    require(bool(joint.isfinite().all()), "has no finite joint feature where images are missing")
    require(torch.allclose(joint, of_other, atol=1e-5), "lets absent rows change joint features")


def _streams(fusion: nn.Module, present: dict[str, Tensor], features: Views) -> Any:
    return fusion(features, present)


def _ask(features: Views, present: dict[str, Tensor], fusion: nn.Module) -> Any:
    return fusion(features, present)


def _present(names: list[str], everywhere: bool) -> dict[str, Tensor]:
    return {name: torch.full((ROWS,), everywhere) for name in names}


def _without_two(names: list[str]) -> dict[str, Tensor]:
    """Two rows lack the last modality."""
    return {**_present(names, True), names[-1]: torch.arange(ROWS) > 1}

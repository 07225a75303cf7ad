"""The frozen record of all names and options of one run."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sm3kit.core.errors import VariantError
from sm3kit.core.names import unknown
from sm3kit.core.options import Option, convert

# What may differ when a run goes on: it says how to compute, or how far, not what.
RESUMABLE = ("recipe", "epochs", "devices", "num_nodes", "workers", "monitor_every")


@dataclass(frozen=True)
class Variant:
    """Everything that one pre-training depends on.

    Attributes:
        recipe: the recipes that gave the values, in order.
        data: data sets, each `name` or `name:argument`.
        map: {modality: what the data call it}.
        modality: the modalities to use; empty takes all that the data have.
        backbone: `provider/model`.
        weights: "imagenet", "none" or a file.
        objective: objectives by name.
        fusion: fusion by name.
        stage: "mmssl", stage 1.
        splits: the splits that pre-training sees; the paper's is train alone.
        epochs: passes over the studies; 0 keeps the initial weights, as a baseline.
        batch_size: studies per step and device.
        last_batch: "keep" takes the shorter last batch, "drop" leaves it out, "pad" repeats
            studies until it divides by `pad_to`.
        pad_to: see `last_batch`.
        image_size: height and width of the views, in pixels.
        lr: learning rate of AdamW.
        schedule: "constant", the paper's, or "cosine", which brings the rate to zero at the end.
        weight_decay: of AdamW.
        betas: of AdamW.
        eps: of AdamW.
        seed: of weights, order and views.
        precision: "auto", or what Lightning takes: "32", "bf16-mixed", "16-mixed".
        channels_last: memory order of images and weights; faster on nearly every machine.
        devices: GPUs, or processes on a CPU, per machine.
        num_nodes: machines.
        workers: processes that prepare views; -1 chooses.
        monitor_every: epochs between two looks at the validation pairs; 0 is never.
        options: {plugin: {option: value}}, only what was set.
    """

    recipe: tuple[str, ...] = ()
    data: tuple[str, ...] = ("synthetic",)
    map: dict[str, str] = field(default_factory=dict)
    modality: tuple[str, ...] = ()
    backbone: str = "timm/resnet50.tv_in1k"
    weights: str = "imagenet"
    objective: tuple[str, ...] = ("simclr",)
    fusion: str = "sep_sep"
    stage: Literal["mmssl"] = "mmssl"
    splits: tuple[Literal["train", "val", "test"], ...] = ("train",)
    epochs: int = 400
    batch_size: int = 96
    last_batch: Literal["keep", "drop", "pad"] = "keep"
    pad_to: int = 2
    image_size: int = 224
    lr: float = 1e-6
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-5
    seed: int = 0
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed", "64"] = "auto"
    channels_last: bool = True
    devices: int = 1
    num_nodes: int = 1
    workers: int = -1
    monitor_every: int = 5
    options: dict[str, dict[str, Any]] = field(default_factory=dict)

    def changed(self, changes: Mapping[str, Any], source: str) -> Variant:
        """A copy with changes laid over it; options are merged plugin by plugin.

        Args:
            changes: field names and values, text or typed.
            source: where they come from, for messages.

        Raises:
            VariantError: an unknown field, or a value that wants a table.
            OptionError: a value of another type.
        """
        known = {one.name: one for one in dataclasses.fields(self)}
        hints = typing.get_type_hints(Variant)
        values: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in known:
                raise VariantError(f"{source}: {unknown('setting', str(name), known)}")
            if name in ("options", "map") and not isinstance(value, Mapping):
                raise VariantError(f"{source}: {name} wants a table, not {value!r}.")
            if name == "options":
                values[name] = self._merged_options(value, source)
            elif name == "map":
                values[name] = {**self.map, **value}
            else:
                option = Option(name, hints[name], getattr(self, name))
                values[name] = convert(option, value, source)
        return dataclasses.replace(self, **values)

    def _merged_options(self, more: Mapping[str, Any], source: str) -> dict[str, dict[str, Any]]:
        merged = {plugin: dict(values) for plugin, values in self.options.items()}
        for plugin, values in more.items():
            if not isinstance(values, Mapping):
                raise VariantError(f"{source}: options of {plugin!r} want a table, not {values!r}.")
            merged.setdefault(plugin, {}).update(values)
        return merged

    def differences(self, other: Variant) -> dict[str, tuple[Any, Any]]:
        """Settings that differ between two variants and may not, when a run goes on.

        Returns:
            {setting: (own value, other value)}; options one by one, as `plugin.option`.
        """
        own, others = self._flat(), other._flat()
        return {
            name: (own.get(name), others.get(name))
            for name in dict.fromkeys([*own, *others])
            if own.get(name) != others.get(name)
        }

    def contradiction(self, other: Variant) -> str:
        """The differences as text, "its lr is 0.1, not 0.2", or nothing."""
        pairs = self.differences(other).items()
        return "; ".join(f"its {name} is {own!r}, not {new!r}" for name, (own, new) in pairs)

    def _flat(self) -> dict[str, Any]:
        plain = {
            one.name: getattr(self, one.name)
            for one in dataclasses.fields(self)
            if one.name not in (*RESUMABLE, "options")
        }
        for plugin, values in self.options.items():
            plain |= {f"{plugin}.{option}": value for option, value in values.items()}
        return plain

    def as_dict(self) -> dict[str, Any]:
        """Plain lists, tables and values, ready for YAML."""
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value

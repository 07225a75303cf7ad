"""The frozen record of all names and options of one run."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sm3kit.core import ranges
from sm3kit.core.errors import VariantError
from sm3kit.core.names import unknown
from sm3kit.core.options import check_fields, convert, fields_of
from sm3kit.core.registry import registry
from sm3kit.core.settings import by_address, lay_over, plain
from sm3kit.core.stage_settings import MachineSettings, Stage1Settings, Stage2Settings

# What may differ when a run goes on: it says how to compute, or how far, not what.
RESUMABLE = (
    *("recipe", "stage", "protocol", "evaluate", "stage1.epochs", "stage1.monitor_every"),
    *("stage1.patience", "stage2.epochs", "machine.devices", "machine.num_nodes"),
    *("machine.workers", "machine.max_time", "machine.compile", "machine.views_on", "logger"),
)
OF_LOOKS = "stage1.monitor_every"  # What early stopping depends on.
FUSION_OF_ONE = "none"  # A single modality has nothing to be fused with.
# What only stage 2 depends on: free for a run that has not come to it.
OF_STAGE_2 = ("relation", "clusterer", "stage2")
# What stage 1 reads of it, too, where its sampler asks for clusters.
OF_CLUSTERS = ("clusterer", "stage2.pseudo_labels", "stage2.clusters", "stage2.weak")
PARTS = ("stage1", "stage2", "machine")
PER_MODALITY = ("backbone", "weights", "image_size")


@dataclass(frozen=True)
class Variant:
    """Everything that one pre-training depends on.

    Attributes:
        recipe: the recipes that gave the values, in order.
        data: data sets, each `name` or `name:argument`.
        map: {modality: what the data call it}.
        modality: the modalities to use; empty takes all that the data have.
        splits: the splits that pre-training sees; the paper's is train alone.
        backbone: `provider/model`.
        weights: "imagenet", "none" or a file.
        image_size: height and width of the views, in pixels.
        per_modality: {modality: {setting: value}} where its backbone, weights or image_size
            differ from those of all.
        paired_geometry: registered modalities of a study are cropped, flipped and turned alike.
        objective, fusion: by name.
        relation: how labels are modelled jointly, by name; stage 2.
        clusterer: what makes pseudo-labels, by name; stage 2.
        sampler: which studies make a batch, by name; it sees no labels.
        stage: "mmssl" (stage 1), "mlssl" (stage 2 alone), or "both".
        init: the folder of a run to start from, instead of `weights`.
        seed: of weights, order and views.
        protocol: how the run is evaluated if nothing else is said.
        evaluate: {protocol: {setting: value}} where its evaluation differs from the defaults.
        options: {plugin: {option: value}}, only what was set.
        stage1, stage2: how each stage learns.
        machine, logger: what computes, and other programs that are told its numbers.
    """

    recipe: tuple[str, ...] = ()
    data: tuple[str, ...] = ("synthetic",)
    map: dict[str, str] = field(default_factory=dict)
    modality: tuple[str, ...] = ()
    splits: tuple[Literal["train", "val", "test"], ...] = ("train",)
    backbone: str = "timm/resnet50.tv_in1k"
    weights: str = "imagenet"
    image_size: ranges.ImageSize = 224
    per_modality: dict[str, dict[str, Any]] = field(default_factory=dict)
    paired_geometry: bool = False
    objective: tuple[str, ...] = ("simclr",)
    fusion: str = "sep_sep"
    relation: str = "tel"
    clusterer: str = "faiss"
    sampler: str = "shuffle"
    stage: Literal["both", "mmssl", "mlssl"] = "both"
    init: str = ""
    seed: ranges.Seed = 0
    protocol: Literal["probe", "finetune", "knn"] = "probe"
    evaluate: dict[str, dict[str, Any]] = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    stage1: Stage1Settings = field(default_factory=Stage1Settings)
    stage2: Stage2Settings = field(default_factory=Stage2Settings)
    machine: MachineSettings = field(default_factory=MachineSettings)
    logger: tuple[Literal["tensorboard", "wandb", "mlflow", "csv"], ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, "variant")

    def changed(self, changes: Mapping[str, Any], source: str) -> Variant:
        """A copy with changes laid over it, in the form of a recipe; see `lay_over`.

        Args:
            changes: field names and values, text or typed.
            source: where they come from, for messages.

        Raises:
            VariantError: an unknown field, or a value that must be a table.
            OptionError: a value of another type or out of range.
        """
        variant = lay_over(self, changes, source)
        if "per_modality" not in changes:
            return variant
        return dataclasses.replace(variant, per_modality=_typed(variant.per_modality, source))

    def at(self, address: str) -> Any:
        """The value of a setting or option, by its address; see `table_at`.

        Raises:
            KeyError: the variant holds no such option.
        """
        place: Any = table_at(address, ...)
        value: Any = self
        while place is not ...:
            ((name, place),) = place.items()
            value = value[name] if isinstance(value, Mapping) else getattr(value, name)
        return value

    def of_stage1(self) -> Variant:
        """The variant that ends with stage 1, with the defaults where only stage 2 reads."""
        return dataclasses.replace(self.with_stage2_of(Variant()), stage="mmssl")

    def with_stage2_of(self, other: Variant) -> Variant:
        """The variant with all of another that only stage 2 reads."""
        whole = dataclasses.replace(self, **{name: getattr(other, name) for name in OF_STAGE_2})
        kept = [(address, self.at(address)) for address in OF_CLUSTERS if self.samples_clusters]
        return whole.changed(table_of(kept), "stage 1")

    def only_stage2_reads(self, address: str) -> bool:
        """Whether a setting changes nothing in stage 1; see `at`."""
        of_clusters = self.samples_clusters and address in OF_CLUSTERS
        return address.partition(".")[0] in OF_STAGE_2 and not of_clusters

    @property
    def samples_clusters(self) -> bool:
        """Whether the sampler asks for clusters."""
        return bool(registry("samplers").get(self.sampler).on == "clusters")

    def with_fitting_fusion(self, asked: Container[str]) -> Variant:
        """The variant, without a fusion if it names a single modality and none was asked for."""
        if len(self.modality) != 1 or "fusion" in asked:
            return self
        return dataclasses.replace(self, fusion=FUSION_OF_ONE)

    def of(self, modality: str, setting: str) -> Any:
        """The backbone, weights or image_size of one modality."""
        return self.per_modality.get(modality, {}).get(setting, getattr(self, setting))

    def without_weights(self, modalities: Iterable[str] | None = None) -> Variant:
        """The variant of networks whose weights come from elsewhere.

        Args:
            modalities: leave out the weights of these alone; None of all.
        """
        if modalities is not None:
            own = {
                name: {**self.per_modality.get(name, {}), "weights": "none"} for name in modalities
            }
            return dataclasses.replace(self, per_modality={**self.per_modality, **own})
        bare = {
            modality: {name: value for name, value in settings.items() if name != "weights"}
            for modality, settings in self.per_modality.items()
        }
        return dataclasses.replace(self, weights="none", per_modality=bare)

    def differences(self, other: Variant) -> dict[str, tuple[Any, Any]]:
        """{setting, or plugin.option: (own, other)} that differ and may not when a run goes on."""
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
        values = by_address(self)
        flat = {name: values[name] for name in values if name not in (*RESUMABLE, "options")}
        flat |= {} if self.stage1.stop_on == "none" else {OF_LOOKS: values[OF_LOOKS]}
        for plugin, options in self.options.items():
            flat |= {f"{plugin}.{option}": value for option, value in options.items()}
        return flat

    def as_dict(self) -> dict[str, Any]:
        """Plain lists, tables and values, ready for YAML."""
        table: dict[str, Any] = plain(dataclasses.asdict(self))
        return table


def table_at(address: str, value: Any) -> dict[str, Any]:
    """The table that sets one value, in the form of a recipe.

    Args:
        address: what a recipe says, with dots between its tables: `seed`, `stage1.lr`,
            `evaluate.probe.lr`; or `simclr.temperature`, an option of a plugin or modality.
        value: text or typed.
    """
    return _table_in(Variant, address, value) or _table_in(Variant, f"options.{address}", value)


def table_of(settings: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The table that sets several values, (address, value) each; the last one of an address holds."""
    return functools.reduce(_united, (table_at(*pair) for pair in settings), {})


def _united(table: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    inner = {
        name: _united(table[name], value)
        for name, value in more.items()
        if isinstance(value, Mapping) and isinstance(table.get(name), Mapping)
    }
    return {**table, **more, **inner}


def _table_in(record: type, address: str, value: Any) -> dict[str, Any]:
    """The table that sets a field of a record, or something within it; empty if it has none."""
    fields = fields_of(record)
    first, dot, rest = address.partition(".")
    kind = fields[first].type if first in fields else None
    if not dot:
        return {address: value}
    if dataclasses.is_dataclass(kind):
        return {first: _table_in(typing.cast(type, kind), rest, value) or {rest: value}}
    if typing.get_origin(kind) is not dict:
        return {}
    owner, _, name = rest.rpartition(".")
    return {first: {owner: {name: value}} if owner else {name: value}}


def _typed(table: Mapping[str, Mapping[str, Any]], source: str) -> dict[str, dict[str, Any]]:
    """Settings of single modalities, checked and typed."""
    known = {name: fields_of(Variant)[name] for name in PER_MODALITY}
    typed: dict[str, dict[str, Any]] = {}
    for modality, settings in table.items():
        for name, value in settings.items():
            if name not in known:
                where = f"{source}: per_modality {modality}"
                raise VariantError(f"{where}: {unknown('setting', str(name), known)}")
            value = convert(known[name], value, f"{source} ({modality})")
            typed.setdefault(modality, {})[name] = value
    return typed

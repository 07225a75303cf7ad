"""The frozen record of all names and options of one run."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from sm3kit.core import ranges
from sm3kit.core.errors import VariantError
from sm3kit.core.names import unknown
from sm3kit.core.options import check_fields, convert, fields_of
from sm3kit.core.setting_tables import merged, plain, typed

# What may differ when a run goes on: it says how to compute, or how far, not what.
RESUMABLE = (
    *("recipe", "stage", "epochs", "mlssl_epochs", "devices", "num_nodes", "workers"),
    *("monitor_every", "protocol", "evaluate"),
)
# What only stage 2 depends on: free for a run that has not come to it.
OF_STAGE_2 = (
    "relation",
    "clusterer",
    "pseudo_labels",
    "clusters",
    "mlssl_epochs",
    "mlssl_batch_size",
    "mlssl_lr",
    "mlssl_weight_decay",
    "mlssl_eps",
    "mlssl_precision",
    "mlssl_views",
    "feature_views",
    "bank",
    "label_loss",
    "temperature",
    "freeze_prototypes",
    "bn_leak",
)
# One view per study, with less colour change and neither greyscale nor blur: the release.
MLSSL_VIEWS = {"views": 1, "jitter": 0.5, "grayscale": 0.0, "blur": 0.0}
FUSION_OF_ONE = "none"  # A single modality has nothing to be fused with.
TABLES = ("options", "map", "mlssl_views", "evaluate", "per_modality")
PER_MODALITY = ("backbone", "weights", "image_size")


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
        per_modality: {modality: {setting: value}} where its backbone, weights or image_size
            differ from those of all.
        objective: objectives by name.
        fusion: fusion by name.
        relation: how label embeddings know of each other, by name; stage 2.
        clusterer: what makes pseudo-labels, by name; stage 2.
        stage: "mmssl" (stage 1), "mlssl" (stage 2 alone), or "both".
        init: the folder of a run to start from, instead of `weights`.
        splits: the splits that pre-training sees; the paper's is train alone.
        epochs: passes over the studies; 0 keeps the initial weights, as a baseline.
        batch_size: studies per step and device.
        last_batch: "keep" takes the shorter last batch, "drop" leaves it out, "pad" repeats
            studies until it divides by `pad_to`.
        pad_to: see `last_batch`.
        image_size: height and width of the views, in pixels.
        paired_geometry: registered modalities of a study are cropped, flipped and turned alike.
        join_views: encode the views of an image as one batch, whose batch norm then sees twice as
            many rows; the release encodes view by view.
        lr: learning rate of AdamW.
        head_lr: learning rate of what no weights are known for, that is all but the backbones;
            0 takes `lr`, as the release does.
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
        pseudo_labels: K of stage 2; 0 takes the labels of the data.
        clusters: of each pseudo-label; 0 takes as many as the label has classes.
        mlssl_epochs: passes of stage 2 over the studies.
        mlssl_batch_size: studies per step of stage 2.
        mlssl_lr, mlssl_weight_decay, mlssl_eps: of AdamW in stage 2.
        mlssl_precision: like `precision`, of the frozen networks in stage 2; what stage 2 trains
            is always computed in float32.
        mlssl_views: options of the modalities that differ in stage 2.
        feature_views: views of each study that stage 2 encodes once and draws from in every
            epoch; 0 encodes new views in every epoch, as the paper does.
        bank: "memory" clusters what the steps of the epoch before left, as the release does;
            "fresh" embeds all studies anew before they are clustered.
        label_loss: "mean" of the labels' losses, as in the release, or their "sum", equation 6.
        temperature: T, by which the logits of stage 2 are divided.
        freeze_prototypes: prototypes stay the centroids during an epoch, as in DeepCluster-v2.
        bn_leak: the first pass of stage 2 still moves the frozen networks' batch statistics, as
            in the release.
        protocol: how the run is evaluated if nothing else is said.
        evaluate: {protocol: {setting: value}} where its evaluation differs from the defaults.
        options: {plugin: {option: value}}, only what was set.
    """

    recipe: tuple[str, ...] = ()
    data: tuple[str, ...] = ("synthetic",)
    map: dict[str, str] = field(default_factory=dict)
    modality: tuple[str, ...] = ()
    backbone: str = "timm/resnet50.tv_in1k"
    weights: str = "imagenet"
    per_modality: dict[str, dict[str, Any]] = field(default_factory=dict)
    objective: tuple[str, ...] = ("simclr",)
    fusion: str = "sep_sep"
    relation: str = "tel"
    clusterer: str = "faiss"
    stage: Literal["both", "mmssl", "mlssl"] = "both"
    init: str = ""
    splits: tuple[Literal["train", "val", "test"], ...] = ("train",)
    epochs: ranges.CountOrZero = 400
    batch_size: Annotated[int, ranges.Range(2, 1_000_000)] = 96
    last_batch: Literal["keep", "drop", "pad"] = "keep"
    pad_to: Annotated[int, ranges.Range(1, 65_536)] = 2
    image_size: ranges.ImageSize = 224
    paired_geometry: bool = False
    join_views: bool = False
    lr: ranges.Rate = 1e-6
    head_lr: Annotated[float, ranges.Range(0, 100)] = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: ranges.Amount = 0.05
    betas: Annotated[tuple[float, float], ranges.Range(least=0, below=1)] = (0.9, 0.999)
    eps: ranges.Epsilon = 1e-5
    seed: ranges.Seed = 0
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] = "auto"
    channels_last: bool = True
    devices: Annotated[int, ranges.Range(1, 1024)] = 1
    num_nodes: Annotated[int, ranges.Range(1, 65_536)] = 1
    workers: Annotated[int, ranges.Range(0, 1024, also=(-1,))] = -1
    monitor_every: ranges.CountOrZero = 5
    pseudo_labels: Annotated[int, ranges.Range(0, 10_000)] = 0
    clusters: ranges.CountOrZero = 0
    mlssl_epochs: ranges.CountOrZero = 150
    mlssl_batch_size: Annotated[int, ranges.Range(2, 1_000_000)] = 256
    mlssl_lr: ranges.Rate = 1e-4
    mlssl_weight_decay: ranges.Amount = 0.05
    mlssl_eps: ranges.Epsilon = 1e-8
    mlssl_precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] = "32"
    mlssl_views: dict[str, Any] = field(default_factory=lambda: dict(MLSSL_VIEWS))
    feature_views: Annotated[int, ranges.Range(0, 1000)] = 8
    bank: Literal["memory", "fresh"] = "memory"
    label_loss: Literal["mean", "sum"] = "mean"
    temperature: ranges.Temperature = 1.0
    freeze_prototypes: bool = False
    bn_leak: bool = False
    protocol: Literal["probe", "finetune", "knn"] = "probe"
    evaluate: dict[str, dict[str, Any]] = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, "variant")

    def changed(self, changes: Mapping[str, Any], source: str) -> Variant:
        """A copy with changes laid over it; options are merged plugin by plugin.

        Args:
            changes: field names and values, text or typed.
            source: where they come from, for messages.

        Raises:
            VariantError: an unknown field, or a value that wants a table.
            OptionError: a value of another type or out of range.
        """
        known = fields_of(Variant)
        values: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in known:
                raise VariantError(f"{source}: {unknown('setting', str(name), known)}")
            if name in TABLES and not isinstance(value, Mapping):
                raise VariantError(f"{source}: {name} wants a table, not {value!r}.")
            if name in ("options", "evaluate", "per_modality"):
                values[name] = merged(getattr(self, name), value, f"{source}: {name}")
            elif name in TABLES:
                values[name] = {**getattr(self, name), **value}
            else:
                values[name] = convert(known[name], value, source)
        if "per_modality" in values:
            own = {name: known[name] for name in PER_MODALITY}
            values["per_modality"] = typed(values["per_modality"], own, source)
        return dataclasses.replace(self, **values)

    def with_fitting_fusion(self, asked: Container[str]) -> Variant:
        """The variant, without a fusion if it names a single modality and none was asked for."""
        if len(self.modality) != 1 or "fusion" in asked:
            return self
        return dataclasses.replace(self, fusion=FUSION_OF_ONE)

    def of(self, modality: str, setting: str) -> Any:
        """The backbone, weights or image_size of one modality."""
        return self.per_modality.get(modality, {}).get(setting, getattr(self, setting))

    def without_weights(self) -> Variant:
        """The variant of networks whose weights come from elsewhere."""
        bare = {
            modality: {name: value for name, value in settings.items() if name != "weights"}
            for modality, settings in self.per_modality.items()
        }
        return dataclasses.replace(self, weights="none", per_modality=bare)

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
        flat = {
            one.name: getattr(self, one.name)
            for one in dataclasses.fields(self)
            if one.name not in (*RESUMABLE, "options")
        }
        for plugin, values in self.options.items():
            flat |= {f"{plugin}.{option}": value for option, value in values.items()}
        return flat

    def as_dict(self) -> dict[str, Any]:
        """Plain lists, tables and values, ready for YAML."""
        found: dict[str, Any] = plain(dataclasses.asdict(self))
        return found

"""How a run is evaluated: the defaults of each protocol, and what a recipe or a user changes."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from sm3kit.core import ranges
from sm3kit.core.errors import UnknownName, VariantError
from sm3kit.core.names import unknown, unknown_plugin
from sm3kit.core.options import bind, check_fields
from sm3kit.core.registry import registry
from sm3kit.core.settings import lay_over
from sm3kit.core.variant import Variant

Protocol = Literal["probe", "finetune", "knn", "match", "clusters"]
Selection = Literal["val_best", "last", "test_best"]
PROTOCOLS: tuple[str, ...] = typing.get_args(Protocol)
PREDICTING = ("probe", "finetune", "knn")  # The labels: they have an AUC.
SELECTIONS: tuple[str, ...] = typing.get_args(Selection)
Scope = Literal["auto", "heads", "relation", "layers", "all"]
SCOPES: tuple[str, ...] = typing.get_args(Scope)

# Settings that name a plugin of the family.
PLUGINS = {"classifier": "classifiers", "loss": "losses", "sampler": "samplers"}
# Settings of the training with labels, and those that a protocol does not look at.
OF_TRAINING = (
    *PLUGINS, "members", "subsets", "scope", "epochs", "batch_size", "lr", "optimiser", "schedule",
    "warmup_epochs", "weight_decay", "eps", "prototypes", "views", "feature_views", "options",
    "modality_dropout",
)  # fmt: skip
OF_NEIGHBOURS = ("k", "temperature")
OF_JOINT = ("missing", "resamples")
OF_NETWORKS = ("stack", "stream_weights", "test_views")
OF_PREDICTIONS = ("select", "threshold", "calibration", "min_positives", "seed")
UNUSED: dict[str, tuple[str, ...]] = {
    "probe": OF_NEIGHBOURS,
    "finetune": (*OF_NEIGHBOURS, "feature_views"),
    "knn": (*OF_TRAINING, *OF_NETWORKS),
    "match": (*OF_TRAINING, *OF_NEIGHBOURS, *OF_PREDICTIONS, *OF_NETWORKS, *OF_JOINT),
    "clusters": (*OF_TRAINING, *OF_NEIGHBOURS, *OF_PREDICTIONS, *OF_NETWORKS),
}

# Crop and flip alone, as in the released evaluation.
MILD = {"views": 1, "jitter": 0.0, "grayscale": 0.0, "blur": 0.0}


@dataclass(frozen=True)
class Settings:
    """One evaluation.

    Attributes:
        protocol: "probe" trains classifiers on frozen features; "finetune" trains the networks,
            too; "knn" votes among the nearest training studies; "match" ranks partners; "clusters"
            compares pseudo-labels with labels.
        split: what is measured on.
        drop: modalities whose images the measured studies lose, sorted; "0.5:clinic" of half of them.
        missing: what stands in the joint feature for an absent modality: "zeros", the "mean" of the
            training studies, a "token" that is learned, or "complete", a regression from the others.
        modality_dropout: share of the images that a training on the joint feature hides in each
            step; -1 is 0.25 with a token, else 0.
        select: how an epoch, or k, is chosen: "val_best" by the mean AUC of the validation
            split, "last" not at all, "test_best" by the split that is measured on.
        classifier: what learns from the labels, by name; its options are those of its plugin.
        loss, sampler: of the logits of a label, and which studies make a batch, by name.
        members: networks whose probabilities are averaged.
        subsets: what the members differ in: "seeds", their random weights, or "balanced", subsets
            of the training studies in which rare classes have more weight, as well.
        scope: what is trained on labels: "heads", "relation" (heads and the relation of stage 2),
            "layers" (these and the backbones without their stem, as in the release), "all", or
            "auto": the relation if the run has one, else heads; everything with "finetune".
        epochs, batch_size: passes over the labelled studies, and studies per step.
        lr, weight_decay, eps: of the optimiser.
        optimiser: "adamw", the paper's, "adam", or "sgd" with a momentum of 0.9.
        schedule: "constant", the paper's, or "cosine", which brings the rate to zero at the end.
        warmup_epochs: epochs over which the rate grows linearly from zero.
        precision: as in the pre-training; "run" takes the same. On frozen features all is float32.
        feature_views: views of each study that a probe encodes once; 0 encodes in every epoch.
        prototypes: whether heads start as the prototypes of stage 2, where these fit.
        views: options of the modalities that differ in evaluation.
        threshold: "argmax" predicts the most likely class; "f1" and "youden" every class that
            reaches its threshold, which is fitted to the validation split.
        calibration: "temperature" gives each label one that is fitted to the validation split.
        stream_weights: of a classifier with several streams: its own with "none", or those with the
            best mean "auc" or "accuracy" of the validation split.
        test_views: the evaluation view and its symmetries whose probabilities are averaged.
        stack: "svm" is a second stage on the probabilities and the metadata of a study.
        k, temperature: of "knn"; k with select "last", otherwise it is selected.
        min_positives: studies that a class needs, and as many of other classes, to enter the mean
            of a label without a reported class.
        resamples: draws of the bootstrap.
        seed: of heads, order and views; -1 takes the run's.
        options: {plugin: {option: value}} of classifier, loss and sampler, only what was set.
    """

    protocol: Protocol = "probe"
    split: Literal["train", "val", "test"] = "test"
    drop: tuple[str, ...] = ()
    missing: Literal["zeros", "mean", "token", "complete"] = "zeros"
    modality_dropout: Annotated[float, ranges.Range(0, below=1, also=(-1,))] = -1.0
    select: Selection = "val_best"
    classifier: str = "linear"
    loss: str = "ce"
    sampler: str = "shuffle"
    members: Annotated[int, ranges.Range(1, 1000)] = 1
    subsets: Literal["seeds", "balanced"] = "seeds"
    scope: Scope = "auto"
    epochs: ranges.Count = 50
    batch_size: Annotated[int, ranges.Range(2, 1_000_000)] = 128
    lr: ranges.Rate = 1e-3
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: ranges.CountOrZero = 0
    weight_decay: ranges.Amount = 0.05
    eps: ranges.Epsilon = 1e-5
    precision: Literal["run", "auto", "32", "bf16-mixed", "16-mixed"] = "run"
    feature_views: Annotated[int, ranges.Range(0, 1000)] = 3
    prototypes: bool = True
    views: dict[str, Any] = field(default_factory=lambda: dict(MILD))
    threshold: Literal["argmax", "f1", "youden"] = "argmax"
    calibration: Literal["none", "temperature"] = "none"
    stream_weights: Literal["none", "auc", "accuracy"] = "none"
    test_views: Annotated[int, ranges.Range(1, 8)] = 1
    stack: Literal["none", "svm"] = "none"
    k: ranges.Count = 20
    temperature: ranges.Temperature = 0.07
    min_positives: ranges.Count = 10
    resamples: Annotated[int, ranges.Range(2, 1_000_000)] = 2000
    seed: Annotated[int, ranges.Range(0, 2**32 - 1, also=(-1,))] = -1
    options: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, "evaluation")
        object.__setattr__(self, "drop", tuple(sorted(self.drop)))

    def in_use(self) -> dict[str, Any]:
        """{setting: value}, as JSON keeps it, of those that the protocol looks at."""
        table: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        unused = {*UNUSED[self.protocol], *(["k"] if self.select != "last" else [])}
        return {name: value for name, value in table.items() if name not in unused}

    def changed(self, changes: Mapping[str, Any], source: str) -> Settings:
        """A copy with changes laid over it.

        Raises:
            VariantError: an unknown setting.
            OptionError: a value of another type or out of range.
        """
        if "protocol" in changes:
            raise VariantError(
                f"{source}: the protocol is chosen by --protocol {changes['protocol']}."
            )
        if not isinstance(changes.get("views", {}), Mapping):
            raise VariantError(
                f"{source}: views must be a table in a recipe file, such as {{flip: 0.5}}, not "
                f"{changes['views']!r}."
            )
        return lay_over(self, changes, source, "evaluation setting")


# What trains a relation, too, sees smaller crops and has another eps, as in the release.
OF_RELATION = {"eps": 1e-8, "views": {"crop_scale": (0.3, 1.0)}}
DEFAULTS: dict[str, dict[str, Any]] = {
    "probe": {},
    "probe-relation": OF_RELATION,
    "finetune": {"batch_size": 64, "lr": 1e-4, "eps": 1e-8},
    "finetune-relation": OF_RELATION,
    "knn": {},
    **dict.fromkeys(("match", "clusters"), {"select": "last"}),
}


def settings_of(
    variant: Variant,
    protocol: Protocol | None,
    flags: Mapping[str, Any],
    *,
    relation: bool,
    source: str = "command line",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """The settings of an evaluation: flags beat the run's recipes, recipes beat the defaults.

    Args:
        variant: of the run.
        protocol: one of `PROTOCOLS`; None takes the run's own.
        flags: settings that the user asks for.
        relation: whether the run has a relation for the labels at hand. Where it learns, what is
            said of `probe-relation` lies over what is said of `probe`, likewise for `finetune`.
        source: where `flags` come from, for messages.
        options: of plugins; those of the variant by default.

    Raises:
        VariantError: an unknown protocol or setting.
        UnknownName: an unknown classifier, loss or sampler.
        OptionError: a value of another type, or an option that a plugin does not take.
    """
    for name in variant.evaluate:
        if name not in DEFAULTS:
            raise VariantError(unknown("protocol", name, DEFAULTS))
    chosen: Protocol = protocol or variant.protocol
    layers = [chosen, f"{chosen}-relation"] if relation else [chosen]
    settings = _laid_over(variant, chosen, layers).changed(flags, source)
    of_plugins = _options_of_plugins(settings, variant.options if options is None else options)
    if relation and settings.scope == "heads":
        settings = _laid_over(variant, chosen, [chosen]).changed(
            {"scope": "heads", **flags}, source
        )
    elif relation and not uses_relation(settings):
        settings = _laid_over(variant, chosen, [chosen]).changed(flags, source)
    seed = settings.seed if settings.seed >= 0 else variant.seed
    return dataclasses.replace(settings, seed=seed, options=of_plugins)


def _options_of_plugins(
    settings: Settings, options: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The options of the plugins that an evaluation names, typed.

    Raises:
        UnknownName: there is no such plugin.
        OptionError: an option that a plugin does not take, or a value of another type.
    """
    of_plugins = {}
    for setting, family in PLUGINS.items():
        name, known, noun = getattr(settings, setting), registry(family), registry(family).kind.noun
        if name not in known.names():
            message = unknown_plugin(noun, name, known.names())
            raise UnknownName(f"--{setting} {name}: {message}")
        if options.get(name):
            of_plugins[name] = bind(known.get(name), f"{noun} {name!r}", options[name])
    return of_plugins


def uses_relation(settings: Settings) -> bool:
    """Whether the classifier of an evaluation stands on the label embeddings of stage 2."""
    wanted: bool = registry("classifiers").get(settings.classifier).wants_embedding
    return wanted


def _laid_over(variant: Variant, protocol: Protocol, layers: Sequence[str]) -> Settings:
    settings = Settings(protocol=protocol)
    for name in [name for name in layers if name in DEFAULTS]:
        settings = settings.changed(DEFAULTS[name], name)
        settings = settings.changed(variant.evaluate.get(name, {}), f"evaluate.{name}")
    return settings

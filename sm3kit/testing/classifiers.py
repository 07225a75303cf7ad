"""The laws of classifiers, each for one, two and three modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from sm3kit.classifiers.base import JOINT, Classifier, Streams
from sm3kit.core.errors import SM3Error
from sm3kit.testing import tensors
from sm3kit.testing.classifier_absence import absent_stay_out, without_dropout
from sm3kit.testing.classifier_learning import (
    finite,
    fits_alike,
    leaves_out_unknown,
    near,
    overfits,
    studies_apart,
)
from sm3kit.testing.classifier_trial import (
    LABELS,
    WIDTH,
    ClassifierTrial,
    LabelsApart,
)
from sm3kit.testing.every_plugin import check_documented
from sm3kit.testing.law import Fault, Laws, NotTried, Plugin, require, require_attributes
from sm3kit.testing.tensors import ROWS

REFUSED = ["type", "train", "a.b"]  # By torch, as names of modules.
LAWS: Laws[ClassifierTrial] = Laws()


def check_classifier(plugin: Plugin, **options: Any) -> None:
    """Works for one, two and three modalities, with missing ones, and learns what it is shown.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    LAWS.enforce(ClassifierTrial(plugin, options), plugin)


@LAWS.law("builds", first=True)
def builds(trial: ClassifierTrial) -> None:
    """It can be built for any number of modalities, and names its streams."""
    require(
        not (trial.fitted and trial.wants_images), "is fitted, and fits cannot see maps or views"
    )
    for names in trial.modalities:
        classifier = trial.build(names)
        remedy = "call super().__init__(inputs) there, before anything else"
        require_attributes(classifier, ["_modules", "widths", "stream_weights"], remedy)
        streams = trial.batch(names).ask(trial.taught(names).eval())
        for role in ("stream_weights", "decision_weights"):
            unknown = set(getattr(classifier, role)) - set(streams)
            require(not unknown, f"has {role} of {sorted(unknown)}, which are no streams of it")


@LAWS.law("streams")
def named_streams(trial: ClassifierTrial) -> None:
    """Every stream has the logits (B, C) of every label, in training as afterwards."""
    for labels in (LABELS, {"only": ("x", "y", "z")}):
        for names in trial.modalities:
            classifier, batch = trial.build(names, labels=labels), trial.batch(names)
            ways = [batch.ask(classifier.train(mode)) for mode in (True, False)]
            require(bool(ways[0]), "gives no stream")
            require(list(ways[0]) == list(ways[1]), "names other streams in eval mode")
            for name, logits in (item for streams in ways for item in streams.items()):
                shapes = [tuple(rows.shape) for rows in logits]
                wanted = [(len(batch.labels), len(of_label)) for of_label in labels.values()]
                require(shapes == wanted, f"stream {name!r} is {shapes}, not {wanted}")


@LAWS.law("decision")
def probabilities(trial: ClassifierTrial) -> None:
    """Class probabilities are not negative and sum to one, of float64 logits too."""
    for _, classifier, batch in trial.each():
        streams = tensors.without_gradient(batch.ask(classifier.eval()))
        for dtype, rounding in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
            decided = classifier.decide(tensors.each_tensor(streams, partial(_times_three, dtype)))
            require(len(decided) == len(LABELS), "does not decide on every label")
            for rows, logits in zip(decided, next(iter(streams.values())), strict=True):
                require(rows.shape == logits.shape, "decides on other classes than it has")
                require(rows.dtype == dtype, f"turns {dtype} into {rows.dtype} when it decides")
                whole = bool((rows.sum(1) - 1).abs().max() < rounding and rows.min() >= 0)
                require(whole, "decides by probabilities that do not sum to one")


@LAWS.law("extra terms")
def extra_terms(trial: ClassifierTrial) -> None:
    """Terms beside those of the labels are finite numbers, with missing images as well."""
    for names in trial.modalities:
        classifier, batch = trial.taught(names), trial.batch(names)
        missing = [] if trial.joint else [_without_three(names)]
        for present in (batch.present, *missing):
            replace(batch, present=present).ask(classifier.train())
            for name, term in classifier.extra_terms().items():
                require(term.ndim == 0, f"gives a term {name!r} that is no single number")
                require(bool(term.isfinite()), f"gives a term {name!r} that is not finite")


@LAWS.law("input")
def input_stays(trial: ClassifierTrial) -> None:
    """Features, maps and views stay as they were."""
    for _, classifier, batch in trial.each():
        for mode in (True, False):
            table = (batch.features, batch.present, batch.more)
            tensors.leaves_alone(partial(_ask, classifier.train(mode)), table)


@LAWS.law("gradient")
def everything_learns(trial: ClassifierTrial) -> None:
    """A gradient reaches every weight, and the images of every modality."""
    if trial.fitted:
        raise NotTried("it is fitted, not trained")
    for names, classifier, batch in trial.each():
        tensors.all_learn(classifier, batch.loss(classifier.train()))
        for name, images in batch.of_images().items():
            learns = any(t.grad is not None and bool(t.grad.any()) for t in images)
            require(learns, f"gives modality {name!r} of {names} no gradient")


@LAWS.law("batch order")
def any_order(trial: ClassifierTrial) -> None:
    """The order of the studies in a batch does not matter."""
    for names, classifier, batch in trial.each():
        if not trial.joint:
            batch = replace(batch, present=_without_three(names))
        order = tensors.order_of_rows(len(batch.labels))
        first, second = batch.ask(classifier.eval()), batch.of_rows(order).ask(classifier)
        moved = tensors.each_tensor(first, partial(_picked, order))
        require(near(moved, second), tensors.ORDER)


@LAWS.law("names")
def any_names(trial: ClassifierTrial) -> None:
    """Modalities may have any name, such as `type`, `train` and `a.b`, or that of a stream."""
    if trial.joint:
        raise NotTried("it learns from the joint feature")
    taken = list(trial.batch(["a", "b"]).ask(trial.taught(["a", "b"]).eval()))
    for names in (REFUSED, [*dict.fromkeys([*taken, "a"])]):
        try:
            classifier, fresh = trial.taught(names), trial.build(names)
        except (KeyError, TypeError) as error:
            fault = f"cannot be built for modalities named {', '.join(names)}"
            raise Fault(
                f"{fault}: {error}. Keep modules in a NamedModules of sm3kit.api"
            ) from error
        tensors.round_trip(classifier, fresh, trial.batch(names).ask)


@LAWS.law("backbones")
def different_backbones(trial: ClassifierTrial) -> None:
    """Modalities of other widths, or without maps, work or are refused in a sentence."""
    if trial.joint:
        raise NotTried("it learns from the joint feature")
    for other in (replace(trial, wide=("b",)), replace(trial, vectors=("b",))):
        try:
            classifier = other.taught(["a", "b"])
        except SM3Error as error:
            raise NotTried(f"it refuses some: {error}") from error
        streams = other.batch(["a", "b"]).ask(classifier)
        require(finite(streams), "gives logits that are not finite")


@LAWS.law("embeddings")
def label_embeddings(trial: ClassifierTrial) -> None:
    """If it wants them, it stands on the label embeddings of stage 2, where a run has them."""
    if not trial.plugin.wants_embedding:
        raise NotTried("it does not want them")
    embedding = LabelsApart(WIDTH, len(LABELS))
    more = {"embedding": embedding, "prototypes": [None] * len(LABELS)}
    classifier, batch = trial.taught([JOINT], **more), trial.batch([JOINT])
    first = tensors.without_gradient(batch.ask(classifier.eval()))
    require(finite(first), "gives logits that are not finite")
    with torch.no_grad():
        embedding.project.weight.mul_(-1.0)
    require(not near(first, batch.ask(classifier)), "takes no notice of the label embeddings")


@LAWS.law("seed")
def seed_decides(trial: ClassifierTrial) -> None:
    """The same seed gives the same weights and logits."""
    for names in trial.modalities:
        tensors.by_seed(partial(trial.taught, names), trial.batch(names).ask)


@LAWS.law("state")
def state_is_whole(trial: ClassifierTrial) -> None:
    """With its state saved and loaded it is the same."""
    for names, classifier, batch in trial.each():
        tensors.round_trip(classifier, trial.build(names), batch.ask)


@LAWS.law("missing images")
def missing_images(trial: ClassifierTrial) -> None:
    """Absent images count nowhere, whichever are absent; every study has finite logits."""
    if trial.joint:
        raise NotTried("the joint feature is always present")
    step = 3 if trial.wants_images else 1  # Of the ways to be absent, where they take long.
    for names in trial.modalities:
        rows = max(4 // len(names), 2)
        classifier, batch = without_dropout(trial.taught(names)), trial.batch(names, rows)
        for present in islice(tensors.every_presence(names, rows), 0, None, step):
            for mode in (True, False):
                absent_stay_out(classifier.train(mode), replace(batch, present=present))


@LAWS.law("overfits")
def learns_by_heart(trial: ClassifierTrial) -> None:
    """It learns the random classes of 16 random studies."""
    if trial.fitted:
        raise NotTried("it is fitted, not trained")
    overfits(trial, trial.modalities[:2][-1])


@LAWS.law("fits")
def fits_what_is_apart(trial: ClassifierTrial) -> None:
    """It is fitted to classes that lie apart, each time to the same; unknown ones never count."""
    if not trial.fitted:
        raise NotTried("it is trained, not fitted")
    for names in trial.modalities:
        train = studies_apart(trial, names)
        fits_alike(trial, names, train)
        leaves_out_unknown(trial, names, train)


def _without_three(names: Sequence[str]) -> dict[str, Tensor]:
    """Three studies lack the last modality."""
    return {name: (torch.arange(ROWS) > 2) | (name != names[-1]) for name in names}


def _ask(classifier: Classifier, table: tuple[Any, Any, Mapping[str, Any]]) -> Streams:
    features, present, more = table
    return classifier(features, present, **more)  # type: ignore[no-any-return]


def _times_three(dtype: torch.dtype, rows: Tensor) -> Tensor:
    return 3 * rows.to(dtype)


def _picked(order: Tensor, rows: Tensor) -> Tensor:
    return rows[order]

"""Evaluations from the words of a user, and what they measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from sm3kit.evaluation.evaluate import Record
from sm3kit.evaluation.record_text import warnings_of
from sm3kit.evaluation.settings import Protocol, Selection
from sm3kit.python.calls import (
    RunLike,
    Words,
    check_keywords,
    folder_of,
    nest_options,
    surroundings,
    words,
)
from sm3kit.python.measuring import join, measure, prepare
from sm3kit.results.differences import comparison_table
from sm3kit.results.evaluation_table import evaluation_table
from sm3kit.results.table import Table

Split = Literal["train", "val", "test"]
Scope = Literal["auto", "heads", "relation", "layers", "all"]
Stack = Literal["none", "svm"]
Missing = Literal["zeros", "mean", "token", "complete"]
Threshold = Literal["argmax", "f1", "youden"]


class Result:
    """What an evaluation measured; a notebook shows it as a table.

    Attributes:
        record: everything, as in the JSON file of the evaluation.
        protocol: how it was measured: probe, finetune, knn, match or clusters.
        split: what it was measured on.
        labels: {label: {"auc": ..., "sens": ..., ...}}, shares from 0 to 1, with "nmi", "ari" and
            "accuracy" of clusters instead; empty for match.
        mean: {"auc": ..., "sens": ..., ...}, the mean over the labels; empty for match.
        space: of match {space: {"derm->clinic": {"mean_rank": ..., "acc@1": ...}}}; else empty.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.protocol: str = record["protocol"]
        self.split: str = record["split"]
        about = record.get("clusters", record)
        self.labels: Mapping[str, Any] = about.get("labels", {})
        self.mean: Mapping[str, Any] = about.get("mean", {})
        self.space: Mapping[str, Any] = record.get("space", {})

    @property
    def file(self) -> Path | None:
        """The JSON file of the result; None for a comparison, which writes none."""
        return Path(self.record["file"]) if "file" in self.record else None

    @property
    def notes(self) -> list[str]:
        """What to know when reading the numbers, a sentence each."""
        return list(self.record["notes"])

    @property
    def warnings(self) -> list[str]:
        """Why to doubt the numbers, or why some have no interval, a sentence each."""
        return warnings_of(self.record)

    def table(self) -> Table:
        """The table, which can be written as LaTeX, Markdown, HTML or a DataFrame."""
        make = comparison_table if "runs" in self.record else evaluation_table
        return make(self.record)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def __repr__(self) -> str:
        """The protocol, and the mean AUC where there is one."""
        auc = self.mean.get("auc")
        more = "" if auc is None else f", mean AUC {auc:.3f}"
        return f"<{type(self).__name__} of {self.protocol} on {self.split}{more}>"

    def __str__(self) -> str:
        """The table as plain text."""
        return str(self.table())


@check_keywords
def evaluate(
    run: RunLike,
    protocol: Protocol | None = None,
    *,
    split: Split | None = None,
    drop: Words | None = None,
    missing: Missing | None = None,
    select: Selection | None = None,
    data: Words | None = None,
    map: Mapping[str, str] | None = None,
    classifier: str | None = None,
    loss: str | None = None,
    sampler: str | None = None,
    members: int | None = None,
    stack: Stack | None = None,
    threshold: Threshold | None = None,
    scope: Scope | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    feature_views: int | None = None,
    k: int | None = None,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    devices: int = 1,
    num_nodes: int = 1,
    label: str = "",
    compare: RunLike | None = None,
    cache: bool = True,
    quiet: bool = False,
) -> Result:
    """Evaluates the representations of a run, as `sm3kit evaluate` does.

    The result is written to RUN/eval as well, with the classifier that `predict` uses.

    Args:
        run: the run, or its folder.
        protocol: "probe" trains classifiers on frozen features, "finetune" the networks as well,
            "knn" votes among the nearest training studies, "match" ranks the true partners,
            "clusters" compares the pseudo-labels of stage 2 with the true labels; the run's own by
            default, usually probe.
        split: what is measured on; test by default.
        drop: a modality whose images the measured studies lose, or several; "0.5:clinic" takes
            those of half of the studies.
        missing: what stands for an absent modality in the joint feature: "zeros" (the default), the
            "mean" of the training studies, a "token" that is learned, or "complete", a regression
            from the modalities that are there.
        select: how an epoch (or k) is chosen: "val_best" by the validation split (the default),
            "last" not at all, "test_best" by the measured split, which is marked as leaky.
        data: other data than the run's, such as "derm7pt:release_v0"; several are pooled.
        map: {modality of the run: what the data call it}.
        classifier: what learns from the labels: "linear", "logistic", "f4m", or another by name.
        loss: of the logits of a label: "ce", "logit_adjusted", or another by name.
        sampler: which studies make a batch: "shuffle", "label_balanced", or another by name.
        members: networks whose probabilities are averaged.
        stack: "svm" for a support vector machine per label on the probabilities and the metadata.
        threshold: "argmax" predicts the most likely class (the default); "f1" and "youden" every
            class that reaches its threshold, fitted to the validation split.
        scope: what is trained on labels: "heads", "relation", "layers", "all", or "auto".
        epochs: passes over the labelled studies.
        batch_size: studies per step.
        lr: learning rate.
        feature_views: views of each study that a probe encodes once; 0 encodes new ones each epoch.
        k: neighbours of knn, with select="last".
        seed: of heads, order and views; the run's by default.
        options: {"evaluate.weight_decay": 0.01}: more settings of the evaluation, or options of
            data sets and modalities.
        devices: GPUs, or processes on a CPU, that encode images together, and fine-tune together.
        num_nodes: machines.
        label: a name for this evaluation, part of its file names, to keep it beside another of the
            same protocol and split with other settings.
        compare: another run: how much it improves on this one, with paired intervals.
        cache: whether decoded images and features are kept for the next time.
        quiet: show warnings only.

    Returns:
        What was measured: `result.mean["auc"]`, `result.labels`, `result.table()`.

    Raises:
        SM3Error: no such run, or settings or data that do not work; nothing is written.
    """
    asked = {
        "split": split, "drop": words(drop), "missing": missing, "select": select,
        "classifier": classifier, "loss": loss, "sampler": sampler, "members": members,
        "stack": stack, "threshold": threshold, "scope": scope, "epochs": epochs, "lr": lr,
        "batch_size": batch_size, "feature_views": feature_views, "k": k, "seed": seed,
    }  # fmt: skip
    world = join(devices, num_nodes)
    speaks = world is None or world.is_first
    around = surroundings(quiet=quiet or not speaks, cache=cache)
    runs = [run] if compare is None else [run, compare]
    arguments = (
        around,
        protocol,
        asked,
        nest_options(options),
        words(data),
        map,
        "call of evaluate",
        world,
    )
    record = measure([prepare(folder_of(run), *arguments) for run in runs], label)
    if not record:
        raise SystemExit  # What the script does with the result is for the first process alone.
    result = Result(record)
    for sentence in result.warnings:
        around.reporter.warn(sentence)
    return result

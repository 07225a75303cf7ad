"""Weak labels: scores that guide the pseudo-labels of stage 2, and that may be no true labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sm3kit.core import ranges
from sm3kit.core.errors import DataError, SM3Error, VariantError
from sm3kit.core.names import list_names, unknown
from sm3kit.core.options import Option, convert, options_of
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.data.cases import Case
from sm3kit.data.pool import Pool, case_id, source_prefix
from sm3kit.datasets.base import WeakScores
from sm3kit.nn.clustering.weak_targets import WeakTargets
from sm3kit.tables.joining import first_few
from sm3kit.training.preparation import Setup
from sm3kit.training.pseudo_labels.weak_table import read_weak_table

OFFERED = "data"  # The word for what the data sets offer themselves.


def with_weak_labels(setup: Setup) -> tuple[Setup, list[str]]:
    """The setup with what scores say of its labels, where it makes clusters, and notes.

    Raises:
        SM3Error: see `open_weak_labels`.
    """
    if setup.variant.stage == "mmssl" and not setup.variant.samples_clusters:
        return setup, []
    weak, notes = open_weak_labels(setup.variant, setup.pool, setup.cases)
    return dataclasses.replace(setup, weak=weak), notes


def open_weak_labels(
    variant: Variant, pool: Pool, cases: Sequence[Case]
) -> tuple[dict[str, WeakTargets], list[str]]:
    """What scores say of the labels of stage 2, by label, and notes; nothing where none are asked for.

    Args:
        variant: its `stage2.weak` names a table, or the word "data".
        pool: all studies.
        cases: the studies to train on; only those of the split train have weak labels.

    Raises:
        DataError: the table is wrong, or its scores are true labels of the data.
        VariantError: settings that do not go together.
    """
    settings = variant.stage2
    if not settings.weak:
        _refuse_lone_settings(variant)
        return {}, []
    _check_clusterer(variant)
    training = [case for case in cases if case.study.split == "train"]
    notes: list[str] = []
    if settings.weak == OFFERED:
        scores = _offered(pool)
    else:
        file = Path(settings.weak).expanduser()
        _refuse_label_files(file, pool)
        scores, notes = read_weak_table(file, pool, training)
    shares = _shares(variant, scores)
    names = [case_id(pool, case) if case.study.split == "train" else None for case in cases]
    targets = {
        name: WeakTargets.of(
            own.classes,
            _table(own, names),
            settings.weak_temperature,
            shares.get(name, settings.weak_share),
        )
        for name, own in scores.items()
    }
    _refuse_true_labels(variant, targets, pool, cases)
    return targets, [*notes, *_notes(variant, targets)]


def _refuse_lone_settings(variant: Variant) -> None:
    for name in ("weak_seeds", "weak_shares"):
        if getattr(variant.stage2, name):
            raise VariantError(
                f"-o stage2.{name} is about weak labels, and there are none. Add --weak TABLE.csv, "
                "or leave it out."
            )


def _check_clusterer(variant: Variant) -> None:
    """Refuses what cannot make the clusters of a label its classes."""
    settings = variant.stage2
    if settings.pseudo_labels:
        raise VariantError(
            f"--weak guides the labels of the data, and -o stage2.pseudo_labels="
            f"{settings.pseudo_labels} makes others. Leave one of them out."
        )
    clusterer = registry("clusterers").get(variant.clusterer)
    if clusterer.chooses_k:
        raise VariantError(
            f"--clusterer {variant.clusterer} chooses how many clusters there are, and weak labels "
            "need one for each of their classes. Choose another clusterer."
        )
    if settings.weak_seeds and not clusterer.wants_start:
        names = registry("clusterers").names()
        able = [name for name in names if _wants_start(name)]
        raise VariantError(
            f"--clusterer {variant.clusterer} takes no seeds, and -o stage2.weak_seeds="
            f"{settings.weak_seeds} needs one that does: {list_names(able)}."
        )


def _wants_start(name: str) -> bool:
    """Whether a clusterer takes centroids to start from; one that cannot be imported does not."""
    try:
        return bool(registry("clusterers").get(name).wants_start)
    except SM3Error:
        return False


def _refuse_label_files(file: Path, pool: Pool) -> None:
    """Refuses a table that a data set reads its labels from."""
    for source in pool.sources:
        for own in source.dataset.label_files:
            if file.exists() and own.exists() and file.samefile(own):
                raise DataError(
                    f"--weak {file} is where {source.spec} reads its labels from, and weak labels may "
                    "be no labels of the data. Give a table of scores that come from elsewhere."
                )


def _offered(pool: Pool) -> dict[str, WeakScores]:
    """The scores that the data sets offer, named as labels and studies are in the pool."""
    offered: dict[str, WeakScores] = {}
    for number, source in enumerate(pool.sources):
        prefix = source_prefix(pool.sources, number)
        for name, own in source.dataset.weak_scores().items():
            renamed = {f"{prefix}{study}": row for study, row in own.scores.items()}
            offered[f"{prefix}{name}"] = WeakScores(own.classes, renamed, own.makes_label)
    if not offered:
        specs = ", ".join(source.spec for source in pool.sources)
        raise DataError(f"{specs} offers no weak labels. Give a table: --weak TABLE.csv.")
    check_made_labels(pool, list(offered), "stage 2 would learn from them")
    return offered


def check_made_labels(pool: Pool, guided: Sequence[str], why: str) -> None:
    """Refuses labels of the pool that are made from the very scores that guide stage 2.

    Args:
        pool: whose labels results will be measured on.
        guided: the labels that have weak labels.
        why: they must not be measured, a clause.

    Raises:
        VariantError: there are some; the option that leaves them out is named.
    """
    labels = {label.name for label in pool.labels}
    for number, source in enumerate(pool.sources):
        prefix, offered = source_prefix(pool.sources, number), source.dataset.weak_scores()
        own = [name for name, scores in offered.items() if scores.makes_label]
        made = [name for name in own if f"{prefix}{name}" in labels and f"{prefix}{name}" in guided]
        if made:
            kept = [spec.name for spec in source.dataset.labels if spec.name not in made]
            data = source.spec.partition(":")[0]
            way = f"Leave them out: -o {data}.labels={','.join(kept)}"
            if "labels" not in options_of(type(source.dataset)):
                way = "Give other weak labels, or none."
            raise VariantError(
                f"The labels {list_names(made)} of {source.spec} are made from its weak labels, and "
                f"{why}: they cannot be measured. {way}"
            )


def _table(scores: WeakScores, names: Sequence[str | None]) -> Tensor:
    """Scores (N, C) of studies by name; NaN for those that are unknown or have no name."""
    blank = [torch.nan] * len(scores.classes)
    rows = [blank if name is None else scores.scores.get(name, blank) for name in names]
    return torch.tensor([list(row) for row in rows], dtype=torch.float64)


def _shares(variant: Variant, scores: Mapping[str, Any]) -> dict[str, float]:
    """{label: its own share}, of those that have one."""
    shares = {}
    for name, value in variant.stage2.weak_shares.items():
        if name not in scores:
            message = unknown("weak label", name, scores)
            raise VariantError(f"Option -o stage2.weak_shares.{name}: {message}")
        option = Option(f"weak_shares.{name}", ranges.Share, variant.stage2.weak_share)
        shares[name] = float(convert(option, value, "settings of stage 2"))
    return shares


def _refuse_true_labels(
    variant: Variant, targets: Mapping[str, WeakTargets], pool: Pool, cases: Sequence[Case]
) -> None:
    """Refuses scores that are true labels of the data, unless a user says that they are seeds.

    They are taken for one where, on all studies that have both, the class with the highest score
    tells the class of a label, or the other way round.

    Raises:
        DataError: scores are true labels.
    """
    if variant.stage2.weak_seeds:
        return
    for name, target in targets.items():
        for number, label in enumerate(pool.labels):
            truth = torch.tensor([case.labels[number] for case in cases])
            both = (truth >= 0) & (target.best >= 0)
            if _tells(target.best[both], truth[both]) or _tells(truth[both], target.best[both]):
                raise DataError(
                    f"--weak {variant.stage2.weak}: on all {int(both.sum())} studies that have both, "
                    f"the scores of {name} agree with the label {label.name} of the data, which "
                    "weak labels may not be. Leave these scores out; or, if these are few studies "
                    "that were labelled as seeds, add -o stage2.weak_seeds=N, and results will say "
                    "that the run is semi-supervised."
                )


def _tells(first: Tensor, second: Tensor) -> bool:
    """Whether a value of the first (N,) is always with the same of the second, and both vary."""
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    kinds = {one for one, _ in pairs}, {other for _, other in pairs}
    return len(pairs) == len(kinds[0]) and min(map(len, kinds)) > 1


def _notes(variant: Variant, targets: Mapping[str, WeakTargets]) -> list[str]:
    """How many studies have weak labels, and which classes have no seed."""
    counts = [
        f"{name} {int(target.covered.sum())} (share {target.share:g})"
        for name, target in targets.items()
    ]
    notes = [f"Studies with weak labels: {', '.join(counts)}."]
    seeds = variant.stage2.weak_seeds
    if seeds:
        few = []
        for name, target in targets.items():
            chosen = target.chosen_seeds(seeds)
            sizes = [int((chosen == number).sum()) for number in range(len(target.classes))]
            few += [
                f"{name}:{own} {size}"
                for own, size in zip(target.classes, sizes, strict=True)
                if size < seeds
            ]
        if few:
            notes.append(f"Classes with fewer than {seeds} seeds: {first_few(few)}.")
    return notes

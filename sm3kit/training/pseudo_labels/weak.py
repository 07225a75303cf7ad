"""Weak labels: scores that guide the pseudo-labels of stage 2, and that may be no true labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sm3kit.core import ranges
from sm3kit.core.errors import DataError, VariantError
from sm3kit.core.names import unknown
from sm3kit.core.options import Option, convert
from sm3kit.core.variant import Variant
from sm3kit.data.cases import Case
from sm3kit.data.pool import Pool, case_id, source_prefix
from sm3kit.datasets.base import WeakScores
from sm3kit.nn.clustering.weak_targets import WeakTargets
from sm3kit.tables.joining import first_few
from sm3kit.training.preparation import Setup
from sm3kit.training.pseudo_labels.weak_refusals import (
    check_clusterer,
    check_made_labels,
    refuse_label_files,
    refuse_lone_settings,
    refuse_true_labels,
)
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
        refuse_lone_settings(variant)
        return {}, []
    check_clusterer(variant)
    training = [case for case in cases if case.study.split == "train"]
    notes: list[str] = []
    if settings.weak == OFFERED:
        scores = _offered(pool)
    else:
        file = Path(settings.weak).expanduser()
        refuse_label_files(file, pool)
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
    refuse_true_labels(variant, targets, pool, cases)
    return targets, [*notes, *_notes(variant, targets)]


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

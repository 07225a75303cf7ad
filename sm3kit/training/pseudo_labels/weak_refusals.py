"""What weak labels may not be: true labels of the data, or without what makes use of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sm3kit.core.errors import DataError, SM3Error, VariantError
from sm3kit.core.names import list_names
from sm3kit.core.options import options_of
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.data.cases import Case
from sm3kit.data.pool import Pool, source_prefix
from sm3kit.nn.clustering.weak_targets import WeakTargets


def refuse_lone_settings(variant: Variant) -> None:
    """Refuses settings of weak labels where there are none.

    Raises:
        VariantError: there is such a setting.
    """
    for name in ("weak_seeds", "weak_shares"):
        if getattr(variant.stage2, name):
            raise VariantError(
                f"-o stage2.{name} is about weak labels, and there are none. Add --weak TABLE.csv, "
                "or leave it out."
            )


def check_clusterer(variant: Variant) -> None:
    """Refuses what cannot make the clusters of a label its classes.

    Raises:
        VariantError: labels of stage 2, or a clusterer, that do not go with weak labels.
    """
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


def refuse_label_files(file: Path, pool: Pool) -> None:
    """Refuses a table that a data set reads its labels from.

    Raises:
        DataError: it is such a table.
    """
    for source in pool.sources:
        for own in source.dataset.label_files:
            if file.exists() and own.exists() and file.samefile(own):
                raise DataError(
                    f"--weak {file} is where {source.spec} reads its labels from, and weak labels may "
                    "be no labels of the data. Give a table of scores that come from elsewhere."
                )


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


def refuse_true_labels(
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
        own_first = sorted(enumerate(pool.labels), key=lambda pair: pair[1].name != name)
        for number, label in own_first:
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

"""What stands in for an absent modality is fitted to training studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sm3kit.core.errors import DataError, VariantError
from sm3kit.data.cases import Case
from sm3kit.evaluation.choices import learns_in_steps
from sm3kit.evaluation.missing.filling import Filling, LinearFilling, new_filling
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.folds import group_folds

Array = npt.NDArray[Any]
PENALTIES = tuple(10.0**power for power in range(-1, 6))
FOLDS = 5
FITTED = ("mean", "complete")
SHARE_WITH_TOKEN = 0.25
MOST_MODALITIES = 5  # 75 regressions; each further modality more than doubles them.


def hidden_share(settings: Settings) -> float:
    """The share of the images that are hidden in training."""
    if settings.modality_dropout >= 0:
        return settings.modality_dropout
    return SHARE_WITH_TOKEN if settings.missing == "token" else 0.0


def unfitted(settings: Settings, widths: Mapping[str, int]) -> Filling | None:
    """What a network learns with before anything is fitted; None leaves all to the fusion."""
    hidden = hidden_share(settings)
    if settings.missing == "token":
        return new_filling("token", widths, hidden)
    return new_filling("zeros", widths, hidden) if hidden else None


def filling_for(subject: Subject, settings: Settings) -> Filling | None:
    """What stands in for absent modalities of frozen features; None leaves all to the fusion.

    What is fitted, is fitted to the evaluation view of all training studies, labelled or not.
    """
    if settings.missing not in FITTED:
        return unfitted(settings, subject.branches.widths)
    check_count(settings, subject.branches.widths)
    train = subject.features(cases_to_fit(subject, settings))
    widths = subject.branches.widths
    filling = fit_filling(settings, widths, train.whole(), train.present, train.groups)
    return filling.to(subject.device)


def cases_to_fit(subject: Subject, settings: Settings) -> list[Case]:
    """The training studies, labelled or not, that a rule for absent modalities is fitted to.

    Raises:
        DataError: there is none.
    """
    if not subject.pool.cases["train"]:
        raise DataError(
            f"--missing {settings.missing} is fitted to the split train, and "
            f"{', '.join(subject.variant.data)} has no study in it. Use --missing zeros, or add data "
            "that have one."
        )
    return subject.cases("train", labelled=False)


def fit_filling(
    settings: Settings,
    widths: Mapping[str, int],
    features: Mapping[str, Tensor],
    present: Mapping[str, Tensor],
    groups: Tensor,
) -> LinearFilling:
    """The mean of each modality, or its regressions from all sets of the others.

    A modality is estimated from studies that have it and all that it is estimated from. Where there
    is none, or all are of one patient or lesion, the estimate is its mean.

    Source: Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634, ridge regression.

    Args:
        settings: of the evaluation, with the rule "mean" or "complete".
        widths: {modality: D}.
        features: {modality: (N, D)} of the training studies, on the CPU.
        present: {modality: (N,) bool}.
        groups: (N,) codes of patients or lesions.
    """
    filling = new_filling(settings.missing, widths, hidden_share(settings))
    assert isinstance(filling, LinearFilling)
    for name in widths:
        constant, *others = filling.of(name)
        own = present[name]
        if own.any():
            constant.bias.copy_(features[name][own].mean(dim=0, dtype=torch.float64))
        for estimate in others:
            both = torch.stack([own, *(present[n] for n in estimate.widths)]).all(dim=0)
            estimate.bias.copy_(constant.bias)
            if len({*groups[both].tolist()}) < 2:
                continue
            inputs = torch.cat([features[n][both] for n in estimate.widths], dim=1)
            targets = features[name][both]
            weight, bias = ridge(
                inputs.numpy(), targets.numpy(), groups[both].numpy(), settings.seed
            )
            estimate.weight.copy_(torch.from_numpy(weight))
            estimate.bias.copy_(torch.from_numpy(bias))
    return filling


def check_count(settings: Settings, widths: Mapping[str, int]) -> None:
    """Refuses to regress too many modalities, as every set of them has regressions of its own.

    Raises:
        VariantError: there are too many.
    """
    if settings.missing == "complete" and len(widths) > MOST_MODALITIES:
        others = "mean or token" if learns_in_steps(settings) else "mean"
        raise VariantError(
            f"--missing complete has a regression for every set of modalities, so it takes at most "
            f"{MOST_MODALITIES}, and the run has {len(widths)}. Use --missing {others}."
        )


def ridge(
    inputs: Array, targets: Array, groups: Array, seed: int, penalties: Sequence[float] = PENALTIES
) -> tuple[Array, Array]:
    """Weights (d, D) and bias (D,) of a ridge regression on standardised inputs, in float64.

    The penalty has the least squared error in folds that keep patients or lesions together. Each
    fold is summed up once, in matrices whose size does not depend on n, for all penalties.

    Args:
        inputs: (n, d).
        targets: (n, D).
        groups: (n,) codes of patients or lesions, of at least two.
        seed: of the folds.
        penalties: to choose from.
    """
    from sklearn.preprocessing import StandardScaler  # It takes a second to load.

    scaler = StandardScaler(copy=False)
    rows, basis = scaler.fit_transform(inputs.astype(np.float64)), None
    if rows.shape[0] < rows.shape[1]:
        # Weights lie in the space of the studies, so n coordinates in it tell as much as d inputs.
        basis, coordinates = np.linalg.qr(rows.T)
        rows = coordinates.T
    rows = np.hstack([np.ones((len(rows), 1)), rows])  # The weight of the ones is the bias.
    fold = group_folds(groups, np.zeros(len(groups), np.int64), FOLDS, seed)
    parts = [fold == number for number in np.unique(fold)]
    products = np.zeros(())
    for part in parts:
        products = products + _products(rows[part], targets[part])
    errors = np.zeros(len(penalties))
    for part in parts:
        outside = products - _products(rows[part], targets[part])
        for place, penalty in enumerate(penalties):
            error = rows[part] @ _solution(outside, penalty) - targets[part]
            errors[place] += (error**2).mean()
    bias, weight = np.split(_solution(products, penalties[int(errors.argmin())]), [1])
    weight = (weight if basis is None else basis @ weight) / scaler.scale_[:, None]
    return weight, bias[0] - scaler.mean_ @ weight


def _products(rows: Array, targets: Array) -> Array:
    """Those (c, c + D) of the c columns of rows (n, c) with all columns of rows and targets (n, D)."""
    return np.hstack([rows.T @ rows, rows.T @ targets])


def _solution(products: Array, penalty: float) -> Array:
    """The weights (c, D) of a ridge regression, whose first column is not penalised."""
    count = len(products)
    penalised = np.diag([0.0, *[penalty] * (count - 1)])
    solution: Array = np.linalg.solve(products[:, :count] + penalised, products[:, count:])
    return solution

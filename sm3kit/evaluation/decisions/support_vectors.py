"""Support vector machines as tensors: fitted by scikit-learn, evaluated by torch, kept without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from torch import Tensor

from sm3kit.metrics.folds import group_folds

Array = npt.NDArray[Any]
FOLDS = 5


@dataclass(frozen=True, eq=False)
class SupportVectors:
    """One support vector machine with a Gaussian kernel, for one label.

    Two classes at a time are told apart; a logistic link makes probabilities of the decision
    values.

    Attributes:
        vectors: (n, F) support vectors.
        coefficients: (pairs, n), zero outside the two classes of a pair.
        intercept: (pairs,).
        gamma: (), of the kernel exp(-gamma |x - y|^2).
        link, offset: (c, pairs) and (c,), from decision values to logits.
        known: (c,) int64, which classes were in training.
    """

    vectors: Tensor
    coefficients: Tensor
    intercept: Tensor
    gamma: Tensor
    link: Tensor
    offset: Tensor
    known: Tensor

    def state(self) -> dict[str, Tensor]:
        """All tensors by name; `SupportVectors(**state)` is the same machine."""
        return dict(vars(self))

    def decision_values(self, rows: Tensor) -> Tensor:
        """Decision values (N, pairs) of rows (N, F), float64."""
        kernel = (-self.gamma * torch.cdist(rows, self.vectors) ** 2).exp()
        return kernel @ self.coefficients.T + self.intercept

    def probabilities(self, rows: Tensor, classes: int) -> Tensor:
        """Class probabilities (N, C) of rows (N, F); zero for a class that was not in training."""
        logits = self.decision_values(rows) @ self.link.T + self.offset
        table = rows.new_zeros(len(rows), classes)
        table[:, self.known] = logits.softmax(dim=1)
        return table


def fit_support_vectors(
    rows: Array, truth: Array, groups: Array, penalty: float = 1.0, seed: int = 0
) -> SupportVectors | None:
    """Fits a machine to the known studies; None if they have fewer than two classes.

    Source: Tang et al. 2022, doi.org/10.1016/j.media.2021.102307, second stage: scikit-learn's SVC
    with C = 1 and a Gaussian kernel, with probabilities. Platt 1999, Probabilistic outputs for
    support vector machines, for the link: a logistic regression on decision values of studies that
    the machine has not seen.
    Differs from the release: the folds of the link keep patients or lesions together; of more than two
    classes the link is one multinomial regression on all pairs, not libsvm's pairwise coupling.

    Args:
        rows: (N, F).
        truth: (N,), -1 where unknown.
        groups: (N,), the patient or lesion of each study.
        penalty: C of the machine.
        seed: of the folds of the link.
    """
    known = truth >= 0
    rows, truth, groups = rows[known].astype(np.float64), truth[known], groups[known]
    present = np.unique(truth)
    if len(present) < 2:
        return None
    variance = float(rows.var())
    gamma = 1 / (rows.shape[1] * variance) if variance else 1.0  # What "scale" means there.

    def machine(part: Array) -> SVC:
        svc = SVC(C=penalty, kernel="rbf", gamma=gamma, decision_function_shape="ovo")
        svc.fit(rows[part], truth[part])
        return svc

    whole = machine(np.ones(len(rows), bool))
    weights, offset = _link(*_unseen_values(machine, whole, rows, truth, groups, seed))
    state = {
        "vectors": whole.support_vectors_,
        "coefficients": np.stack(list(_pair_coefficients(whole))),
        "intercept": whole.intercept_,
        "gamma": np.array(gamma),
        "link": weights,
        "offset": offset,
        "known": present.astype(np.int64),
    }
    return SupportVectors(**{name: torch.from_numpy(np.array(v)) for name, v in state.items()})


def _pair_coefficients(machine: SVC) -> Iterator[Array]:
    """Coefficients (n,) of all support vectors for each pair of classes.

    scikit-learn keeps those of a class's vectors against the others in the rows of `dual_coef_`.
    """
    ends = np.cumsum([0, *machine.n_support_])
    own = [slice(*pair) for pair in pairwise(ends)]
    for first, second in combinations(range(len(own)), 2):
        coefficients = np.zeros(ends[-1])
        coefficients[own[first]] = machine.dual_coef_[second - 1, own[first]]
        coefficients[own[second]] = machine.dual_coef_[first, own[second]]
        yield coefficients


def _unseen_values(
    machine: Callable[[Array], SVC],
    whole: SVC,
    rows: Array,
    truth: Array,
    groups: Array,
    seed: int,
) -> tuple[Array, Array]:
    """Decision values of studies by machines that have not seen them, and the truth of these.

    A fold is left out where the others lack a class. If that leaves a class without a value, as it
    does where a class is of one patient alone, the values of the whole machine stand for all.
    """
    fold = group_folds(groups, truth, FOLDS, seed)
    values: list[Array] = []
    of: list[Array] = []
    for number in np.unique(fold):
        out = fold == number
        if len(np.unique(truth[~out])) == len(whole.classes_):
            values.append(_columns(machine(~out), rows[out]))
            of.append(truth[out])
    if not of or len(np.unique(np.concatenate(of))) < len(whole.classes_):
        return _columns(whole, rows), truth
    return np.concatenate(values), np.concatenate(of)


def _columns(machine: SVC, rows: Array) -> Array:
    values: Array = machine.decision_function(rows)
    return values.reshape(len(rows), -1)


def _link(values: Array, truth: Array) -> tuple[Array, Array]:
    """Weights (c, pairs) and offsets (c,) of a logistic regression on decision values."""
    link = LogisticRegression(max_iter=1000).fit(values, truth)
    if len(link.classes_) > 2:
        return link.coef_, link.intercept_
    # One row stands for the second class against the first.
    sign = np.array([-0.5, 0.5])
    return sign[:, None] * link.coef_, sign * link.intercept_

"""Logistic regression by scikit-learn, fitted at once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sm3kit.classifiers.base import JOINT, Classifier, ClassifierInputs, LabelledFeatures, Streams
from sm3kit.core.errors import DataError, OptionError
from sm3kit.core.ranges import Range

Array = npt.NDArray[Any]
GRID = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
NEVER = -30.0  # The logit of a class without any training study.


class Logistic(Classifier):
    """Multinomial logistic regression of each label, on standardised features.

    Fitted to the joint feature of frozen networks within seconds. C, the inverse strength of the
    penalty, is chosen by the mean AUC of all classes on the split that chooses; among equals by
    the likelihood. Without such a split C is 1 / J for a joint feature of width J.

    Source: Pedregosa et al. 2011, JMLR 12, `LogisticRegression` and `StandardScaler` of
    scikit-learn; as a probe of frozen features, Radford et al. 2021, arXiv:2103.00020, section 3.2.
    Differs from the paper: C is chosen from a few values, not by a binary search, and by the AUC.
    Where there are fewer studies than features, these are rotated into the space that the studies
    span, which leaves the solution as it is. A label of which the studies know one class is
    always of that class, and all classes of one that they do not know are alike.

    Args:
        inputs: what it is built for.
        C: for all labels; 0 chooses it.
        grid: what it is chosen from.
        choice: one C for all labels, or one for each label.
        balanced: whether studies weigh inversely to how common their class is.

    Raises:
        OptionError: there is nothing to choose from.
    """

    on: ClassVar[Literal["modalities", "joint"]] = "joint"
    learns: ClassVar[Literal["gradient", "fit"]] = "fit"
    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        inputs: ClassifierInputs,
        *,
        C: Annotated[float, Range(1e-9, 1e6, also=(0,))] = 0.0,
        grid: Annotated[tuple[float, ...], Range(1e-9, 1e6)] = GRID,
        choice: Literal["all", "label"] = "all",
        balanced: bool = False,
    ) -> None:
        super().__init__(inputs)
        if not grid:
            raise OptionError("logistic.grid needs at least one value of C, such as 0.001.")
        self.C, self.grid, self.choice, self.balanced = C, sorted(grid), choice, balanced
        self.labels, width = list(inputs.labels), inputs.widths[JOINT]
        self.register_buffer("mean", torch.zeros(len(self.classes), width))
        self.register_buffer("scale", torch.ones(len(self.classes), width))
        # Weights that labels reach, though not by gradients.
        self.weight = nn.Parameter(torch.zeros(sum(self.classes), width), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(sum(self.classes)), requires_grad=False)

    def forward(
        self, features: Mapping[str, Tensor], present: Mapping[str, Tensor], **more: Any
    ) -> Streams:
        """Logits of the one stream "joint"."""
        ends = list(accumulate(self.classes))
        places = [slice(end - count, end) for end, count in zip(ends, self.classes, strict=True)]
        rows = [(features[JOINT] - m) / s for m, s in zip(self.mean, self.scale, strict=True)]
        logits = [
            label @ self.weight[place].T + self.bias[place]
            for label, place in zip(rows, places, strict=True)
        ]
        return {JOINT: logits}

    @torch.no_grad()
    def fit(self, train: LabelledFeatures, choosing: LabelledFeatures | None) -> dict[str, float]:
        """Fits every label.

        Raises:
            DataError: no AUC that C could be chosen by is defined.
        """
        candidates = [self.C or 1 / self.weight.shape[1]]
        if not self.C and choosing is not None:
            candidates = self.grid
        paths = self._paths(train, candidates)
        chosen = [0] * len(paths)
        if len(candidates) > 1 and choosing is not None:
            chosen = self._choose(paths, choosing)
        best = [solutions[place] for solutions, place in zip(paths, chosen, strict=True)]
        for name in ("mean", "scale", "weight", "bias"):
            parts = [torch.from_numpy(getattr(solution, name)) for solution in best]
            whole = torch.stack(parts) if name in ("mean", "scale") else torch.cat(parts)
            getattr(self, name).copy_(whole)
        if self.choice == "all" or len(candidates) == 1:
            return {"C": candidates[chosen[0]]}
        named = zip(self.labels, chosen, strict=True)
        return {f"C/{label}": candidates[place] for label, place in named}

    def _paths(self, train: LabelledFeatures, candidates: Sequence[float]) -> list[list[Solution]]:
        """Solutions of every label, one for each C, rising."""
        spaces: dict[bytes, Space] = {}  # Labels that the same studies know share one.
        paths = []
        for label, count in enumerate(self.classes):
            known = train.labels[:, label] >= 0
            shared = known.cpu().numpy().tobytes()
            if shared not in spaces:
                spaces[shared] = Space.of(train.features[JOINT][known].double().cpu().numpy())
            classes = train.labels[known, label].cpu().numpy()
            paths.append(spaces[shared].solve(classes, count, candidates, self.balanced))
        return paths

    def _choose(self, paths: Sequence[Sequence[Solution]], choosing: LabelledFeatures) -> list[int]:
        """The place of the best C for every label.

        Raises:
            DataError: no AUC is defined.
        """
        scores = np.full((len(paths), len(paths[0]), 2), np.nan)  # AUC, log-likelihood
        for label, solutions in enumerate(paths):
            known = choosing.labels[:, label] >= 0
            if not known.any():
                continue
            rows = choosing.features[JOINT][known].double().cpu().numpy()
            classes = choosing.labels[known, label].cpu().numpy()
            scores[label] = [_scores(solution, rows, classes) for solution in solutions]
        if np.isnan(scores[..., 0]).all():
            raise DataError(
                "No label has two classes in the split that chooses C of the classifier "
                "'logistic'. Set it with -o logistic.C=0.001."
            )
        together = _best(np.nanmean(scores[~np.isnan(scores[..., 0]).any(1)], axis=0))
        if self.choice == "all":
            return [together] * len(paths)
        return [together if np.isnan(s).any() else _best(s) for s in scores]


@dataclass(frozen=True)
class Solution:
    """A fitted label: mean and scale (D,) of its features, weight (C, D) and bias (C,)."""

    mean: Array
    scale: Array
    weight: Array
    bias: Array


@dataclass(frozen=True)
class Space:
    """Standardised rows, and a basis of the space that they span.

    Attributes:
        mean, scale: (D,) of the features.
        rows: (N, R) in that basis.
        basis: (D, R), orthonormal; None where the features themselves serve.
    """

    mean: Array
    scale: Array
    rows: Array
    basis: Array | None

    @classmethod
    def of(cls, rows: Array) -> Space:
        """The space of rows (N, D); with fewer rows than features it has as many axes as rows."""
        from sklearn.preprocessing import StandardScaler  # It takes a second to load.

        if not len(rows):
            return cls(np.zeros(rows.shape[1]), np.ones(rows.shape[1]), rows, None)
        scaler = StandardScaler()
        standard = scaler.fit_transform(rows)
        if rows.shape[0] >= rows.shape[1]:
            return cls(scaler.mean_, scaler.scale_, standard, None)
        left, lengths, basis = np.linalg.svd(standard, full_matrices=False)
        return cls(scaler.mean_, scaler.scale_, left * lengths, basis.T)

    def solve(
        self, classes: Array, count: int, candidates: Sequence[float], balanced: bool
    ) -> list[Solution]:
        """The solution for each C, each started from the one before.

        Args:
            classes: (N,) of the rows.
            count: of classes, of which some may have no row.
            candidates: values of C, rising.
            balanced: as of the classifier.
        """
        from sklearn.linear_model import LogisticRegression

        present = np.unique(classes)
        if len(present) < 2:  # There is nothing to tell apart.
            bias = np.full(count, NEVER)
            bias[present if len(present) else slice(None)] = 0.0
            nothing = np.zeros((count, len(self.mean)))
            return [Solution(self.mean, self.scale, nothing, bias)] * len(candidates)
        # Newton's method: precise for weak penalties, too, and the fastest in a small space.
        model = LogisticRegression(
            solver="newton-cg",
            tol=1e-8,
            max_iter=1000,
            warm_start=True,
            class_weight="balanced" if balanced else None,
        )
        solutions = []
        for candidate in candidates:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Of steps that rounding cannot make smaller.
                model.set_params(C=candidate).fit(self.rows, classes)
            weight, bias = np.zeros((count, self.rows.shape[1])), np.full(count, NEVER)
            weight[model.classes_] = _of_both(model.coef_)
            bias[model.classes_] = _of_both(model.intercept_)
            whole = weight if self.basis is None else weight @ self.basis.T
            solutions.append(Solution(self.mean, self.scale, whole, bias))
        return solutions


def _of_both(values: Array) -> Array:
    """Weights of all classes; of two, scikit-learn gives those of the second against the first."""
    return np.concatenate([-values / 2, values / 2]) if len(values) == 1 else values


def _scores(solution: Solution, rows: Array, classes: Array) -> tuple[float, float]:
    """The mean AUC of the classes, each against the rest, and the mean log-likelihood."""
    from sklearn.metrics import roc_auc_score

    logits = (rows - solution.mean) / solution.scale @ solution.weight.T + solution.bias
    logs = torch.from_numpy(logits).log_softmax(dim=1).numpy()
    there = [c for c in range(logs.shape[1]) if 0 < (classes == c).sum() < len(classes)]
    if not there:
        return np.nan, np.nan
    aucs = [roc_auc_score(classes == number, logs[:, number]) for number in there]
    return float(np.mean(aucs)), float(logs[np.arange(len(classes)), classes].mean())


def _best(scores: Array) -> int:
    """The place of the highest AUC in (G, 2); among equals, of the highest likelihood."""
    places = range(len(scores))
    return max(places, key=lambda place: (round(scores[place, 0], 9), scores[place, 1]))

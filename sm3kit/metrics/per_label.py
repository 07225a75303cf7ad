"""Every metric of one label, for one weighting of its cases or for thousands at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from sm3kit.core.errors import DataError
from sm3kit.metrics.calls import accuracy, count_calls, of_class, over_classes, ratio

Array = npt.NDArray[Any]

METRICS = (
    "auc",
    "sens",
    "spec",
    "prec",
    "auprc",
    "balanced_accuracy",
    "macro_f1",
    "sens_at_90_spec",
    "accuracy",
)


@overload
def label_metrics(
    scores: Array,
    truth: Array,
    reported: int,
    weights: None = None,
    thresholds: Array | None = None,
) -> dict[str, float]:
    """One value per metric."""


@overload
def label_metrics(
    scores: Array, truth: Array, reported: int, weights: Array, thresholds: Array | None = None
) -> dict[str, Array]:
    """One value per metric and weighting."""


def label_metrics(
    scores: Array,
    truth: Array,
    reported: int,
    weights: Array | None = None,
    thresholds: Array | None = None,
) -> dict[str, float] | dict[str, Array]:
    """Every metric of METRICS for one label; NaN where the truth leaves it undefined.

    | metric | of | undefined without |
    |---|---|---|
    | auc | the reported class against the rest; ties count half | positives, negatives |
    | auprc | the same: average precision, one step per distinct score | positives |
    | sens_at_90_spec | the best sensitivity of the thresholds with specificity >= 0.9 | positives, negatives |
    | sens | calls: recall of the reported class | positives |
    | spec | calls: share of the negatives not called positive | negatives |
    | prec | calls: 0 if nothing is called positive | positives |
    | balanced_accuracy | calls: mean recall of the classes in the truth | known cases |
    | macro_f1 | calls: mean F1 of the classes in the truth | known cases |
    | accuracy | calls: share of the cases called right | known cases |

    A case is called its most likely class; with thresholds, each class whose threshold it reaches,
    see `sm3kit.metrics.calls`. So it depends on truth and weights alone, never on the scores, which metrics are defined.

    Source: Wang et al. 2025, tables 1 to 4: auc, sens, spec and prec; Hanley and McNeil 1982,
    doi.org/10.1148/radiology.143.1.7063747: the AUC as the share of pairs in the right order.
    Differs from the paper: NaN, where its torchmetrics gives 0 for a class without any case.

    Args:
        scores: (N, C), finite; higher is more likely. The first of equal scores is the argmax.
        truth: (N,), the index of the class, -1 where unknown: such a case counts nowhere.
        reported: index of the class that is reported against the rest.
        weights: (R, N), how often each case counts: integers, 0 or more.
        thresholds: (C,), as for `called_classes`; None calls the argmax.

    Returns:
        {metric: value}, or with weights {metric: (R,)}, a value for each weighting.

    Raises:
        DataError: the scores of a known case are not finite: NaN is neither higher nor lower.
    """
    scores, truth, weights, single = _known_cases(scores, truth, weights)
    metrics = _all_metrics(scores, truth, reported, weights, thresholds)
    return {name: float(values[0]) for name, values in metrics.items()} if single else metrics


def mean_metrics(
    scores: Array,
    truth: Array,
    classes: Sequence[int],
    weights: Array,
    thresholds: Array | None = None,
) -> dict[str, Array]:
    """The mean over some classes of every metric, each class against the rest.

    A class whose metric is undefined is left out of that mean. Balanced accuracy and macro F1 are
    means over these classes alone; accuracy is of all known cases.

    Source: Hand and Till 2001, doi.org/10.1023/A:1010920819831, on AUC with several classes; the
    plain mean over the classes, as scikit-learn's "macro" and "ovr".

    Args:
        scores, truth, weights, thresholds: as for `label_metrics`.
        classes: indices of the classes; without any, nothing is defined.

    Returns:
        {metric: (R,)}, a value for each weighting.

    Raises:
        DataError: as from `label_metrics`.
    """
    if not classes:
        return {name: np.full(len(weights), np.nan) for name in METRICS}
    scores, truth, weights, _ = _known_cases(scores, truth, weights)
    counts = count_calls(scores, truth, weights, thresholds)
    by_class = [
        _of_ranking(scores[:, index], truth == index, weights) | of_class(counts, index)
        for index in classes
    ]
    means = {
        name: mean_of_defined(np.stack([metrics[name] for metrics in by_class]))
        for name in by_class[0]
    }
    means |= over_classes(counts, classes) | accuracy(counts)
    return {name: means[name] for name in METRICS}


def mean_of_defined(values: Array) -> Array:
    """Means (R,) of values (n, R) that are not NaN; NaN where none is."""
    counts = (~np.isnan(values)).sum(0)
    sums = np.nansum(values, axis=0)
    means: Array = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means


def support(truth: Array, reported: int | None, classes: int) -> dict[str, Any]:
    """How many cases stand behind the metrics of a label.

    Args:
        truth: (N,), the index of the class, -1 where unknown.
        reported: index of the reported class; None if there is no such.
        classes: number of classes.

    Returns:
        {"positives": of the reported class or None, "known": of any, "classes": {index: of each}}.
    """
    counts = np.bincount(truth[truth >= 0], minlength=classes).tolist()
    return {
        "positives": None if reported is None else counts[reported],
        "known": sum(counts),
        "classes": dict(enumerate(counts)),
    }


def _known_cases(
    scores: Array, truth: Array, weights: Array | None
) -> tuple[Array, Array, Array, bool]:
    """Scores, truth and weights of the known cases, and whether all cases count once."""
    known = truth >= 0
    scores, truth = scores[known], truth[known]
    wrong = int((~np.isfinite(scores)).any(1).sum())
    if wrong:
        raise DataError(
            f"Metrics need finite scores, and those of {wrong} of {len(scores)} cases are not. "
            "The training has diverged: lower its learning rate."
        )
    if weights is None:
        return scores, truth, np.ones((1, len(truth))), True
    # Sums of integers are exact in float64.
    return scores, truth, weights[:, known].astype(np.float64), False


def _all_metrics(
    scores: Array, truth: Array, reported: int, weights: Array, thresholds: Array | None
) -> dict[str, Array]:
    counts = count_calls(scores, truth, weights, thresholds)
    metrics = _of_ranking(scores[:, reported], truth == reported, weights)
    metrics |= of_class(counts, reported) | over_classes(counts) | accuracy(counts)
    return {name: metrics[name] for name in METRICS}


def _of_ranking(score: Array, positive: Array, weights: Array) -> dict[str, Array]:
    """The metrics that go through all thresholds; score (N,), positive (N,), weights (R, N)."""
    ours, hits = _running(score[positive], weights[:, positive])
    others, alarms = _running(score[~positive], weights[:, ~positive])
    positives, negatives = hits[:, -1], alarms[:, -1]
    # Only thresholds at the score of a positive change any of these metrics.
    levels = np.unique(ours)
    tp = hits[:, np.searchsorted(ours, levels, "right")]  # (R, levels)
    fp = alarms[:, np.searchsorted(others, levels, "right")]
    fp_above = alarms[:, np.searchsorted(others, levels, "left")]
    at_level = np.diff(tp, axis=1, prepend=0)
    ranked_lower = negatives[:, None] - (fp + fp_above) / 2
    specific = 10 * fp <= negatives[:, None]  # In integers: 1 - fp / negatives would be rounded.
    return {
        "auc": ratio((at_level * ranked_lower).sum(1), positives * negatives),
        "auprc": ratio((at_level * ratio(tp, tp + fp, 0.0)).sum(1), positives),
        "sens_at_90_spec": ratio(
            (at_level * specific).sum(1), np.where(negatives > 0, positives, 0)
        ),
    }


def _running(score: Array, weights: Array) -> tuple[Array, Array]:
    """The negated scores in order, and the weight before each place (R, n + 1)."""
    order = np.argsort(-score, kind="stable")
    sums = np.zeros((len(weights), len(score) + 1))
    np.cumsum(weights[:, order], axis=1, out=sums[:, 1:])
    return -score[order], sums

"""Every metric of one label, for one weighting of its cases or for thousands at once."""

from __future__ import annotations

import math
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from sm3kit.core.errors import DataError

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
    scores: Array, truth: Array, reported: int, weights: None = None
) -> dict[str, float]:
    """One value per metric."""


@overload
def label_metrics(scores: Array, truth: Array, reported: int, weights: Array) -> dict[str, Array]:
    """One value per metric and weighting."""


def label_metrics(
    scores: Array, truth: Array, reported: int, weights: Array | None = None
) -> dict[str, float] | dict[str, Array]:
    """Every metric of METRICS for one label; NaN where the truth leaves it undefined.

    | metric | of | undefined without |
    |---|---|---|
    | auc | the reported class against the rest; ties count half | positives, negatives |
    | auprc | the same: average precision, one step per distinct score | positives |
    | sens_at_90_spec | the best sensitivity of the thresholds with specificity >= 0.9 | positives, negatives |
    | sens | argmax: recall of the reported class | positives |
    | spec | argmax: share of the negatives not called positive | negatives |
    | prec | argmax: 0 if nothing is called positive | positives |
    | balanced_accuracy | argmax: mean recall of the classes in the truth | known cases |
    | macro_f1 | argmax: mean F1 of the classes in the truth | known cases |
    | accuracy | argmax: share of the cases called right | known cases |

    So it depends on truth and weights alone, never on the scores, which metrics are defined.

    Source: Wang et al. 2025, tables 1 to 4: auc, sens, spec and prec; Hanley and McNeil 1982,
    doi.org/10.1148/radiology.143.1.7063747: the AUC as the share of pairs in the right order.
    Differs from the paper: NaN, where its torchmetrics gives 0 for a class without any case.

    Args:
        scores: (N, C), finite; higher is more likely. The first of equal scores is the argmax.
        truth: (N,), the index of the class, -1 where unknown: such a case counts nowhere.
        reported: index of the class that is reported against the rest.
        weights: (R, N), how often each case counts: integers, 0 or more.

    Returns:
        {metric: value}, or with weights {metric: (R,)}, a value for each weighting.

    Raises:
        DataError: the scores of a known case are not finite: NaN is neither higher nor lower.
    """
    known = truth >= 0
    scores, truth = scores[known], truth[known]
    wrong = int((~np.isfinite(scores)).any(1).sum())
    if wrong:
        raise DataError(
            f"Metrics want finite scores, and those of {wrong} of {len(scores)} cases are not. "
            "The training has diverged: lower its learning rate."
        )
    if weights is None:
        single = _all_metrics(scores, truth, reported, np.ones((1, len(truth))))
        return {name: float(values[0]) for name, values in single.items()}
    # Sums of integers are exact in float64.
    return _all_metrics(scores, truth, reported, weights[:, known].astype(np.float64))


def support(truth: Array, reported: int, classes: int) -> dict[str, Any]:
    """How many cases stand behind the metrics of a label.

    Args:
        truth: (N,), the index of the class, -1 where unknown.
        reported: index of the reported class.
        classes: number of classes.

    Returns:
        {"positives": of the reported class, "known": of any, "classes": {index: of each}}.
    """
    counts = np.bincount(truth[truth >= 0], minlength=classes).tolist()
    return {
        "positives": counts[reported],
        "known": sum(counts),
        "classes": dict(enumerate(counts)),
    }


def _all_metrics(scores: Array, truth: Array, reported: int, weights: Array) -> dict[str, Array]:
    found = _of_ranking(scores[:, reported], truth == reported, weights)
    found |= _of_argmax(scores, truth, reported, weights)
    return {name: found[name] for name in METRICS}


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
        "auc": _ratio((at_level * ranked_lower).sum(1), positives * negatives),
        "auprc": _ratio((at_level * _ratio(tp, tp + fp, 0.0)).sum(1), positives),
        "sens_at_90_spec": _ratio(
            (at_level * specific).sum(1), np.where(negatives > 0, positives, 0)
        ),
    }


def _running(score: Array, weights: Array) -> tuple[Array, Array]:
    """The negated scores in order, and the weight before each place (R, n + 1)."""
    order = np.argsort(-score, kind="stable")
    sums = np.zeros((len(weights), len(score) + 1))
    np.cumsum(weights[:, order], axis=1, out=sums[:, 1:])
    return -score[order], sums


def _of_argmax(scores: Array, truth: Array, reported: int, weights: Array) -> dict[str, Array]:
    """The metrics of the most likely class; scores (N, C), truth (N,), weights (R, N)."""
    one_hot = np.eye(scores.shape[1])
    true, called = one_hot[truth], one_hot[scores.argmax(1)]
    sums = weights @ np.concatenate([true, called, true * called], axis=1)
    actual, predicted, correct = np.split(sums, 3, axis=1)  # (R, C) each
    total, present = actual.sum(1), actual > 0
    positives, tp = actual[:, reported], correct[:, reported]
    negatives, fp = total - positives, predicted[:, reported] - tp
    f1 = np.where(present, _ratio(2 * correct, actual + predicted, 0.0), 0)
    return {
        "sens": _ratio(tp, positives),
        "spec": _ratio(negatives - fp, negatives),
        "prec": np.where(positives > 0, _ratio(tp, tp + fp, 0.0), np.nan),
        "balanced_accuracy": _ratio(_ratio(correct, actual, 0.0).sum(1), present.sum(1)),
        "macro_f1": _ratio(f1.sum(1), present.sum(1)),
        "accuracy": _ratio(correct.sum(1), total),
    }


def _ratio(top: Array, bottom: Array, empty: float = math.nan) -> Array:
    """Quotients, with the value `empty` where the bottom is zero."""
    quotients: Array = np.full(top.shape, empty)
    return np.divide(top, bottom, out=quotients, where=bottom > 0)

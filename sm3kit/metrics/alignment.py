"""Two runs that may be compared: the same cases, labels and truth, in the same order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.core.errors import DataError
from sm3kit.metrics.predictions import LabelScores, Predictions

Array = npt.NDArray[Any]
AGAIN = "Predict the same split of the same data with both."


def align(first: Predictions, second: Predictions) -> Predictions:
    """The second run's predictions in the order of the first's cases.

    Raises:
        DataError: the two did not predict the same cases, labels, classes, truth or groups.
    """
    ours, theirs = set(first.ids.tolist()), set(second.ids.tolist())
    if ours != theirs:
        strange = min(ours ^ theirs)
        raise DataError(
            "A comparison wants two runs on the same cases. "
            f"{len(ours - theirs)} of {len(ours)} cases are only in the first and "
            f"{len(theirs - ours)} of {len(theirs)} only in the second, for example {strange!r}. "
            f"{AGAIN}"
        )
    place = {name: row for row, name in enumerate(second.ids.tolist())}
    second = second.take(np.array([place[name] for name in first.ids.tolist()]))
    if set(first.labels) != set(second.labels):
        raise DataError(
            f"A comparison wants the same labels, not {', '.join(sorted(first.labels))} and "
            f"{', '.join(sorted(second.labels))}. {AGAIN}"
        )
    if first.min_positives != second.min_positives:
        raise DataError(
            "A comparison wants one min_positives for both, not "
            f"{first.min_positives} and {second.min_positives}. Evaluate one of them again with "
            f"-o evaluate.min_positives={first.min_positives}."
        )
    for name, label in first.labels.items():
        _check_same(name, label, second.labels[name], first.ids)
    different = np.flatnonzero(first.groups != second.groups)
    if len(different):
        row = different[0]
        raise DataError(
            f"A comparison wants the same groups: case {str(first.ids[row])!r} is of "
            f"{str(first.groups[row])!r} in the first and of {str(second.groups[row])!r} in the "
            f"second. {AGAIN}"
        )
    return second


def _check_same(name: str, ours: LabelScores, theirs: LabelScores, ids: Array) -> None:
    if (ours.classes, ours.reported) != (theirs.classes, theirs.reported):
        raise DataError(
            f"A comparison wants the same classes of label {name!r}, not {', '.join(ours.classes)} "
            f"(reported: {ours.reported or 'all'}) and {', '.join(theirs.classes)} "
            f"(reported: {theirs.reported or 'all'}). {AGAIN}"
        )
    different = np.flatnonzero(ours.truth != theirs.truth)
    if len(different):
        raise DataError(
            f"A comparison wants the same truth, but label {name!r} differs in {len(different)} "
            f"of {len(ids)} cases, first {str(ids[different[0]])!r}. {AGAIN}"
        )

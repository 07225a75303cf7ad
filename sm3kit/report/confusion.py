"""Confusion matrix of one label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sm3kit.metrics.predictions import LabelScores
from sm3kit.report.matrix import fill, matrix_sheet
from sm3kit.results.picture import Picture, look


def confusion(label: LabelScores) -> npt.NDArray[np.int64]:
    """Counts (C, C): rows are the true classes, columns what the studies are called.

    By thresholds a study may be called several classes, or none.
    """
    known = label.truth >= 0
    true = np.eye(len(label.classes), dtype=np.int64)[label.truth[known]]
    counts: npt.NDArray[np.int64] = true.T @ label.called[known].astype(np.int64)
    return counts


@look()
def confusion_picture(name: str, label: LabelScores, protocol: str) -> Picture:
    """The matrix as a picture: counts, shaded by the share of the row."""
    counts = confusion(label)
    true = label.truth[label.truth >= 0]
    sizes = np.bincount(true, minlength=len(label.classes))
    shares = counts / np.maximum(sizes[:, None], 1)
    figure, panel, cell = matrix_sheet(label.classes, 0.4)
    fill(
        panel,
        cell,
        shares,
        label.classes,
        lambda row, column: _in_words(counts[row, column], shares[row, column]),
        8 if cell >= 0.4 else 6,
    )
    panel.set_xlabel("predicted class")
    panel.set_ylabel("true class")
    exact = label.called[label.truth >= 0] == np.eye(len(label.classes), dtype=bool)[true]
    right = int(exact.all(1).sum())
    never = [name for name, count in zip(label.classes, counts.sum(0), strict=True) if not count]
    absent = [name for name, count in zip(label.classes, sizes, strict=True) if not count]
    notes = f" Never predicted: {', '.join(never)}." if never else ""
    notes += f" Classes without studies: {', '.join(absent)}." if absent else ""
    columns = "the predicted (most likely) class"
    if label.thresholds is not None:
        columns = "the classes whose thresholds are reached, which may be several or none"
    rows = "; ".join(
        f"{true}: "
        + ", ".join(f"{n} as {called}" for n, called in zip(row, label.classes, strict=True) if n)
        for true, row in zip(label.classes, counts, strict=True)
        if row.any()
    )
    return Picture(
        f"confusion-{name}",
        f"Confusion matrix of {name}",
        f"{right} of {len(true)} studies are classified correctly. {rows}.",
        f"{protocol}. Rows are true classes, columns {columns}; each cell has the number of "
        f"studies and its share of the row. Dark cells on the diagonal are correct.{notes}",
        figure,
    )


def _in_words(count: int, share: float) -> str:
    return f"{count}\n{100 * share:.0f} %" if count else "0"

"""What the pseudo-labels of stage 2 have in common, in its first epoch and in its last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sm3kit.core.errors import CheckpointError
from sm3kit.report.matrix import SMALLEST, cut, fill, name_room
from sm3kit.results.lettering import SMALL
from sm3kit.results.picture import COLUMN, PAGE, TWO_COLUMNS, Picture, look, sheet
from sm3kit.runs.epoch_rows import Rows, of_stage, series

Array = npt.NDArray[Any]
TRUE = "true label"
LARGEST, ENOUGH = 0.5, 0.4  # Inches of a cell at most, and that its number wants.
BETWEEN, ABOVE = 0.35, 0.35  # Inches between the two matrices, and for their titles.


@dataclass(frozen=True, eq=False)
class Agreement:
    """The NMI of the clusters of each label with those of the others, and with its true classes.

    Attributes:
        labels: K names.
        epochs: numbers of the first and of the last epoch.
        matrices: (K, K + 1) of each; NaN on the diagonal, and where the true label is not known.
    """

    labels: tuple[str, ...]
    epochs: tuple[int, int]
    matrices: tuple[Array, Array]


def read_agreement(file: Path, rows: Rows) -> Agreement | None:
    """The agreement of the pseudo-labels in the checkpoint of stage 2.

    Args:
        file: `mlssl.ckpt`; the weights in it are not read.
        rows: of metrics.csv, which have the NMI with the true labels.

    Returns:
        None without stage 2, for a single label, and for runs of versions that kept no pseudo-labels
        of the first epoch.

    Raises:
        CheckpointError: the file is damaged.
    """
    rows = of_stage(rows, "mlssl")
    if not rows or not file.is_file():
        return None
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        labels = tuple(content["labels"])
        partitions = [
            content[name].long() for name in ("first_assigned", "assigned") if name in content
        ]
    except Exception as error:  # What a damaged file raises has no common base.
        raise CheckpointError(f"{file} cannot be read. Train the run again.") from error
    if len(partitions) < 2 or len(labels) < 2:
        return None
    ends = int(rows[0]["epoch"]), int(rows[-1]["epoch"])
    first, last = (
        _matrix(part, labels, rows, end) for part, end in zip(partitions, ends, strict=True)
    )
    return Agreement(labels, ends, (first, last))


def _matrix(partitions: Tensor, labels: Sequence[str], rows: Rows, epoch: int) -> Array:
    """The matrix (K, K + 1) of the partitions (K, N) of an epoch."""
    from sm3kit.training.monitoring import nmi  # Lightning takes seconds to load.

    count = len(labels)
    matrix = np.full((count, count + 1), np.nan)
    for one in range(count):
        for other in range(one):
            matrix[one, other] = matrix[other, one] = nmi(partitions[one], partitions[other])
        truth = dict(series(rows, f"nmi_truth/{labels[one]}"))
        matrix[one, count] = truth.get(epoch, np.nan)
    return matrix


@look()
def agreement_picture(agreement: Agreement | None) -> Picture | None:
    """The two matrices side by side; None without any."""
    if agreement is None:
        return None
    labels, columns = agreement.labels, (*agreement.labels, TRUE)
    beside, below = name_room(labels), name_room(columns) + 0.15
    left = beside + 0.15
    for width in (COLUMN, TWO_COLUMNS, PAGE):
        cell = min(LARGEST, (width - left - BETWEEN - 0.1) / (2 * len(columns)))
        if cell >= ENOUGH:
            break
    rest = width - left - BETWEEN - 2 * len(columns) * cell
    margins, gaps = (left, rest, below, ABOVE), (BETWEEN, 0.0)
    height = cell * len(labels) + below + ABOVE
    figure, panels = sheet(width, height, columns=2, margins=margins, gaps=gaps)
    size = SMALL if cell >= ENOUGH else 7
    for panel, matrix, epoch in zip(panels, agreement.matrices, agreement.epochs, strict=True):
        fill(panel, cell, matrix, labels, _texts(matrix, cell), size, columns)
        panel.axvline(len(labels) - 0.5, color="black", linewidth=1.5)
        panel.set_title(f"epoch {epoch}", pad=6)
    panels[1].set_yticks([])
    first, last = (_mean(matrix) for matrix in agreement.matrices)
    return Picture(
        "cluster-agreement",
        "What the pseudo-labels have in common",
        f"Two matrices of the normalised mutual information between the clusters of each two labels. Mean in epoch "
        f"{agreement.epochs[0]}: {first:.2f}, in epoch {agreement.epochs[1]}: {last:.2f}. "
        f"Closest in the end: {_closest(agreement)}.",
        "Normalised mutual information (NMI) of the clusters of each two labels, in the first and in the last "
        "epoch of stage 2: 0 (white) for independent partitions, 1 (black) for equal ones. Dark "
        "cells are labels that share a partition; -o stage2.diversity=1 keeps them apart. The last column "
        "is the agreement of each with its own true label: for comparison only, training does not "
        "see it.",
        figure,
    )


def _texts(matrix: Array, cell: float) -> Callable[[int, int], str]:
    """The text of each cell; none on the diagonal, and where there is no room for it."""

    def text(row: int, column: int) -> str:
        if row == column or cell < SMALLEST:
            return ""
        value = matrix[row, column]
        return "–" if np.isnan(value) else f"{value:.2f}"

    return text


def _mean(matrix: Array) -> float:
    """The mean over the pairs of labels."""
    return float(np.nanmean(matrix[:, :-1]))


def _closest(agreement: Agreement) -> str:
    """The two labels that have most in common, in words."""
    between = np.nan_to_num(agreement.matrices[1][:, :-1], nan=-1.0)
    one, other = np.unravel_index(between.argmax(), between.shape)
    names = cut([agreement.labels[int(place)] for place in (one, other)])
    return f"{' and '.join(names)} ({between.max():.2f})"

"""Figure 7: which label attends to which, as plain pictures and as a file for BertViz."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import MaxNLocator

from sm3kit.core.errors import SM3Error
from sm3kit.core.files import whole_file
from sm3kit.report.matrix import fill, matrix_sheet
from sm3kit.report.panels import NAMES
from sm3kit.results.lettering import SMALL, legend_of, line_count, wrap
from sm3kit.results.picture import COLOURS, COLUMN, FAINT, HATCHES, Picture, look, sheet

Array = npt.NDArray[Any]
INSTALL = "pip install sm3kit[bertviz]"
CAUTION = "Attention shows what a layer reads from, not what decides its output."


@look()
def attention_picture(
    weights: Array, labels: Sequence[str], name: str, who: str, moment: str
) -> Picture:
    """The mean attention from each label to each, over cases and heads.

    Args:
        weights: (N, heads, K, K).
        labels: K names.
        name: of the files.
        who: the cases, in words.
        moment: after which training, in words.
    """
    mean = weights.mean((0, 1))
    figure, panel, cell = matrix_sheet(labels, 0.36)
    fill(
        panel,
        cell,
        mean / mean.max(),
        labels,
        lambda row, column: f"{100 * mean[row, column]:.0f}",
        SMALL if cell >= 0.36 else 6,
    )
    panel.set_ylabel("query label")
    panel.set_xlabel("attended label")
    rows = "; ".join(
        f"{label} attends most to {labels[int(row.argmax())]} ({100 * row.max():.0f} %)"
        for label, row in zip(labels, mean, strict=True)
    )
    return Picture(
        name,
        f"Attention between labels in %, {who}",
        f"Matrix of attention, mean over {who}. {rows}.",
        f"Mean over {len(weights)} studies and {weights.shape[1]} head"
        f"{'s' * (weights.shape[1] > 1)}, {moment}. Each row sums to 100; uniform attention would be "
        f"{100 / len(labels):.3g} everywhere. {CAUTION}",
        figure,
    )


@look()
def row_picture(
    weights: Array, labels: Sequence[str], label: str, reported: str, truth: Array
) -> Picture:
    """What one label attends to: over all cases, and over those of its reported class.

    Args:
        weights: (N, heads, K, K).
        labels: K names.
        label: the query.
        reported: the name of its reported class, "" if it has none.
        truth: (N,) bool, whether a case is of that class.
    """
    rows = 100 * weights.mean(1)[:, list(labels).index(label)]
    sets = {f"all {len(rows)} studies": rows.mean(0)}
    if truth.any():
        sets[f"{int(truth.sum())} with {reported}"] = rows[truth].mean(0)
    names = [wrap(name, NAMES, most=2) for name in labels]
    legend = legend_of(list(sets), COLUMN - 0.3)
    left, below, step = NAMES + 0.15, 0.6 + legend.height, 0.14 + 0.15 * line_count(names)
    height = step * len(labels) + below + 0.1
    figure, (panel,) = sheet(COLUMN, height, margins=(left, 0.15, below, 0.1))
    thick = 0.8 / len(sets)
    for number, (who, row) in enumerate(sets.items()):
        panel.barh(
            np.arange(len(labels)) + (number - (len(sets) - 1) / 2) * thick, row, thick, label=who,
            facecolor="white" if number else COLOURS[0], edgecolor=COLOURS[0], hatch=HATCHES[number],
        )  # fmt: skip
    panel.axvline(100 / len(labels), color=FAINT, linewidth=1, linestyle=(0, (4, 2)))
    panel.set_yticks(range(len(labels)), names, linespacing=1)
    panel.set_ylim(len(labels) - 0.5, -0.5)
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.set_xlabel("attention in %")
    legend.draw(figure, panel.get_legend_handles_labels()[0], 0.2, legend.height + 0.04)
    of = f"all studies, or over those with {reported}" if reported else "all studies"
    shares = "; ".join(
        f"{who}: "
        + ", ".join(f"{name} {value:.0f} %" for name, value in zip(labels, row, strict=True))
        for who, row in sets.items()
    )
    return Picture(
        f"attention-{label}",
        f"Attention of {label} to the other labels",
        f"Bars of attention. {shares}.",
        f"The row of {label} in the attention matrix, mean over the heads and over {of}. The dashed "
        f"line is uniform attention, {100 / len(labels):.3g} %. {CAUTION}",
        figure,
    )


def for_bertviz(weights: Array, labels: Sequence[str]) -> dict[str, Any]:
    """Mean attention over cases as the head view of BertViz reads it: layer, head, row, column.

    Source: Vig 2019, arXiv:1906.05714.
    """
    layer = weights.mean(0)
    tokens = list(labels)
    view = {"name": None, "attn": [layer.tolist()], "left_text": tokens, "right_text": tokens}
    return {"attention": [view], "default_filter": "0", "include_layers": [0]}


def export_attention(weights: Array, labels: Sequence[str], folder: Path) -> list[Path]:
    """Writes `attention.json`, and `attention-bertviz.html` where BertViz is installed.

    The page of BertViz fetches its libraries from the network when it is opened.
    """
    files = [folder / "attention.json"]
    with whole_file(files[0]) as part:
        part.write_text(json.dumps(for_bertviz(weights, labels), indent=1) + "\n", "utf-8")
    try:
        text = bertviz_page(weights, labels)
    except SM3Error:
        return files
    files.append(folder / "attention-bertviz.html")
    with whole_file(files[1]) as part:
        part.write_text(text, "utf-8")
    return files


def bertviz_page(weights: Array, labels: Sequence[str]) -> str:
    """The head view of BertViz as HTML.

    Raises:
        SM3Error: BertViz is not installed.
    """
    try:
        import torch

        bertviz = importlib.import_module("bertviz")
    except ImportError as error:
        raise SM3Error(
            f"The head view needs BertViz, which is not installed. Install it with: {INSTALL}"
        ) from error
    layer = torch.from_numpy(weights.mean(0)).unsqueeze(0)
    page: str = bertviz.head_view([layer], list(labels), html_action="return").data
    return page

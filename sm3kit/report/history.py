"""Curves of a training: loss terms, collapse monitors and ranks over the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sm3kit.results.picture import COLOURS, FAINT, Picture, line_style, look, sheet

Rows = Sequence[Mapping[str, Any]]
Lines = dict[str, list[tuple[int, float]]]

STAGES = {"mmssl": "stage 1", "mlssl": "stage 2"}
MONITORS = {
    "std": "deviation of unit features, times √D",
    "rankme": "RankMe: effective rank",
    "uniformity": "uniformity",
    "alignment": "alignment",
}
GUIDES = {
    "std": "near 1 is healthy, near 0 is a collapse",
    "rankme": "higher uses more dimensions",
    "uniformity": "lower is more even",
    "alignment": "lower is closer",
}
SETTLING = "ce is the cross-entropy of a label. Pseudo-labels change with every epoch, so that it need not fall."
ACROSS = 4
NO_TERMS = {*MONITORS, "rank", "sizes", "entropy", "objective", "reseeded"}
NO_TERMS |= {"nmi_truth", "nmi_before"}


def of_stage(rows: Rows, stage: str) -> list[Mapping[str, Any]]:
    """The rows of metrics.csv of one stage, in order."""
    return [row for row in rows if row["stage"] == stage]


def series(rows: Rows, column: str) -> list[tuple[int, float]]:
    """(epoch, value) of a column, where it has a finite number."""
    points = []
    for row in rows:
        text = row.get(column)
        if text not in (None, "") and math.isfinite(float(text)):
            points.append((int(row["epoch"]), float(text)))
    return points


def terms(rows: Rows) -> Lines:
    """{loss term: its curve}; the total comes first."""
    columns = dict.fromkeys(name for row in rows for name in row)
    terms_of_loss = [
        name for name in columns if "/" in name and name.partition("/")[0] not in NO_TERMS
    ]
    lines = {name: series(rows, name) for name in ["loss", *terms_of_loss]}
    return {name: points for name, points in lines.items() if points}


@look()
def loss_picture(rows: Rows, stage: str) -> Picture | None:
    """The loss of a stage and its terms; None if nothing was written."""
    lines = terms(of_stage(rows, stage))
    total = lines.get("loss")
    if not total:
        return None
    figure, panels = grid_of(len(lines))
    for panel, (name, points) in zip(panels, lines.items(), strict=False):
        alone: dict[str, Any] = {"marker": "o"} if len(points) == 1 else {}
        panel.plot(*transpose(points), color=COLOURS[0 if name == "loss" else 2], **alone)
        panel.set_title("total" if name == "loss" else name, fontsize=10 if len(name) < 18 else 8.5)
        panel.grid(axis="y")
    ends = f"{total[0][1]:.3g} in epoch {total[0][0]} to {total[-1][1]:.3g} in epoch {total[-1][0]}"
    names = [name for name in lines if name != "loss"]
    return Picture(
        f"loss-{stage}",
        f"Loss of {STAGES[stage]}",
        f"Line charts over the epochs: the loss goes from {ends}; beside it {len(names)} terms: "
        f"{', '.join(names)}.",
        "Means over the steps of each epoch; the vertical axes differ. "
        + ("The total is the weighted sum of the terms." if stage == "mmssl" else SETTLING),
        figure,
    )


@look()
def monitor_picture(rows: Rows, stage: str = "mmssl") -> Picture | None:
    """The collapse monitors of stage 1; None if nothing was written."""
    rows = of_stage(rows, stage)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines_by_monitor: dict[str, Lines] = {}
    for monitor in MONITORS:
        names = [column for column in columns if column.startswith(f"{monitor}/")]
        lines = {name.partition("/")[2]: series(rows, name) for name in names}
        lines_by_monitor[monitor] = {name: points for name, points in lines.items() if points}
    if not any(lines_by_monitor.values()):
        return None
    figure, panels = sheet(8.4, 6, 2, 2, (0.6, 0.1, 0.85, 0.35), (0.6, 1.15))
    for panel, (monitor, lines) in zip(panels, lines_by_monitor.items(), strict=True):
        plot(panel, lines)
        panel.set_title(MONITORS[monitor])
        panel.set_xlabel(f"epoch ({GUIDES[monitor]})")
    last = {name: points[-1][1] for name, points in lines_by_monitor["std"].items()}
    ends = ", ".join(f"{name} {value:.2f}" for name, value in last.items())
    return Picture(
        "monitors",
        "Collapse monitors of stage 1",
        f"Four line charts over the epochs: deviation, RankMe, uniformity and alignment. The "
        f"deviation ends at {ends}.",
        "On the newest training views of each epoch, per modality; a name with * is its stream "
        "behind the projector.",
        figure,
    )


@look()
def rank_picture(rows: Rows) -> Picture | None:
    """Mean ranks of the true partner among the validation pairs; None if nobody looked."""
    rows = of_stage(rows, "mmssl")
    names = dict.fromkeys(name for row in rows for name in row if name.startswith("rank/"))
    lines = {name[5:].replace("->", " → "): series(rows, name) for name in names if "->" in name}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return None
    counts = series(rows, "rank/of")
    figure, (panel,) = sheet(8.4, 3.4, margins=(0.6, 0.1, 0.85, 0.35))
    if counts:
        chance = (counts[-1][1] + 1) / 2
        panel.axhline(chance, color=FAINT, linewidth=1)
        panel.annotate(
            f"chance {chance:g}", (1, chance), (-4, 4), xycoords=("axes fraction", "data"),
            textcoords="offset points", color=FAINT, fontsize=9, ha="right",
        )  # fmt: skip
    plot(panel, lines, markers=True)
    panel.set_ylim(bottom=0)
    panel.set_xlabel("epoch")
    panel.set_title("mean rank of the true partner (lower is better)")
    ends = ", ".join(f"{name} {points[-1][1]:.1f}" for name, points in lines.items())
    return Picture(
        "ranks",
        "Pair matching on the validation split during stage 1",
        f"Line chart of mean ranks over the epochs. At the end: {ends}.",
        "Among the validation pairs, with the networks of each epoch; a name with * is in "
        "projection space, else in the space of the backbone. 1 is best.",
        figure,
    )


def plot(
    panel: Axes, lines: Mapping[str, Sequence[tuple[int, float]]], *, markers: bool = False
) -> None:
    """Draws lines with a legend where there are several; single points are dots."""
    for place, (name, points) in enumerate(lines.items()):
        dots: dict[str, Any] = {"marker": "o"} if markers or len(points) == 1 else {}
        panel.plot(*transpose(points), label=name, **line_style(place), **dots)
    panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    panel.grid(axis="y")
    panel.set_axisbelow(True)
    if len(lines) > 1:
        panel.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.18),
            ncols=len(lines) if len(lines) < 5 else 3,
            handlelength=2.6,
            columnspacing=1.2,
        )


def grid_of(count: int) -> tuple[Figure, list[Axes]]:
    """A panel over the epochs for each of many lines, which one panel would not keep apart."""
    across = min(ACROSS, count)
    down = -(-count // across)
    figure, panels = sheet(
        2.1 * across + 0.3, 1.75 * down + 0.45, down, across, (0.75, 0.1, 0.5, 0.6), (0.55, 0.5)
    )
    figure.supxlabel("epoch", fontsize=10, y=0.04 / down)
    for panel in panels[count:]:
        panel.set_axis_off()
    for panel in panels[:count]:
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
        panel.set_axisbelow(True)
    return figure, panels


def transpose(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    """Epochs and values of a curve."""
    return [epoch for epoch, _ in points], [value for _, value in points]

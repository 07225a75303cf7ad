"""Curves of a training: loss terms, collapse monitors and ranks over the epochs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from sm3kit.core.names import pair_names
from sm3kit.core.stage_settings import STAGE_TITLES
from sm3kit.report.panels import (
    LEFT,
    RIGHT,
    bar_list,
    draw_curves,
    draw_legends,
    is_curve,
    panel_sheet,
)
from sm3kit.results.lettering import legend_of
from sm3kit.results.picture import COLOURS, COLUMN, FAINT, PAGE, Picture, look
from sm3kit.runs.epoch_rows import Rows, columns_of, of_stage, series

MONITORS = {
    "std": "standard deviation",
    "rankme": "RankMe",
    "uniformity": "uniformity",
    "alignment": "alignment of two views",
}
SPACES = {"": "backbone", "*": "projection"}
HEALTHY = (
    "Standard deviation of unit-length features, times √D: near 1 is healthy, near 0 is a collapse. "
    "RankMe, the effective rank: higher means that more dimensions are used. Uniformity: lower is "
    "more even. Alignment: lower is closer."
)
SETTLING = (
    "ce is the cross-entropy on the pseudo-labels of a label. It need not fall: the pseudo-labels are "
    "computed anew in every epoch."
)
MOST_LINES = 6  # More pairs of modalities than this are split by their first modality.
NO_TERMS = {*MONITORS, "rank", "pairs", "sizes", "entropy", "objective", "reseeded"}
NO_TERMS |= {"nmi_truth", "nmi_before", "knn_auc", "lidar"}


def terms(rows: Rows) -> dict[str, list[tuple[int, float]]]:
    """{loss term: its curve}; the total comes first."""
    terms_of_loss = [
        name
        for name in columns_of(rows)
        if name == "diversity" or "/" in name and name.partition("/")[0] not in NO_TERMS
    ]
    lines = {name: series(rows, name) for name in ["loss", *terms_of_loss]}
    return {name: points for name, points in lines.items() if points}


def note_on_bars(*lines: Mapping[Any, Any]) -> str:
    """The sentence on bars in place of curves; empty if there are curves."""
    return "" if is_curve(*lines) else " Bars show the only epoch that was measured."


@look()
def loss_picture(rows: Rows, stage: str) -> Picture | None:
    """The loss of a stage and its terms; None if nothing was written."""
    lines = terms(of_stage(rows, stage))
    total = lines.get("loss")
    if not total:
        return None
    if is_curve(lines):
        figure, panels = panel_sheet(["total", *list(lines)[1:]])
        for panel, (name, points) in zip(panels, lines.items(), strict=True):
            draw_curves(panel, {name: points})
            panel.lines[0].set_color(COLOURS[0 if name == "loss" else 2])
    else:
        figure = bar_list({name: points[0][1] for name, points in lines.items()}, "loss")
    ends = f"{total[0][1]:.3g} in epoch {total[0][0]} to {total[-1][1]:.3g} in epoch {total[-1][0]}"
    names = [name for name in lines if name != "loss"]
    return Picture(
        f"loss-{stage}",
        f"Loss of {STAGE_TITLES[stage]}",
        f"Line charts over the epochs: the loss goes from {ends}; beside it {len(names)} terms: "
        f"{', '.join(names)}.",
        "Mean over the steps of each epoch; the vertical axes differ. "
        + ("The total is the weighted sum of the terms." if stage == "mmssl" else SETTLING)
        + note_on_bars(lines),
        figure,
    )


@look()
def monitor_picture(rows: Rows, stage: str = "mmssl") -> Picture | None:
    """The collapse monitors of stage 1, a row of panels for each space; None without any."""
    rows = of_stage(rows, stage)
    names = [
        name[4:] for name in columns_of(rows) if name.startswith("std/") and series(rows, name)
    ]
    spaces = {mark: [n for n in names if n.endswith("*") == bool(mark)] for mark in SPACES}
    spaces = {mark: members for mark, members in spaces.items() if members}
    if not names:
        return None
    everyone = list(dict.fromkeys(name.removesuffix("*") for name in names))
    legend = legend_of(everyone, PAGE - 1)
    titles = [f"{SPACES[mark]}: {text}" for mark in spaces for text in MONITORS.values()]
    groups = [
        {name: series(rows, f"{monitor}/{name}{mark}") for name in everyone}
        for mark in spaces
        for monitor in MONITORS
    ]
    foot = "epoch" if is_curve(*groups) else ""
    figure, panels = panel_sheet(titles, shared=legend, height=1.6, foot=foot)
    for panel, lines in zip(panels, groups, strict=True):
        draw_curves(panel, lines)
        if panel.get_title(loc="left").endswith("deviation"):
            panel.set_ylim(0, 1.08 * panel.get_ylim()[1])
    draw_legends(figure, panels, (), legend)
    ends = ", ".join(f"{name} {series(rows, f'std/{name}')[-1][1]:.2f}" for name in names)
    return Picture(
        "monitors",
        "Collapse monitors of stage 1",
        "Charts over the epochs of standard deviation, RankMe, uniformity and alignment. The "
        f"standard deviation ends at {ends} (* after the projection).",
        f"On the last training views of each epoch. {HEALTHY}{note_on_bars(*groups)}",
        figure,
    )


@look()
def alignment_picture(rows: Rows) -> Picture | None:
    """Alignment between the projections of two modalities; None without two."""
    rows = of_stage(rows, "mmssl")
    streams = [
        name[4:-1] for name in columns_of(rows) if name.startswith("std/") and name[-1] == "*"
    ]
    lines = {
        pair: points
        for pair, name in pair_names(streams).items()
        if (points := series(rows, f"alignment/{name}"))
    }
    if not lines:
        return None
    figure = _by_first(lines, "–", "alignment")
    ends = ", ".join(f"{'–'.join(pair)} {points[-1][1]:.2f}" for pair, points in lines.items())
    return Picture(
        "alignment",
        "Alignment between modalities during stage 1",
        f"Charts over the epochs of the distance of two modalities. At the end: {ends}.",
        "Mean squared distance between the projections of two modalities of a study, on the last "
        f"training views of each epoch. Lower is closer.{note_on_bars(lines)}",
        figure,
    )


@look()
def rank_picture(
    rows: Rows, space: str = "projection", untrained: Mapping[str, tuple[float, int]] | None = None
) -> Picture | None:
    """Mean ranks of the true partner among the validation pairs; None without any.

    Args:
        rows: of metrics.csv, with that of epoch 0 if there is one.
        space: "projection" or "backbone".
        untrained: {"derm->clinic": (mean rank, pairs)} before the training, for an epoch 0 that
            has no row.
    """
    rows, mark = of_stage(rows, "mmssl"), "*" if space == "projection" else ""
    lines: dict[tuple[str, str], Any] = {}
    chance: dict[tuple[str, str], float] = {}
    for column in columns_of(rows):
        way = column.removeprefix("rank/").removesuffix("*")
        ranks = column.startswith("rank/") and "->" in column
        points = series(rows, column) if ranks and column.endswith("*") == bool(mark) else []
        if not points:
            continue
        one, _, other = way.partition("->")
        start, count = (untrained or {}).get(way, (None, None))
        from_start = start is None or points[0][0] == 0
        lines[one, other] = points if from_start else [(0, start), *points]
        # Runs of earlier versions have one count for all directions.
        counts = series(rows, f"pairs/{way}") or series(rows, "rank/of")
        pairs = count or (counts[-1][1] if counts else 0)
        if pairs:
            chance[one, other] = (pairs + 1) / 2
    if not lines:
        return None
    figure = _by_first(lines, "→", "mean rank", chance)
    ends = ", ".join(
        f"{one} → {other} {points[-1][1]:.1f}" for (one, other), points in lines.items()
    )
    begins = any(points[0][0] == 0 for points in lines.values())
    before = "Epoch 0 is before the training. " if begins else ""
    return Picture(
        f"ranks-{space}",
        f"Pair matching during stage 1, {space} space",
        f"Charts of mean ranks over the epochs. At the end: {ends}.",
        f"Mean rank of the true partner among the validation pairs; 1 is best. {before}Dashed lines: "
        f"chance, the mean rank of a random order, (pairs + 1) / 2.{note_on_bars(lines)}",
        figure,
    )


def _by_first(
    lines: Mapping[tuple[str, str], Any],
    sign: str,
    what: str,
    chance: Mapping[tuple[str, str], float] | None = None,
) -> Figure:
    """Curves of pairs of modalities in one panel, or in one for each first modality.

    Args:
        lines: {(one, other): its curve}.
        sign: between the names of a pair.
        what: is drawn.
        chance: of each pair, drawn as a line and told beside its name.
    """
    split = len(lines) > MOST_LINES
    groups: dict[str, dict[str, Any]] = {}
    levels: dict[str, set[float]] = {}
    for (one, other), points in lines.items():
        title = f"{what}, {one} {sign}" if split else what
        name = f"{sign} {other}" if split else f"{one} {sign} {other}"
        if chance and (one, other) in chance:
            name += f" (chance {chance[one, other]:g})"
            levels.setdefault(title, set()).add(chance[one, other])
        groups.setdefault(title, {})[name] = points
    legends = [legend_of(list(group), COLUMN - LEFT - RIGHT) for group in groups.values()]
    figure, panels = panel_sheet(list(groups), legends, across=3, height=1.9)
    highest = max(value for points in lines.values() for _, value in points)
    highest = max(highest, *(chance or {}).values(), 0.0)
    for panel, (title, group) in zip(panels, groups.items(), strict=True):
        draw_curves(panel, group, markers=True)
        for level in sorted(levels.get(title, ())):
            panel.axhline(level, color=FAINT, linewidth=0.8, linestyle=(0, (4, 2)))
        panel.set_ylim(0, 1.08 * highest or 1)
    draw_legends(figure, panels, legends)
    return figure


def draw_training(rows: Rows, folder: Path) -> list[Path]:
    """Draws what rows of metrics.csv tell into a folder, and gives the PNG files."""
    pictures = [loss_picture(rows, "mmssl"), monitor_picture(rows), alignment_picture(rows)]
    pictures += [rank_picture(rows), rank_picture(rows, "backbone"), loss_picture(rows, "mlssl")]
    files: list[Path] = []
    for picture in filter(None, pictures):
        files += picture.render(png=True).save(folder, {file.stem.lower() for file in files})
    return [file for file in files if file.suffix == ".png"]

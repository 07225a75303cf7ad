"""The pseudo-labels of stage 2 over the epochs: sizes of the clusters, and NMI."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sm3kit.report.history import note_on_bars
from sm3kit.report.panels import draw_curves, draw_legends, is_curve, panel_sheet
from sm3kit.results.lettering import legend_of
from sm3kit.results.picture import COLOURS, HATCHES, PAGE, Picture, look
from sm3kit.runs.epoch_rows import Rows, of_stage, series

GREYS = ("#d9d9d9", "white")


def sizes(rows: Rows) -> dict[str, tuple[list[int], npt.NDArray[Any]]]:
    """{label: (epochs, shares (epochs, clusters))} of the studies, the largest cluster first.

    An epoch with fewer clusters than another has shares of zero at its end; what a row lacks to one
    was left out.
    """
    shares_by_label: dict[str, tuple[list[int], npt.NDArray[Any]]] = {}
    names = dict.fromkeys(column for row in rows for column in row if column.startswith("sizes/"))
    for name in names:
        told = [row for row in rows if row.get(name)]
        table = [sorted(map(int, row[name].split("+")), reverse=True) for row in told]
        if table:
            most = max(map(len, table))
            counts = np.array([[*row, *[0] * (most - len(row))] for row in table], float)
            left_out = [float(row.get(f"left_out/{name[6:]}") or 0) for row in told]
            shares = counts / (counts.sum(1) + left_out)[:, None]
            shares_by_label[name[6:]] = [int(row["epoch"]) for row in told], shares
    return shares_by_label


@look()
def size_picture(rows: Rows) -> Picture | None:
    """Shares of the clusters of each label over the epochs; None without stage 2."""
    by_label = sizes(of_stage(rows, "mlssl"))
    if not by_label:
        return None
    figure, panels = panel_sheet([f"{name}, studies in %" for name in by_label])
    for panel, (epochs, shares) in zip(panels, by_label.values(), strict=True):
        _stack(panel, epochs, 100 * shares)
    last = [f"{name} {_in_words(shares[-1])}" for name, (_, shares) in by_label.items()]
    return Picture(
        "cluster-sizes",
        "Cluster sizes of stage 2",
        f"Stacked areas over the epochs. In the last epoch: {'; '.join(last)}.",
        "Share of the studies in each cluster, sorted by size in each epoch: the largest at the "
        "bottom. Hatches and greys only separate neighbouring bands. A band that takes up everything is a "
        f"collapse.{_note_on_left_out(by_label)}",
        figure,
    )


def _stack(panel: Axes, epochs: list[int], shares: npt.NDArray[Any]) -> None:
    """Stacked areas over the epochs, or one stacked bar for one epoch."""
    tops = np.cumsum(shares, 1)
    for cluster in range(shares.shape[1]):
        low = tops[:, cluster - 1] if cluster else np.zeros(len(epochs))
        style: dict[str, Any] = {
            "facecolor": GREYS[cluster % len(GREYS)], "edgecolor": COLOURS[cluster % len(COLOURS)],
            "hatch": HATCHES[cluster % len(HATCHES)], "linewidth": 0,
        }  # fmt: skip
        if len(epochs) == 1:
            panel.bar(epochs, shares[:, cluster], 0.6, bottom=low, **style)
        else:
            panel.fill_between(epochs, low, tops[:, cluster], **style)
            panel.plot(epochs, tops[:, cluster], color="black", linewidth=0.8)
    panel.set_ylim(0, 100)
    panel.set_yticks([0, 50, 100])
    if len(epochs) == 1:
        panel.set(xlim=(epochs[0] - 1, epochs[0] + 1), xticks=epochs)
    else:
        panel.set_xlim(epochs[0], epochs[-1])
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))


@look()
def nmi_picture(rows: Rows) -> Picture | None:
    """NMI of the pseudo-labels with the epoch before, the truth and each other."""
    rows = of_stage(rows, "mlssl")
    columns = dict.fromkeys(column for row in rows for column in row)
    labels = [
        name[6:]
        for name in columns
        if name.startswith("sizes/") and any(row.get(name) for row in rows)
    ]
    if not labels:
        return None
    between = series(rows, "nmi_labels")
    groups = [
        {
            "clusters of the epoch before": series(rows, f"nmi_before/{label}"),
            "true classes": series(rows, f"nmi_truth/{label}"),
            "clusters of other labels (mean over all pairs)": between,
        }
        for label in labels
    ]
    legend = legend_of(list(groups[0]), (PAGE if len(labels) > 2 else 4 * len(labels)) - 0.8)
    foot = "epoch" if is_curve(*groups) else ""
    figure, panels = panel_sheet([f"{label}, NMI" for label in labels], shared=legend, foot=foot)
    for panel, lines in zip(panels, groups, strict=True):
        draw_curves(panel, lines)
        panel.set_ylim(0, 1)
    draw_legends(figure, panels, (), legend)
    ends = {name: series(rows, f"nmi_truth/{name}") for name in labels}
    told = ", ".join(f"{name} {points[-1][1]:.2f}" for name, points in ends.items() if points)
    return Picture(
        "cluster-nmi",
        "Agreement of the pseudo-labels",
        "Line charts of the normalised mutual information of each label. In the last epoch, with "
        f"the true label: {told or 'not known'}"
        + (f"; between labels {between[-1][1]:.2f}." if between else "."),
        "Normalised mutual information (NMI) of the clusters: 1 for equal partitions, 0 for "
        "independent ones. High with the epoch before: the pseudo-labels have settled. High with "
        "other labels: all labels share one partition. The true classes are for comparison only; "
        f"training does not see them.{note_on_bars(*groups)}",
        figure,
    )


def _in_words(shares: npt.NDArray[Any]) -> str:
    return ", ".join(f"{100 * one:.0f} %" for one in shares)


def _note_on_left_out(by_label: dict[str, tuple[list[int], npt.NDArray[Any]]]) -> str:
    """What the white area above the bands is, if there is any."""
    whole = all(np.allclose(shares.sum(1), 1) for _, shares in by_label.values())
    return "" if whole else " What lacks to 100 % is in no cluster."

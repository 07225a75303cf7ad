"""The pseudo-labels of stage 2 over the epochs: sizes of the clusters, and NMI."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.report.history import Rows, grid_of, of_stage, series, transpose
from sm3kit.results.picture import COLOURS, HATCHES, Picture, line_style, look

GREYS = ("#d9d9d9", "white")


def sizes(rows: Rows) -> dict[str, tuple[list[int], npt.NDArray[Any]]]:
    """{label: (epochs, shares (epochs, clusters))} of the studies, the largest cluster first."""
    shares_by_label: dict[str, tuple[list[int], npt.NDArray[Any]]] = {}
    names = dict.fromkeys(column for row in rows for column in row if column.startswith("sizes/"))
    for name in names:
        told = [row for row in rows if row.get(name)]
        table = [sorted(map(int, row[name].split("+")), reverse=True) for row in told]
        if table:
            counts = np.array(table, float)
            shares = counts / counts.sum(1, keepdims=True)
            shares_by_label[name[6:]] = [int(row["epoch"]) for row in told], shares
    return shares_by_label


@look()
def size_picture(rows: Rows) -> Picture | None:
    """Shares of the clusters of each label over the epochs; None without stage 2."""
    by_label = sizes(of_stage(rows, "mlssl"))
    if not by_label:
        return None
    figure, panels = grid_of(len(by_label))
    for panel, (name, (epochs, shares)) in zip(panels, by_label.items(), strict=False):
        tops = 100 * np.cumsum(shares, 1)
        for cluster in range(shares.shape[1]):
            low = tops[:, cluster - 1] if cluster else np.zeros(len(epochs))
            panel.fill_between(
                epochs, low, tops[:, cluster], facecolor=GREYS[cluster % len(GREYS)], linewidth=0,
                edgecolor=COLOURS[cluster % len(COLOURS)], hatch=HATCHES[cluster % len(HATCHES)],
            )  # fmt: skip
            panel.plot(epochs, tops[:, cluster], color="black", linewidth=0.8)
        panel.set_title(name)
        panel.set_ylim(0, 100)
        panel.set_xlim(epochs[0] - 0.01, epochs[-1])
    figure.supylabel("studies in %", fontsize=10)
    last = [f"{name} {_in_words(shares[-1])}" for name, (_, shares) in by_label.items()]
    return Picture(
        "cluster-sizes",
        "Sizes of the clusters of stage 2",
        f"Stacked areas over the epochs. In the last epoch: {'; '.join(last)}.",
        "Share of the studies in each cluster, the largest below. A band that swallows all others "
        "is a collapse.",
        figure,
    )


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
    figure, panels = grid_of(len(labels))
    for panel, label in zip(panels, labels, strict=False):
        lines = {
            "epoch before": series(rows, f"nmi_before/{label}"),
            "true label": series(rows, f"nmi_truth/{label}"),
            "other labels, mean of all pairs": between,
        }
        for place, (name, points) in enumerate(lines.items()):
            panel.plot(*transpose(points), label=name, **line_style(place))
        panel.set_title(label)
        panel.set_ylim(0, 1)
        panel.grid(axis="y")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="upper center", ncols=3, handlelength=2.6)
    ends = {name: series(rows, f"nmi_truth/{name}") for name in labels}
    told = ", ".join(f"{name} {points[-1][1]:.2f}" for name, points in ends.items() if points)
    return Picture(
        "cluster-nmi",
        "What the pseudo-labels share",
        "Line charts of the normalised mutual information of each label. In the last epoch, with "
        f"the true label: {told or 'not known'}"
        + (f"; between labels {between[-1][1]:.2f}." if between else "."),
        "1 is the same partition, 0 is independent. High with the epoch before: the pseudo-labels "
        "have settled. High with the other labels: all labels are the same partition. The true "
        "label is for diagnosis alone; nothing was chosen by it.",
        figure,
    )


def _in_words(shares: npt.NDArray[Any]) -> str:
    return ", ".join(f"{100 * one:.0f} %" for one in shares)

"""ROC of one label: the reported class against the rest, one curve for each protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.metrics.per_label import label_metrics
from sm3kit.metrics.predictions import LabelScores
from sm3kit.report.picture import Picture
from sm3kit.report.style import FAINT, MARKERS, line_style, look, sheet

Array = npt.NDArray[Any]


def curve(label: LabelScores) -> tuple[Array, Array]:
    """(false positive rate, sensitivity) at every threshold, from (0, 0) to (1, 1).

    Equal scores are one step, so that the area below is the AUC with ties as a half.

    Raises:
        ValueError: there is no positive or no negative case.
    """
    known = label.truth >= 0
    positive = label.truth[known] == label.reported_index
    if positive.all() or not positive.any():
        raise ValueError("a curve wants positive and negative cases")
    score = label.scores[known, label.reported_index]
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(positive[order])[last]
    alarms = last + 1 - hits
    return (
        np.concatenate([[0.0], alarms / (~positive).sum()]),
        np.concatenate([[0.0], hits / positive.sum()]),
    )


@look()
def roc_picture(name: str, found: Mapping[str, LabelScores]) -> Picture | None:
    """The curves of a label; None if the AUC is undefined for all.

    Args:
        name: of the label.
        found: {protocol: scores and truth}.
    """
    figure, (panel,) = sheet(4.2, 4.3, margins=(0.55, 0.1, 0.5, 0.35))
    panel.plot([0, 1], [0, 1], color=FAINT, linewidth=1, label="chance")
    told = []
    for place, (protocol, label) in enumerate(found.items()):
        numbers = label_metrics(label.scores, label.truth, label.reported_index)
        if np.isnan(numbers["auc"]):
            continue
        style = line_style(place)
        text = f"{protocol}: AUC {100 * numbers['auc']:.1f}"
        told.append(text)
        panel.plot(*curve(label), label=text, **style)
        panel.plot(
            1 - numbers["spec"], numbers["sens"], marker=MARKERS[place % len(MARKERS)],
            color=style["color"], markersize=8, linestyle="none",
        )  # fmt: skip
    if not told:
        return None
    reported = next(iter(found.values())).reported
    panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    panel.set_xlabel("1 - specificity")
    panel.set_ylabel("sensitivity")
    panel.set_title(f"{name}: {reported} against the rest")
    panel.legend(loc="lower right", handlelength=2.6)
    return Picture(
        f"roc-{name}",
        f"ROC of {name}",
        f"ROC curves of {reported} against the rest. {'; '.join(told)}.",
        f"Each curve goes through all thresholds on the score of {reported}. The marker is what "
        "the most likely class gives, as in the table.",
        figure,
    )

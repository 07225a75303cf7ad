"""Which classes a study is called, by the thresholds that its classifiers have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sm3kit.evaluation.classifier_file import ClassifierFile
from sm3kit.metrics.calls import called_classes

Thresholds = dict[str, dict[str, float | None]]  # {label: {class: threshold}}


def thresholds_of(files: Sequence[ClassifierFile]) -> Thresholds:
    """The thresholds of classifiers, a mean over them; none unless all have some.

    None stands for a class that is called where it is the most likely one, as one of the
    classifiers does.

    Args:
        files: classifiers with the same labels.
    """
    if any(file.decision.threshold == "argmax" for file in files):
        return {}
    thresholds: Thresholds = {}
    for label in files[0].labels:
        nothing = np.full(len(label.classes), np.nan)
        tables = [file.decision.thresholds.get(label.name, nothing) for file in files]
        values = np.mean(tables, axis=0).tolist()
        plain = [None if np.isnan(value) else value for value in values]
        thresholds[label.name] = dict(zip(label.classes, plain, strict=True))
    return thresholds


def called(
    probabilities: Mapping[str, Mapping[str, float]], thresholds: Thresholds
) -> dict[str, list[str]]:
    """{label: the classes whose thresholds are reached} of one study."""
    classes = {}
    for label, row in probabilities.items():
        values = [np.nan if value is None else value for value in thresholds[label].values()]
        (reached,) = called_classes(np.array([list(row.values())]), np.array(values))
        classes[label] = [name for name, there in zip(row, reached, strict=True) if there]
    return classes


def to_decide(file: ClassifierFile) -> list[str]:
    """What is left to do with the probabilities of a graph, a paragraph each."""
    paragraphs = []
    if file.decision.views > 1:
        paragraphs.append(
            f"The evaluation below is by the mean over {file.decision.views} test views of each "
            "image. The graph looks at one: give it each view, and average the probabilities."
        )
    table = thresholds_of([file])
    if table:
        lines = [
            f"- `{label}`: {', '.join(map(_text, row.items()))}" for label, row in table.items()
        ]
        paragraphs.append("\n".join(["A class counts from this probability on:", "", *lines]))
    return paragraphs


def _text(pair: tuple[str, float | None]) -> str:
    name, value = pair
    return f"{name} where it is the most likely" if value is None else f"{name} {value:.4g}"

"""What turns the logits of a trained network into classes, as a file keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sm3kit.classifiers.base import Classifier, Streams
from sm3kit.evaluation.decisions.stack import Stack
from sm3kit.evaluation.decisions.temperature import tempered
from sm3kit.metrics.predictions import Predictions

Array = npt.NDArray[Any]
# As far as a file of a classifier keeps it; see `Decision`.
DECISION = {
    "views": int,
    "weights": {"*": (int, float)},
    "temperatures": {"*": (int, float)},
    "threshold": str,
    "thresholds": {"*": [(int, float, type(None))]},
    "stack?": {"weight": (int, float), "metadata": [str]},
}


@dataclass(frozen=True, eq=False)
class Decision:
    """How classes are decided: views, weights of streams, temperatures and thresholds.

    Attributes:
        views: test views of a study whose probabilities are averaged.
        weights: {stream: weight}; empty for those of the classifier itself.
        temperatures: {label: temperature} of those that have one.
        threshold: the rule that the thresholds were fitted by; "argmax" for none.
        thresholds: {label: (C,)} of those that have any; see `called_classes`.
        stack: the second stage, or None.
    """

    views: int = 1
    weights: Mapping[str, float] = field(default_factory=dict)
    temperatures: Mapping[str, float] = field(default_factory=dict)
    threshold: str = "argmax"
    thresholds: Mapping[str, Array] = field(default_factory=dict)
    stack: Stack | None = None

    def weigh(self, network: nn.Module) -> None:
        """Gives a network the weights of its streams; every member of an ensemble has the same."""
        for part in network.modules():
            if isinstance(part, Classifier) and self.weights:
                part.decision_weights = self.weights

    def calibrate(self, labels: Sequence[str], probabilities: Sequence[Tensor]) -> list[Tensor]:
        """Probabilities [(N, C)] * K under the temperatures of their labels."""
        return [
            tempered(rows, self.temperatures.get(name, 1.0))
            for name, rows in zip(labels, probabilities, strict=True)
        ]

    def mark(self, predictions: Predictions) -> Predictions:
        """Predictions whose classes are called by the thresholds."""
        labels = {
            name: replace(label, thresholds=self.thresholds.get(name))
            for name, label in predictions.labels.items()
        }
        return replace(predictions, labels=labels)

    def facts(self) -> dict[str, Any]:
        """All of it as JSON keeps it; null for a class without a threshold."""
        return {
            "views": self.views,
            "weights": dict(self.weights),
            "temperatures": dict(self.temperatures),
            "threshold": self.threshold,
            "thresholds": {
                name: [None if np.isnan(value) else float(value) for value in values]
                for name, values in self.thresholds.items()
            },
            **({} if self.stack is None else {"stack": self.stack.facts()}),
        }

    def tensors(self) -> dict[str, Tensor]:
        """What a file keeps of it as tensors."""
        return {} if self.stack is None else self.stack.tensors()

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Decision:
        """The decision that `facts` describe; a plain one without any. Its stack has no tensors."""
        thresholds = {
            name: np.array([np.nan if value is None else value for value in values], np.float64)
            for name, values in facts.get("thresholds", {}).items()
        }
        stack = Stack(**facts["stack"]) if "stack" in facts else None
        return cls(**{**facts, "thresholds": thresholds, "stack": stack})


PLAIN = Decision()  # The most likely class of the evaluation view.


def mean_probabilities(network: Any, views: Sequence[Streams]) -> list[Tensor]:
    """The mean [(N, C)] * K over test views of what a network decides on each.

    Source: Tang et al. 2022, FusionM4Net: the mean over six copies of the softmax of weighted logits.

    Args:
        network: decides on logits {stream: [(N, C)] * K}.
        views: these logits of each view.
    """
    decided: list[list[Tensor]] = [network.decide(streams) for streams in views]
    if len(decided) == 1:
        return decided[0]
    return [torch.stack(rows).mean(dim=0) for rows in zip(*decided, strict=True)]

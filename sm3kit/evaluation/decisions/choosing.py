"""Decisions are chosen on the validation split, never on what is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sm3kit.classifiers.base import Streams
from sm3kit.core.errors import VariantError
from sm3kit.data.cases import Case
from sm3kit.evaluation.command import setting_words
from sm3kit.evaluation.decisions.decision import Decision, mean_probabilities
from sm3kit.evaluation.decisions.stacking import Unseen, fit_stack, metadata_of, weigh_stack
from sm3kit.evaluation.decisions.stream_weights import search_weights
from sm3kit.evaluation.decisions.temperature import fit_temperature, negative_log_likelihood
from sm3kit.evaluation.predicting import predictions_of
from sm3kit.evaluation.selection import least_to_choose_by
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.predictions import Predictions
from sm3kit.metrics.reliability import reliability
from sm3kit.metrics.thresholds import fit_thresholds

Record = dict[str, Any]
NOTHING: dict[str, Any] = {
    "threshold": "argmax", "calibration": "none", "stream_weights": "none", "stack": "none",
}  # fmt: skip


def chosen_decisions(settings: Settings) -> dict[str, Any]:
    """{setting: value} of the decisions that studies have to choose."""
    used = settings.in_use()
    return {
        name: used[name] for name, nothing in NOTHING.items() if used.get(name, nothing) != nothing
    }


def deciding_cases(subject: Subject, settings: Settings, measured: Sequence[Case]) -> list[Case]:
    """The labelled studies that decisions are chosen on; empty where nothing is to be chosen.

    Args:
        measured: the studies of the measured split; with `test_best` these choose.

    Raises:
        VariantError: a decision is to be chosen, and the validation split has no labelled study.
    """
    asked = chosen_decisions(settings)
    if not asked:
        return []
    if settings.select == "test_best":
        return list(measured)
    cases = [case for case in subject.pool.cases["val"] if any(value >= 0 for value in case.labels)]
    if not cases:
        texts = [" ".join(setting_words(name, value)) for name, value in asked.items()]
        data = ", ".join(subject.variant.data)
        raise VariantError(
            f"{' and '.join(texts)} {'need' if len(texts) > 1 else 'needs'} labelled studies in the "
            f"split val, and {data} has none there. Add some, or leave "
            f"{'these' if len(texts) > 1 else 'it'} out."
        )
    return cases


def decide(
    subject: Subject,
    settings: Settings,
    network: Any,
    logits: Callable[[Sequence[Case]], list[Streams]],
    measured: Sequence[Case],
    unseen: Unseen,
) -> tuple[Predictions, Decision, Record]:
    """The predictions of a network on the measured split, and how they were decided.

    Args:
        network: decides on logits; it keeps the weights of its streams that were chosen.
        logits: cases -> {stream: [(N, C)] * K} of each test view.
        measured: cases; only with `test_best` they choose.
        unseen: as for `fit_stack`.

    Returns:
        The predictions, the decision, and what a record says of it; empty if nothing was chosen.
    """
    cases = deciding_cases(subject, settings, measured)
    views = logits(cases) if cases else []
    decision, record = weigh_streams(subject, settings, network, views, cases)

    if settings.stack == "svm":
        stack = fit_stack(subject, settings, decision, unseen)
        first = mean_probabilities(network, views)
        least = least_to_choose_by(subject, settings, cases)
        stack, more = weigh_stack(subject, settings, stack, first, cases, least)
        decision, record = replace(decision, stack=stack), {**record, **more}

    def probabilities(of: Sequence[Case]) -> list[Tensor]:
        rows = mean_probabilities(network, views if of is cases else logits(of))
        stack = decision.stack
        return rows if stack is None else stack.mix(rows, metadata_of(subject, of))

    predictions, decision, more = decide_after(
        subject, settings, decision, probabilities, measured, cases
    )
    views_record = {"test_views": settings.test_views} if settings.test_views > 1 else {}
    return predictions, decision, {**more, **views_record, **record}


def decide_after(
    subject: Subject,
    settings: Settings,
    decision: Decision,
    probabilities: Callable[[Sequence[Case]], list[Tensor]],
    measured: Sequence[Case],
    cases: Sequence[Case] | None = None,
) -> tuple[Predictions, Decision, Record]:
    """What is decided on probabilities alone; see `decide`.

    Args:
        decision: what was decided before.
        probabilities: cases -> [(N, C)] * K.
        cases: that choose; None asks for them.
    """
    cases = deciding_cases(subject, settings, measured) if cases is None else cases
    record: Record = {}
    if cases:
        split = settings.split if settings.select == "test_best" else "val"
        decision, chosen = calibrate(subject, settings, decision, probabilities(cases), cases)
        record = {"chosen_on": split, "studies": len(cases), **chosen}
    names = [label.name for label in subject.pool.labels]
    rows = decision.calibrate(names, probabilities(measured))
    predictions = predictions_of(subject, measured, rows, settings.min_positives)
    return decision.mark(predictions), decision, record


def weigh_streams(
    subject: Subject,
    settings: Settings,
    network: Any,
    views: Sequence[Streams],
    cases: Sequence[Case],
) -> tuple[Decision, Record]:
    """Test views and weights of streams: what is decided on logits, and what a record says of it.

    Args:
        network: decides; it keeps the weights that were chosen.
        views: logits {stream: [(N, C)] * K} of the deciding cases, of each test view.
        cases: N that choose.
    """
    decision = Decision(views=settings.test_views)
    names = network.names_of(views[0]) if views else []
    if settings.stream_weights == "none":
        return decision, {}
    if len(names) < 2:
        return decision, {"streams": names}

    def decide(weights: Mapping[str, float]) -> list[Tensor]:
        replace(decision, weights=weights).weigh(network)
        return mean_probabilities(network, views)

    best = search_weights(
        decide,
        names,
        subject.pool.labels,
        np.array([case.labels for case in cases]),
        settings.stream_weights,
        least_to_choose_by(subject, settings, cases),
    )
    decision = replace(decision, weights=best.weights)
    decision.weigh(network)
    return decision, {
        "weights": best.weights,
        settings.stream_weights: best.score,
        "step": best.step,
        "tried": best.tried,
    }


def calibrate(
    subject: Subject,
    settings: Settings,
    decision: Decision,
    probabilities: Sequence[Tensor],
    cases: Sequence[Case],
) -> tuple[Decision, Record]:
    """Temperatures and thresholds for probabilities [(N, C)] * K of the cases that choose."""
    record: Record = {}
    names = [label.name for label in subject.pool.labels]
    truth = torch.tensor([case.labels for case in cases])
    if settings.calibration == "temperature":
        fitted = {
            name: fit_temperature(rows, truth[:, number])
            for number, (name, rows) in enumerate(zip(names, probabilities, strict=True))
        }
        decision = replace(decision, temperatures=fitted)
        before = predictions_of(subject, cases, probabilities, settings.min_positives)
        probabilities = decision.calibrate(names, probabilities)
        after = predictions_of(subject, cases, probabilities, settings.min_positives)
        record["temperatures"] = {
            name: {
                "temperature": fitted[name],
                "calibration_error": _pair(_calibration_error, before, after, name),
                "nll": _pair(_likelihood, before, after, name),
            }
            for name in names
        }
    if settings.threshold != "argmax":
        predictions = predictions_of(subject, cases, probabilities, settings.min_positives)
        decision, table = _thresholds(settings, decision, predictions)
        record["thresholds"] = table
    return decision, record


def _thresholds(
    settings: Settings, decision: Decision, predictions: Predictions
) -> tuple[Decision, Record]:
    assert settings.threshold != "argmax"
    record, thresholds = {}, {}
    for name, label in predictions.labels.items():
        fitted = fit_thresholds(label, predictions.groups, settings.threshold, settings.seed)
        numbers = [_plain(value) for value in fitted.values]
        record[name] = {
            "classes": dict(zip(label.classes, numbers, strict=True)),
            "most_likely": _plain(fitted.likely),
            "naive": _plain(fitted.naive),
            "nested": _plain(fitted.nested),
        }
        if not np.isnan(fitted.values).all():
            thresholds[name] = fitted.values
    decision = replace(decision, threshold=settings.threshold, thresholds=thresholds)
    return decision, record


def _pair(measure: Any, before: Predictions, after: Predictions, name: str) -> list[float | None]:
    """What it is before and after, of one label."""
    return [_plain(measure(part.labels[name])) for part in (before, after)]


def _calibration_error(label: Any) -> float:
    return reliability(label).error


def _likelihood(label: Any) -> float:
    return negative_log_likelihood(torch.from_numpy(label.scores), torch.from_numpy(label.truth))


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

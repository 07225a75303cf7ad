"""What classifiers have to learn: a few studies exactly, or classes that lie apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sm3kit.classifiers.base import Classifier, LabelledFeatures, Streams
from sm3kit.testing.classifier_trial import ClassifierTrial
from sm3kit.testing.law import require

STUDIES, STEPS, RATE = 16, 600, 3e-3  # Overfitted: steps of Adam at most.
AT_ONCE = 20  # Steps from look to look.


def overfits(trial: ClassifierTrial, names: Sequence[str]) -> None:
    """Random studies are overfitted: every AUC reaches one."""
    classifier, batch = trial.build(names), trial.batch(names, STUDIES).copied()
    optimiser = torch.optim.Adam(classifier.parameters(), lr=RATE)
    share = 0.0
    for _ in range(STEPS // AT_ONCE):
        for _ in range(AT_ONCE):
            optimiser.zero_grad()
            torch.autograd.backward(batch.loss(classifier.train()))
            optimiser.step()
        with torch.no_grad():
            share = right_order(classifier.decide(batch.ask(classifier.eval())), batch.labels)
        if share == 1:
            return
    require(
        False,
        f"does not overfit {STUDIES} studies: {100 * share:.1f} % of their pairs are in "
        f"the right order after {STEPS} steps of Adam",
    )


def studies_apart(trial: ClassifierTrial, names: Sequence[str]) -> LabelledFeatures:
    """Studies whose classes lie apart in the features of every modality."""
    train, _ = trial.to_fit(names)
    features = {name: 0.01 * rows.clone() for name, rows in train.features.items()}
    place = 0
    for label, classes in enumerate(trial.inputs(names).classes):
        for number in range(classes):
            for rows in features.values():
                rows[train.labels[:, label] == number, place] += 1.0
            place += 1
    return replace(train, features=features)


def fits_alike(trial: ClassifierTrial, names: Sequence[str], train: LabelledFeatures) -> None:
    """Fitted twice, it chooses and gives the same, and has every study in the right order."""
    for choosing in (None, train):
        first, second = trial.build(names), trial.build(names)
        chosen = [classifier.fit(train, choosing) for classifier in (first, second)]
        require(chosen[0] == chosen[1], "chooses something else the second time")
        whole = all(math.isfinite(value) for value in chosen[0].values())
        require(whole, "chooses what is not finite")
        require(near(_ask(first, train), _ask(second, train)), "differs when fitted again")
        share = right_order(first.decide(_ask(first, train)), train.labels)
        require(share == 1, "does not tell classes apart that lie apart")


def leaves_out_unknown(
    trial: ClassifierTrial, names: Sequence[str], train: LabelledFeatures
) -> None:
    """Studies of an unknown class change nothing of that label, even where all are unknown."""
    unknown = torch.arange(len(train.labels)) % 5 == 0
    features = {
        name: rows.masked_fill(unknown.unsqueeze(1), 9.0) for name, rows in train.features.items()
    }
    for labels, choosing in ((slice(None), True), (slice(0, 1), False)):
        classes = train.labels.clone()
        classes[unknown, labels] = -1
        answers = []
        for rows in (train.features, features):
            known, classifier = replace(train, features=rows, labels=classes), trial.build(names)
            classifier.fit(known, known if choosing else None)
            answers.append([logits[labels] for logits in _ask(classifier, train).values()])
        require(near(*answers), "lets studies count for a label whose class is unknown")
    _fits_one_class(trial, names, train)


def _fits_one_class(trial: ClassifierTrial, names: Sequence[str], train: LabelledFeatures) -> None:
    """A label of which all known studies are of one class, or none is known, stops nothing."""
    for known in (0, -1):
        classes = train.labels.clone()
        classes[:, 0] = known
        classifier = trial.build(names)
        classifier.fit(replace(train, labels=classes), train)
        rows = classifier.decide(_ask(classifier, train))
        require(finite(rows), "decides what is not finite where a label has one class or none")


def right_order(decided: Sequence[Tensor], labels: Tensor) -> float:
    """The least AUC of all classes, from 0 to 1; ties count nothing.

    Args:
        decided: [(B, C_k)] * K probabilities.
        labels: (B, K).
    """
    shares = []
    for label, probabilities in enumerate(decided):
        for number, scores in enumerate(probabilities.unbind(dim=1)):
            mine = labels[:, label] == number
            shares.append((scores[mine].unsqueeze(1) > scores[~mine]).double().mean())
    return float(torch.stack(shares).min())


def near(first: Any, second: Any) -> bool:
    """Whether two tables or lists hold the same numbers, but for rounding of the largest."""
    if isinstance(first, Mapping):
        return list(first) == list(second) and all(near(first[n], second[n]) for n in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(near, first, second))
    first, second = first.detach().double(), second.detach().double()
    largest = max(1.0, float(first.abs().max())) if first.numel() else 1.0
    return torch.allclose(first, second, rtol=1e-4, atol=1e-5 * largest)


def finite(value: Any) -> bool:
    """Whether all numbers of a table or list are finite."""
    if isinstance(value, Mapping):
        return all(map(finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(finite, value))
    return bool(value.isfinite().all())


def _ask(classifier: Classifier, studies: LabelledFeatures) -> Streams:
    with torch.no_grad():
        return classifier.eval()(studies.features, studies.present)  # type: ignore[no-any-return]

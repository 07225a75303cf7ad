"""From runs and a question to class probabilities of every study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from sm3kit.core.errors import VariantError
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.datasets.base import LabelSpec
from sm3kit.deployment.asking import Asked, Question, asked_of, check_names, known_studies
from sm3kit.deployment.checklist import RULE, checklist_of, seven_points
from sm3kit.deployment.predictor import Predictor
from sm3kit.deployment.reading import Read, batches_of
from sm3kit.deployment.statement import STATEMENT
from sm3kit.evaluation.caveats import caveats_of_studies
from sm3kit.runs.run import versions

Record = dict[str, Any]
Table = dict[str, dict[str, float]]


@dataclass
class Answer:
    """What is said of one study.

    Attributes:
        tables: {label: {class: probability}} of each run that saw it.
        runs: the numbers of these runs.
        images: {modality: file} of those that any run looked at.
        split: where the data have one.
        fault: why it could not be read; empty where it could.
    """

    tables: list[Table] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    split: str = ""
    fault: str = ""


def predict(
    predictors: Sequence[Predictor], question: Question, images: ImageCache, reporter: Reporter
) -> Record:
    """Class probabilities of every label and study; of several runs their mean.

    A study with an image that cannot be read is listed under `unreadable`, and so is one
    without any image that a run knows. Of several runs, those that know none of a study's
    modalities have no say in it.

    Args:
        predictors: one, or several with the same labels.
        images: decoded images.

    Returns:
        The record: `statement`, `classifiers`, `labels`, `checklist` where the labels are those
        of the checklist, `studies`, `unreadable`, `notes` and `versions`.

    Raises:
        SM3Error: the labels of the runs differ, or the question cannot be answered at all.
    """
    labels = predictors[0].file.labels
    known = list(dict.fromkeys(name for one in predictors for name in one.modalities))
    check_names(list(question.images), known)
    for other in predictors[1:]:
        check_same_labels(predictors[0], other)
    asked = [asked_of(predictor, question) for predictor in predictors]
    answers: dict[str, Answer] = {}
    for number, (predictor, one) in enumerate(zip(predictors, asked, strict=True)):
        for name in [*(case.study.id for case in one.cases), *one.blind]:
            answers.setdefault(name, Answer())
        _ask(predictor, number, one, images, reporter, answers)
    for answer in answers.values():
        if not (answer.tables or answer.fault):
            answer.fault = f"It has no image of {', '.join(known)}."
    prefix = checklist_of({label.name: label.classes for label in labels})
    return {
        "statement": STATEMENT,
        "classifiers": [_described(predictor) for predictor in predictors],
        "labels": {
            one.name: {"classes": list(one.classes), "reported": one.reported or None}
            for one in labels
        },
        **({} if prefix is None else {"checklist": RULE}),
        "studies": [
            _study(name, one, labels, known, prefix, len(predictors))
            for name, one in answers.items()
            if not one.fault
        ],
        "unreadable": [{"id": n, "error": one.fault} for n, one in answers.items() if one.fault],
        "notes": _notes(predictors, asked, question, images),
        "versions": versions(),
    }


def check_same_labels(one: Predictor, other: Predictor) -> None:
    """Says so if two classifiers have other labels, or other classes of them.

    Raises:
        VariantError: they do.
    """
    mine, theirs = ({label.name: label for label in p.file.labels} for p in (one, other))
    for name in dict.fromkeys([*mine, *theirs]):
        if name not in mine or name not in theirs:
            lacking, having = (one, other) if name not in mine else (other, one)
            raise VariantError(
                f"Runs are averaged by label, and {having.trained.folder} knows {name}, which "
                f"{lacking.trained.folder} does not. Give runs with the same labels."
            )
        if set(mine[name].classes) != set(theirs[name].classes):
            raise VariantError(
                f"Label {name} has the classes {', '.join(mine[name].classes)} in "
                f"{one.trained.folder} and {', '.join(theirs[name].classes)} in "
                f"{other.trained.folder}. Give runs with the same labels."
            )


def _ask(
    predictor: Predictor,
    number: int,
    asked: Asked,
    images: ImageCache,
    reporter: Reporter,
    answers: Mapping[str, Answer],
) -> None:
    """Adds what one predictor says."""
    read = Read()
    predictor.to("cuda" if torch.cuda.is_available() else "cpu")
    with reporter:
        task = reporter.task("predicting", len(asked.cases))
        found = _probabilities(
            predictor, asked, images, read, lambda: reporter.advance(task, status="")
        )
        reporter.done(task)
    predictor.to("cpu")
    for row, place in enumerate(read.whole):
        study, shown = asked.cases[place].study, asked.cases[place].shown()
        answer = answers[study.id]
        answer.tables.append(
            {
                label.name: dict(zip(label.classes, rows[row].tolist(), strict=True))
                for label, rows in zip(predictor.file.labels, found, strict=True)
            }
        )
        answer.runs.append(number)
        answer.images.update(shown)
        answer.split = study.split
    for place, fault in read.faults.items():
        answers[asked.cases[place].study.id].fault = fault


def _probabilities(
    predictor: Predictor, asked: Asked, images: ImageCache, read: Read, advance: Any
) -> list[Tensor]:
    """Class probabilities [(N, C)] * K of the studies that can be read; none without any."""
    batches = batches_of(
        asked,
        predictor.modalities,
        predictor.streams,
        images,
        predictor.trained.variant.batch_size,
        read,
        advance,
    )
    # Closed here, also where the networks fail: else a thread may have to wait for itself.
    with closing(batches):
        first = next(batches, None)
        return [] if first is None else predictor.probabilities(chain([first], batches))


def _study(
    name: str,
    answer: Answer,
    labels: Sequence[LabelSpec],
    known: Sequence[str],
    prefix: str | None,
    runs: int,
) -> Record:
    probabilities = {
        label.name: {
            one: sum(table[label.name][one] for table in answer.tables) / len(answer.tables)
            for one in label.classes
        }
        for label in labels
    }
    return {
        "id": name,
        **({"split": answer.split} if answer.split else {}),
        "images": answer.images,
        "missing": [one for one in known if one not in answer.images],
        **({"runs": answer.runs} if runs > 1 else {}),
        "probabilities": probabilities,
        "decisions": {name: max(row, key=row.__getitem__) for name, row in probabilities.items()},
        **({} if prefix is None else {"seven_point": seven_points(probabilities, prefix)}),
    }


def _described(predictor: Predictor) -> Record:
    file = predictor.file
    return {
        "run": str(predictor.trained.folder),
        "file": str(file.path),
        "model": file.model,
        "protocol": file.protocol,
        "scope": file.scope,
        "select": file.select,
        "split": file.split,
        "leaky": file.leaky,
        "chosen": dict(file.chosen),
        "data": list(file.data),
        "modalities": list(predictor.modalities),
    }


def _notes(
    predictors: Sequence[Predictor], asked: Sequence[Asked], question: Question, images: ImageCache
) -> list[str]:
    def told() -> Iterator[str]:
        for predictor, one in zip(predictors, asked, strict=True):
            if one.ignored:
                yield (
                    f"The classifier of {predictor.trained.folder} does not know "
                    f"{', '.join(one.ignored)}, and leaves it out."
                )
            if predictor.file.leaky:
                yield (
                    f"The classifier {predictor.file.path} was selected on the split that it was "
                    "measured on: its published result is too good."
                )
            yield from caveats_of_studies(known_studies(predictor, one, question, images))

    return list(dict.fromkeys(told()))

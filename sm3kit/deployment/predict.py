"""From runs and a question to class probabilities of every study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sm3kit.core.files import whole_file
from sm3kit.core.names import free_name
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.datasets.base import LabelSpec
from sm3kit.deployment import STATEMENT
from sm3kit.deployment.calling import Thresholds, called, thresholds_of
from sm3kit.deployment.predictor import Predictor
from sm3kit.deployment.question import (
    Question,
    StudyList,
    check_names,
    check_same_labels,
    find_studies,
    studies_seen_before,
)
from sm3kit.deployment.reading import read_and_predict
from sm3kit.evaluation.record_text import caveats_of_studies
from sm3kit.metrics.checklist import RULE, checklist_of, seven_points
from sm3kit.runs.record import versions
from sm3kit.runs.supervision import supervision_notes
from sm3kit.tables.spreadsheets import write_rows

FIRST, LAST = ("id", "split", "missing"), "error"
SEVEN_POINT = {
    "score": "seven_point",
    "expected": "seven_point_expected",
    "suspicious": "seven_point_suspicious",
}
Record = dict[str, Any]
Probabilities = dict[str, dict[str, float]]


@dataclass
class StudyPrediction:
    """What is said of one study.

    Attributes:
        tables: {label: {class: probability}} of each run that saw it.
        runs: the numbers of these runs.
        images: {modality: file} of those that any run looked at.
        split: where the data have one.
        fault: why it could not be read; empty where it could.
    """

    tables: list[Probabilities] = field(default_factory=list)
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
        of the checklist, `thresholds` where the classifiers have any, `studies`, `unreadable`, `notes` and `versions`.

    Raises:
        SM3Error: the labels of the runs differ, or the question cannot be answered at all.
    """
    labels = predictors[0].file.labels
    known = list(dict.fromkeys(name for owner in predictors for name in owner.modalities))
    check_names(list(question.images), known)
    for other in predictors[1:]:
        check_same_labels(predictors[0], other)
    lists = [find_studies(predictor, question) for predictor in predictors]
    predictions: dict[str, StudyPrediction] = {}
    for number, (predictor, studies) in enumerate(zip(predictors, lists, strict=True)):
        for name in [*(case.study.id for case in studies.cases), *studies.blind]:
            predictions.setdefault(name, StudyPrediction())
        _add_predictions(predictor, number, studies, images, reporter, predictions)
    for prediction in predictions.values():
        if not (prediction.tables or prediction.fault):
            prediction.fault = f"It has no image of {', '.join(known)}."
    prefix = checklist_of({label.name: label.classes for label in labels})
    whole = {name: study for name, study in predictions.items() if not study.fault}
    thresholds = thresholds_of([predictor.file for predictor in predictors])
    return {
        "statement": STATEMENT,
        "classifiers": [_describe(predictor) for predictor in predictors],
        "labels": {
            label.name: {"classes": list(label.classes), "reported": label.reported or None}
            for label in labels
        },
        **({} if prefix is None else {"checklist": RULE}),
        **({"thresholds": thresholds} if thresholds else {}),
        "studies": [
            _study(name, study, labels, known, prefix, len(predictors), thresholds)
            for name, study in whole.items()
        ],
        "unreadable": [
            {"id": name, "error": study.fault} for name, study in predictions.items() if study.fault
        ],
        "notes": _notes(predictors, lists, question, images),
        "versions": versions(),
    }


def _add_predictions(
    predictor: Predictor,
    number: int,
    studies: StudyList,
    images: ImageCache,
    reporter: Reporter,
    predictions: Mapping[str, StudyPrediction],
) -> None:
    """Adds what one predictor says."""
    read, probabilities = read_and_predict(predictor, studies, images, reporter)
    for row, place in enumerate(read.whole):
        case = studies.cases[place]
        prediction = predictions[case.study.id]
        prediction.tables.append(
            {
                label.name: dict(zip(label.classes, rows[row].tolist(), strict=True))
                for label, rows in zip(predictor.file.labels, probabilities, strict=True)
            }
        )
        prediction.runs.append(number)
        prediction.images.update(case.eval_images())
        prediction.split = case.study.split
    for place, fault in read.faults.items():
        predictions[studies.cases[place].study.id].fault = fault


def _study(
    name: str,
    prediction: StudyPrediction,
    labels: Sequence[LabelSpec],
    known: Sequence[str],
    prefix: str | None,
    runs: int,
    thresholds: Thresholds,
) -> Record:
    probabilities = {
        label.name: {
            name: sum(table[label.name][name] for table in prediction.tables)
            / len(prediction.tables)
            for name in label.classes
        }
        for label in labels
    }
    return {
        "id": name,
        **({"split": prediction.split} if prediction.split else {}),
        "images": prediction.images,
        "missing": [name for name in known if name not in prediction.images],
        **({"runs": prediction.runs} if runs > 1 else {}),
        "probabilities": probabilities,
        "decisions": {name: max(row, key=row.__getitem__) for name, row in probabilities.items()},
        **({"called": called(probabilities, thresholds)} if thresholds else {}),
        **({} if prefix is None else {"seven_point": seven_points(probabilities, prefix)}),
    }


def _describe(predictor: Predictor) -> Record:
    file = predictor.file
    return {
        "run": str(predictor.run.folder),
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
    predictors: Sequence[Predictor],
    lists: Sequence[StudyList],
    question: Question,
    images: ImageCache,
) -> list[str]:
    notes = supervision_notes((str(own.run.folder), [own.supervision]) for own in predictors)
    for predictor, studies in zip(predictors, lists, strict=True):
        if studies.ignored:
            notes.append(
                f"The classifier of {predictor.run.folder} was not trained on "
                f"{', '.join(studies.ignored)}, and ignores it."
            )
        if predictor.file.leaky:
            notes.append(
                f"The classifier {predictor.file.path} was selected on the split it was evaluated "
                "on: its result is optimistically biased."
            )
        seen = studies_seen_before(predictor, studies, question, images)
        notes += caveats_of_studies(seen)
    return list(dict.fromkeys(notes))


def write_csv(record: dict[str, Any], path: Path) -> None:
    """Writes a row per study: decision and all probabilities of each label, as `DIAG` and `DIAG:MEL`.

    Where the classifier has thresholds, `DIAG:called` lists the classes that reach theirs.

    A label that is called as another column has a `_` behind its name. Unreadable studies come
    last, with blanks and the reason under `error`.

    Args:
        record: of `predict`.

    Raises:
        SM3Error: the file cannot be written.
    """
    points = SEVEN_POINT if "checklist" in record else {}
    heads, ends = list(FIRST), [*points.values(), LAST]
    for name, label in record["labels"].items():
        more = [f"{name}:called"] if "thresholds" in record else []
        for column in (name, *(f"{name}:{value}" for value in label["classes"]), *more):
            heads.append(free_name(column, [*heads, *ends]))
    width = len(heads) + len(points) - len(FIRST)
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        rows = [[*heads, *ends], *(_csv_row(study, points) for study in record["studies"])]
        rows += [[row["id"], "", "", *[""] * width, row["error"]] for row in record["unreadable"]]
        write_rows(file, rows)


def _csv_row(study: dict[str, Any], points: Iterable[str]) -> list[Any]:
    row = [study["id"], study.get("split", ""), " ".join(study["missing"])]
    for name, table in study["probabilities"].items():
        row += [study["decisions"][name], *table.values()]
        row += ["; ".join(study["called"][name])] if "called" in study else []
    return [*row, *(study["seven_point"].get(name, "") for name in points), ""]

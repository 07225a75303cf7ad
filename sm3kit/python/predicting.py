"""Predictions for new cases from the words of a user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sm3kit.core.errors import DataError, UnknownKeyword, VariantError
from sm3kit.core.names import suggestion
from sm3kit.deployment.predict import predict as predict_question
from sm3kit.deployment.predict import write_csv
from sm3kit.deployment.predictor import Predictor, open_predictors
from sm3kit.deployment.question import Question
from sm3kit.evaluation.settings import Selection
from sm3kit.python.calls import (
    File,
    RunLike,
    Words,
    check_keywords,
    folder_of,
    nest_options,
    surroundings,
    words,
)
from sm3kit.results.prediction_table import prediction_table
from sm3kit.results.table import Table

Protocol = Literal["probe", "finetune"]


class Prediction:
    """What was predicted for one study; a notebook shows it as a table.

    Attributes:
        id: of the study.
        decisions: {label: the most likely class}.
        called: {label: the classes that reach their thresholds}; empty without thresholds.
        probabilities: {label: {class: probability}}.
        images: {modality: the file that was looked at}.
        missing: modalities that it was predicted without.
        seven_point: the 7-point checklist where the labels are its criteria; else None.
        notes: what to know, a sentence each.
        statement: what this is not meant for.
        record: everything, as `sm3kit predict --json` prints it.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = record
        (study,) = record["studies"]
        self.id: str = study["id"]
        self.decisions: Mapping[str, str] = study["decisions"]
        self.called: Mapping[str, Sequence[str]] = study.get("called", {})
        self.probabilities: Mapping[str, Mapping[str, float]] = study["probabilities"]
        self.images: Mapping[str, str] = study["images"]
        self.missing: Sequence[str] = study["missing"]
        self.seven_point: Mapping[str, Any] | None = study.get("seven_point")
        self.notes: Sequence[str] = record["notes"]
        self.statement: str = record["statement"]

    def table(self) -> Table:
        """The table, which can be written as LaTeX, Markdown, HTML or a DataFrame."""
        return prediction_table(self.record)

    def _repr_html_(self) -> str:
        return self.table().to_html()

    def __repr__(self) -> str:
        """The study and its classes."""
        decisions = ", ".join(f"{label} {name}" for label, name in self.decisions.items())
        return f"<Prediction for {self.id}: {decisions}>"

    def __str__(self) -> str:
        """The table as plain text."""
        return str(self.table())


class Predictions(Sequence[Prediction]):
    """Predictions for many studies, in order; a notebook shows them as a table.

    Attributes:
        unreadable: {id: why a study could not be read}.
        notes: what to know, a sentence each.
        record: everything, as `sm3kit predict --json` prints it.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = record
        self.unreadable = {row["id"]: row["error"] for row in record["unreadable"]}
        self.notes: Sequence[str] = record["notes"]
        self._studies = [Prediction({**record, "studies": [study]}) for study in record["studies"]]

    def __len__(self) -> int:
        """How many studies could be read."""
        return len(self._studies)

    def __getitem__(self, place: Any) -> Any:
        """The prediction at a place, or those of a slice as a list."""
        return self._studies[place]

    def __iter__(self) -> Iterator[Prediction]:
        """Every prediction."""
        return iter(self._studies)

    def table(self) -> Table:
        """The table, which can be written as LaTeX, Markdown, HTML or a DataFrame."""
        return prediction_table(self.record)

    def to_csv(self, file: File) -> None:
        """Writes a row per study, with the probabilities of all classes.

        Raises:
            SM3Error: the file cannot be written.
        """
        write_csv(dict(self.record), Path(file))

    def _repr_html_(self) -> str:
        return self.table().to_html()

    def __repr__(self) -> str:
        """How many studies there are."""
        unreadable = f", {len(self.unreadable)} unreadable" if self.unreadable else ""
        return f"<Predictions for {len(self)} studies{unreadable}>"

    def __str__(self) -> str:
        """The table as plain text."""
        return str(self.table())


@check_keywords
def predict(
    run: RunLike | Sequence[RunLike],
    images: Mapping[str, File] | None = None,
    /,
    *,
    protocol: Protocol | None = None,
    select: Selection | None = None,
    classifier: str = "",
    cache: bool = True,
    quiet: bool = False,
    **modalities: File,
) -> Prediction:
    """Predicts the labels of one new study: `run.predict(derm="a.jpg", clinic="b.jpg")`.

    An evaluation has trained the classifier before; `sm3kit.evaluate(run)` does. A modality may be
    missing.

    Args:
        run: the run, or its folder; of several, the mean of their probabilities.
        images: {modality: file}, for modalities whose names are no Python names.
        protocol: take the classifier that this protocol trained.
        select: take the classifier whose epoch was chosen so.
        classifier: take the one of this label, as `evaluate` names it.
        cache: whether decoded images are kept for the next time.
        quiet: show warnings only.
        **modalities: the image of each modality.

    Returns:
        `decisions`, `probabilities`, and `table()`.

    Raises:
        SM3Error: no classifier, an unknown modality, or an image that cannot be read.
    """
    files = {name: str(file) for name, file in {**(images or {}), **modalities}.items()}
    predictors = _open(run, protocol, select, classifier)
    known = list(dict.fromkeys(name for owner in predictors for name in owner.modalities))
    _check_modalities(files, known)
    around = surroundings(quiet=quiet, cache=cache)
    record = predict_question(predictors, Question(images=files), around.images, around.reporter)
    if record["unreadable"]:
        raise DataError(record["unreadable"][0]["error"])
    return Prediction(record)


@check_keywords
def predict_studies(
    run: RunLike | Sequence[RunLike],
    *,
    manifest: File | None = None,
    data: Words | None = None,
    split: Literal["train", "val", "test"] | None = None,
    drop: Words | None = None,
    map: Mapping[str, str] | None = None,
    protocol: Protocol | None = None,
    select: Selection | None = None,
    classifier: str = "",
    options: Mapping[str, Any] | None = None,
    cache: bool = True,
    quiet: bool = False,
) -> Predictions:
    """Predicts the labels of many studies: of a table, of a data set, or of the run's own data.

    Args:
        run: the run, or its folder; of several, the mean of their probabilities.
        manifest: a CSV file with a row per study: an id, and a column of paths per modality.
        data: data sets, such as "derm7pt:release_v0".
        split: only this split of `data`, or of the run's own data.
        drop: modalities whose images are left out; "0.5:clinic" of half of the studies.
        map: {modality of the run: what the data call it}.
        protocol: take the classifier that this protocol trained.
        select: take the classifier whose epoch was chosen so.
        classifier: take the one of this label, as `evaluate` names it.
        options: of the data sets, such as {"manifest.modalities": "ct,mri"}.
        cache: whether decoded images are kept for the next time.
        quiet: show warnings only.

    Returns:
        A `Prediction` for each study that could be read.

    Raises:
        SM3Error: no classifier, or data that cannot be opened.
    """
    if (manifest is not None) + bool(data) > 1 or (manifest is not None and split):
        raise VariantError("Give either manifest or data; split goes with data, or alone.")
    if manifest is None and not data and not split:
        raise VariantError(
            "There is nothing to predict. Give manifest=FILE, data=SPEC, or split='test' for the "
            "run's own data."
        )
    question = Question(
        manifest=None if manifest is None else Path(manifest), data=words(data), split=split,
        rename=map or {}, options=nest_options(options), drop=words(drop),
    )  # fmt: skip
    predictors = _open(run, protocol, select, classifier)
    around = surroundings(quiet=quiet, cache=cache)
    return Predictions(predict_question(predictors, question, around.images, around.reporter))


def _open(
    run: RunLike | Sequence[RunLike], protocol: str | None, select: str | None, classifier: str
) -> list[Predictor]:
    several: Any = run if isinstance(run, list | tuple) else [run]
    folders = [folder_of(member) for member in several]
    return open_predictors(folders, protocol, select, classifier)


def _check_modalities(images: Mapping[str, str], known: Sequence[str]) -> None:
    """Answers a keyword that is no modality, and no keyword of `predict` either."""
    if not images:
        example = ", ".join(f'{name}="{name}.jpg"' for name in known)
        raise VariantError(f"There is nothing to predict. Give images: predict({example}).")
    words = ["protocol", "select", "classifier", "cache", "quiet"]
    for name in images:
        if name not in known:
            near = suggestion(name, [*known, *words])
            raise UnknownKeyword(
                f"predict() has no keyword {name!r}, and the run no such modality. {near}"
                f"Modalities: {', '.join(known)}."
            )

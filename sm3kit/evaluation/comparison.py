"""Two runs on the same studies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sm3kit.core.errors import DataError, VariantError
from sm3kit.core.variant import Variant
from sm3kit.evaluation.command import chosen_settings, evaluate_command
from sm3kit.evaluation.evaluate import Record, evaluate, head_of, together_at
from sm3kit.evaluation.missing.dropped import dropped_notes
from sm3kit.evaluation.predicting import predictions_of
from sm3kit.evaluation.record_file import read_record
from sm3kit.evaluation.record_text import reporting_notes
from sm3kit.evaluation.result_files import (
    check_place,
    label_of,
    predictions_file,
    result_file,
)
from sm3kit.evaluation.settings import PREDICTING, Settings, settings_of, uses_relation
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.predictions import Predictions
from sm3kit.metrics.resampled import align
from sm3kit.metrics.summary import compare
from sm3kit.nn.processes import from_first, process_rank
from sm3kit.runs.supervision import supervision_notes

Task = tuple[Subject, Settings]
# Two runs may differ in these: one is replicated, and the comparison draws its own resamples.
FREE = ("seed", "resamples")
# What a result depends on; two results that agree in these are the same.
SAME = ("settings", "of", "data", "data_hash", "map", "options", "seen", "replaced")


def compare_runs(first: Task, second: Task, *, label: str = "") -> dict[str, Any]:
    """How much the second run improves on the first, with paired intervals.

    A result that is on disk already, made with the same settings on the same data, is not made
    again.

    Args:
        first, second: a run and how it is evaluated; both with the same settings, except for what
            the protocol itself sets for runs with stage 2.
        label: the name of both evaluations; empty for none.

    Returns:
        The comparison; it is empty in all processes but the first.

    Raises:
        VariantError: a protocol without labels, two protocols, or other settings for one of the
            runs; or a result of other settings that would be replaced.
        DataError: the studies or the labels differ.
    """
    protocols = [first[1].protocol, second[1].protocol]
    if not {*protocols} <= {*PREDICTING} or len(set(protocols)) > 1:
        raise VariantError(
            "--compare takes one protocol with labels for both runs: probe, finetune or knn, not "
            f"{' and '.join(dict.fromkeys(protocols))}. Give --protocol."
        )
    _check_fair(first, second)
    align(*(_truth(*task) for task in (first, second)))  # Before either is evaluated.
    for task in (first, second):
        check_place(*task, label, lambda name: _command(first, second, name))
    files = [str(result_file(*task, label)) for task in (first, second)]
    with together_at(first[0], " and ".join(files)):
        made = _evaluation_of(*first, label), _evaluation_of(*second, label)
    if made[0] is None or made[1] is None:
        return {}
    (first_record, first_scores), (second_record, second_scores) = made[0], made[1]
    records, settings = (first_record, second_record), second[1]
    difference = compare(first_scores, second_scores, settings.resamples)
    return {
        "protocol": settings.protocol,
        "split": settings.split,
        "select": settings.select,
        "leaky": first_record["leaky"] or second_record["leaky"],
        **{
            name: _either(first_record.get(name), second_record.get(name))
            for name in ("seen", "replaced")
        },
        "runs": [first_record["of"]["run"], second_record["of"]["run"]],
        "of": [first_record["of"], second_record["of"]],
        "seeds": [*first_record["seeds"], *second_record["seeds"]],
        "files": [first_record["file"], second_record["file"]],
        "label": label,
        "differs": _differences(first_record["settings"], second_record["settings"]),
        "means": [first_record["mean"]["auc"], second_record["mean"]["auc"]],
        "notes": [
            *dropped_notes(first_record),
            *supervision_notes((own["of"]["run"], [own["of"]]) for own in records),
            *reporting_notes(difference["labels"], difference["min_positives"]),
        ],
        **difference,
    }


def _evaluation_of(
    subject: Subject, settings: Settings, label: str = ""
) -> tuple[Record, Predictions] | None:
    """The record and the predictions of an evaluation, from disk if it was done before.

    Of several processes the first one looks for all, and the others get None.
    """
    file = result_file(subject, settings, label)
    if not from_first(_is_kept(subject, settings, file)):
        evaluate(subject, settings, label=label)
    if process_rank():
        return None
    return read_record(file), Predictions.load(predictions_file(file))


def _is_kept(subject: Subject, settings: Settings, file: Path) -> bool:
    """Whether a result of the same settings on the same data is on disk, with its predictions."""
    try:
        record, head = read_record(file), head_of(subject, settings)
        Predictions.load(predictions_file(file))
    except (OSError, DataError):
        return False
    return all(record.get(name) == head[name] for name in SAME)


def _either(first: list[str] | None, second: list[str] | None) -> list[str] | None:
    """What is in either of two lists; None if neither is known."""
    known = [names for names in (first, second) if names is not None]
    return list(dict.fromkeys(name for names in known for name in names)) if known else None


def _differences(first: dict[str, Any], second: dict[str, Any]) -> dict[str, list[Any]]:
    """{setting: both values} of the settings in which two evaluations differ."""
    return {
        name: [first[name], second.get(name)] for name in first if first[name] != second.get(name)
    }


def _truth(subject: Subject, settings: Settings) -> Predictions:
    """The studies and labels that a run would be measured on, without a prediction."""
    cases = subject.measured(settings)
    blank = [torch.zeros(len(cases), len(label.classes)) for label in subject.pool.labels]
    return predictions_of(subject, cases, blank, settings.min_positives)


def _check_fair(first: Task, second: Task) -> None:
    """Refuses two runs whose own settings differ, with the command that gives both the same.

    Settings that the protocol chooses for runs with or without a relation may differ.
    """
    ours, theirs = first[1].in_use(), second[1].in_use()
    usual = [_of_protocol(*task) for task in (first, second)]
    differing = {
        name: (value, theirs.get(name))
        for name, value in ours.items()
        if name not in FREE
        and value != theirs.get(name)
        and (value, theirs.get(name)) != (usual[0].get(name), usual[1].get(name))
    }
    if not differing:
        return
    texts = [f"{name} {one} and {other}" for name, (one, other) in differing.items()]
    raise VariantError(
        f"The two runs would be evaluated with different settings ({'; '.join(texts)}), which is not a "
        f"fair comparison. {_remedy(first, second, list(differing))}"
    )


def _of_protocol(subject: Subject, settings: Settings) -> dict[str, Any]:
    """What the protocol sets for a run without a recipe."""
    relation = subject.embedding is not None and settings.scope != "heads"
    relation = relation and uses_relation(settings)
    return settings_of(Variant(), settings.protocol, {}, relation=relation).in_use()


def _remedy(first: Task, second: Task, names: list[str]) -> str:
    """The command that evaluates both runs with the same settings."""
    subjects = [first[0], second[0]]
    relations = {subject.embedding is not None for subject in subjects}
    if len(relations) == 2 and first[1].protocol == "probe" and first[1].scope == "auto":
        heads = [_with_heads(*task) for task in (first, second)]
        if all(heads[0].in_use()[name] == heads[1].in_use()[name] for name in names):
            again = _command((subjects[0], heads[0]), (subjects[1], heads[1]))
            return f"To train only linear heads, with the same settings in both: {again}"
    if "views" in names:
        return "Views can only be set in a recipe: compare runs whose recipes agree on them."
    label = label_of({name: (None, first[1].in_use()[name]) for name in names})
    return f"To use the settings of the first for both: {_command(first, second, label, names)}"


def _command(first: Task, second: Task, label: str = "", names: Sequence[str] = ()) -> str:
    """The command that compares both with the settings of the first.

    Args:
        names: settings that it says even where they are those of a run.
    """
    subject, settings = second
    relation = subject.embedding is not None
    own = chosen_settings(subject.trained.variant, settings.in_use(), relation=relation)
    return evaluate_command([first[0], subject], first[1], label, [*names, *own])


def _with_heads(subject: Subject, settings: Settings) -> Settings:
    """The settings of the run with the scope "heads", as its recipes and the protocol say."""
    variant = subject.trained.variant
    relation = subject.embedding is not None
    auto = settings_of(variant, settings.protocol, {}, relation=relation).in_use()
    asked = {name: value for name, value in settings.in_use().items() if auto.get(name) != value}
    return settings_of(variant, settings.protocol, {**asked, "scope": "heads"}, relation=relation)

"""From a run and settings to a result on disk."""

from __future__ import annotations

import dataclasses
import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from sm3kit.core.files import whole_file
from sm3kit.data.pool import case_id
from sm3kit.evaluation.choices import check_choices
from sm3kit.evaluation.classifier_file import REMEDY, save_classifier
from sm3kit.evaluation.clusters import clusters
from sm3kit.evaluation.command import chosen_settings, option_text
from sm3kit.evaluation.decisions.choosing import chosen_decisions, deciding_cases
from sm3kit.evaluation.decisions.stacking import stack_folds
from sm3kit.evaluation.matching import match
from sm3kit.evaluation.missing.dropped import tell_dropped
from sm3kit.evaluation.neighbours import knn
from sm3kit.evaluation.predicting import Answer
from sm3kit.evaluation.record_text import decision_notes, reporting_notes
from sm3kit.evaluation.result_files import check_place, predictions_file, result_file
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.summary import summarise
from sm3kit.nn.processes import process_rank
from sm3kit.published.tables import for_recipe, is_reduced
from sm3kit.runs.record import versions
from sm3kit.runs.studies_seen import cases_trained_on, changed_cases
from sm3kit.training.hardware import machine_record
from sm3kit.training.processes.work import Work

Record = dict[str, Any]


def evaluate(
    subject: Subject, settings: Settings, file: Path | None = None, label: str = ""
) -> Record:
    """Runs a protocol and writes `RUN/eval/<protocol>-<split>.json` and what belongs to it.

    The processes of the subject's world do it together, and the first one writes.

    Args:
        subject: the networks and the studies.
        settings: how they are evaluated.
        file: where the result is written instead; what belongs to it is written beside it.
        label: a name for this evaluation, to keep it beside others of the same protocol and split.

    Returns:
        The record: what was measured how, and `labels` and `mean`, or `space` for "match" and
        `clusters` for "clusters"; empty in all processes but the first.

    Raises:
        SM3Error: settings or data that do not work, or a result of other settings that this one
            would replace; nothing is written.
        Interrupted: the user stopped it.
    """
    check_choices(settings)
    subject.measured(settings)  # Says so first of all if nothing is left to be measured.
    if file is None:
        check_place(subject, settings, label)
        file = result_file(subject, settings, label)
    subject = subject.with_precision(settings.precision)
    deciding_cases(subject, settings, ())  # Says so before the training if there are none.
    if "stack" in chosen_decisions(settings):
        stack_folds(subject, settings)  # Likewise.
    with together_at(subject, str(file)):
        return _measure(subject, settings, file, label)


def together_at(subject: Subject, result: str) -> AbstractContextManager[None]:
    """All processes that evaluate a subject together to make a result; see `together`."""
    if subject.world is None:
        return nullcontext()
    from sm3kit.training.processes.together import together  # It loads Lightning.

    return together(subject.world, Work(subject.run.folder, result))


def _measure(subject: Subject, settings: Settings, file: Path, label: str) -> Record:
    """What a protocol measures, written by the first process, which alone has the record."""
    record = {"label": label, **head_of(subject, settings)}
    tell_dropped(record, subject.remaining(settings))
    if label:
        record["notes"].append(_name_note(subject, settings, label))
    answer: Answer | None = None
    if settings.protocol == "match":
        record |= match(subject, settings)
    elif settings.protocol == "clusters":
        record |= clusters(subject, settings)
    else:
        answer = _answer(subject, settings, file.with_suffix(""))
    if process_rank():
        return {}
    if answer:
        record |= _body(answer, settings)
        record["notes"] += [*_reporting(record), *decision_notes(record)]
        answer.predictions.save(predictions_file(file))
        if answer.network is not None:
            own = file.with_suffix(".safetensors"), subject, settings, record, answer.decision
            save_classifier(answer.network, *own)
    if not {"classifier", "drop"} & {*_chosen_settings(subject, settings)}:
        record |= _published_number(record)
    record["file"] = str(file)
    with whole_file(file, REMEDY) as part:
        part.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return record


def seen_studies(subject: Subject, split: str) -> list[str] | None:
    """The ids of studies of a split that pre-training saw, and nobody meant it to.

    Those count of whose patient or lesion another study was trained on, and what the runs were
    trained on that this one started from. Where the split as a whole was trained on, as the split
    train is, or others by choice, it is empty.

    Returns:
        None for a run that keeps no record of its studies.
    """
    if not subject.studies:
        return None
    same_data = list(subject.variant.data) == list(subject.trained.variant.data)
    if split == "train" or (same_data and split in subject.trained.variant.splits):
        return []
    pool = subject.pool
    seen = cases_trained_on(subject.studies, pool, pool.cases[split], subject.images)
    return [case_id(pool, case) for case in seen]


def replaced_studies(subject: Subject) -> list[str] | None:
    """The ids of studies that have other images than when the run was trained.

    Returns:
        None for a run that keeps no record of its studies.
    """
    if not subject.studies:
        return None
    cases = [case for cases in subject.pool.cases.values() for case in cases]
    replaced = changed_cases(subject.studies, subject.pool, cases, subject.images)
    return [case_id(subject.pool, case) for case in replaced]


def chooses_on_validation(settings: Settings) -> bool:
    """Whether the epoch, k or a decision is chosen on the validation split."""
    return settings.select == "val_best" or bool(chosen_decisions(settings))


def _name_note(subject: Subject, settings: Settings, label: str) -> str:
    """What a named evaluation is, in a sentence."""
    chosen = _chosen_settings(subject, settings)
    texts = [f"{name} {option_text(chosen[name])}" for name in chosen]
    return f"Evaluation {label}: {', '.join(texts) or 'the settings of the run'}."


def _chosen_settings(subject: Subject, settings: Settings) -> dict[str, Any]:
    """{setting: value} of those that are not what the run has by default."""
    variant, relation = subject.trained.variant, subject.embedding is not None
    return chosen_settings(variant, settings.in_use(), relation=relation)


def _answer(subject: Subject, settings: Settings, work: Path) -> Answer:
    if settings.protocol == "knn":
        return knn(subject, settings)
    # Lightning is imported only where something is trained: it takes longer than a matching.
    if settings.protocol == "probe":
        from sm3kit.evaluation.probe import probe

        return probe(subject, settings, work)
    from sm3kit.evaluation.finetune import finetune

    return finetune(subject, settings, work)


def head_of(subject: Subject, settings: Settings) -> Record:
    """What is measured, on what, and how it is chosen."""
    pool, trained = subject.pool, subject.trained
    return {
        "protocol": settings.protocol,
        "split": settings.split,
        "select": settings.select,
        "leaky": settings.select == "test_best"
        or (settings.split == "val" and chooses_on_validation(settings)),
        "seen": seen_studies(subject, settings.split),
        "replaced": replaced_studies(subject),
        "seeds": [settings.seed],
        "of": trained.record(),
        "data": list(subject.variant.data),
        "data_hash": pool.listing_hash(),
        "map": dict(subject.variant.map),
        "options": subject.variant.as_dict()["options"],
        "transfer": list(subject.variant.data) != list(trained.variant.data),
        "studies": {split: len(cases) for split, cases in pool.cases.items()},
        "notes": list(subject.notes),
        "settings": json.loads(json.dumps(dataclasses.asdict(settings))),
        "machine": machine_record(subject.encoder.precision),
        "versions": versions(),
        "trainable_parameters": 0,
    }


def _body(answer: Answer, settings: Settings) -> Record:
    return {
        "scope": answer.scope,
        "chosen": answer.chosen,
        "selection_auc": answer.score,
        "selection_min_positives": answer.least,
        "trainable_parameters": answer.trainable,
        "trained_on": answer.trained_on,
        **({"decision": answer.decided} if answer.decided else {}),
        **summarise(answer.predictions, settings.resamples),
    }


def _reporting(record: Record) -> list[str]:
    """Notes on the classes that the numbers are of, and on those of the selection."""
    least, chosen_by = record["min_positives"], record["selection_min_positives"]
    notes = reporting_notes(record["labels"], least)
    if chosen_by is not None and chosen_by < least:
        notes.append(
            f"No class has {least} studies in the split used for selection; "
            f"{' and '.join(record['chosen'])} was chosen by the AUC of rarer classes."
        )
    return notes


def _published_number(record: Record) -> Record:
    """The published number beside a result: same recipe, protocol, data and split."""
    metric = "mean_rank" if record["protocol"] == "match" else "auc"
    row = for_recipe(record["of"]["recipe"], metric)
    if row is None or row.split != record["split"] or is_reduced(record["of"]["recipe"]):
        return {}
    if not row.is_measured_by(record["protocol"]):
        return {}
    for specs in (record["data"], record["of"]["data"]):
        if [spec.partition(":")[0] for spec in specs] != [row.dataset]:
            return {}
    cell = row.cell(metric)
    published = {
        "table": row.table,
        "row": row.name,
        metric: cell.value,
        "mark": cell.mark(),
        "how": f"{row.runs} run, selection {row.selection}",
    }
    return {"published": published}

"""The words for what stands in a record: the same in every table, page and note."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sm3kit.evaluation.settings import Settings
from sm3kit.metrics.reporting import MIN_GROUPS
from sm3kit.tables.joining import first_few

Record = Mapping[str, Any]

LEAKY = "LEAKY: selected on the split that it was measured on"
RARE_CLASS = f"fewer than {MIN_GROUPS} patients or lesions"
RARE = f"fewer than {MIN_GROUPS} positive or {MIN_GROUPS} negative patients or lesions"


def reported_name(row: Record) -> str:
    """The class of a label in a record, "mean of 4" of several, or "-" of none."""
    if row["reported"]:
        return str(row["reported"])
    return f"mean of {len(row['classes'])}" if row["classes"] else "-"


def support_text(row: Record) -> str:
    """Positive of known cases, "12/102"; of a mean the known ones, "102"."""
    positives, known = row["support"]["positives"], row["support"]["known"]
    return f"{known}" if positives is None else f"{positives}/{known}"


def mean_text(record: Record) -> str:
    """How many labels the mean is over: "8 labels", or "7 of 8" where one has no number."""
    counted, labels = record["mean"]["labels"], len(record["labels"])
    return f"{counted} labels" if counted == labels else f"{counted} of {labels}"


def supported_name(part: Record) -> str:
    """What the mean over the labels that have an interval is called: "mean of 6"."""
    return f"mean of {len(part['labels'])}"


def rare_labels(labels: Mapping[str, Record]) -> list[str]:
    """The labels with a number that have too few patients for an interval.

    Args:
        labels: of a record, or of a summary.
    """
    return [
        name
        for name, row in labels.items()
        if row["auc"] is not None and row.get("rare")  # Older records have none of these.
    ]


def interval_note(record: Record) -> str:
    """Which labels have no interval and why, in a sentence; empty if all have one.

    Args:
        record: with `labels` and `mean`, or a summary.
    """
    names = rare_labels(record.get("labels", {}))
    if not names:
        return ""
    note = f"No interval for {', '.join(names)}, nor for a mean that includes "
    note += f"{'them' if len(names) > 1 else 'it'}: {RARE}."
    part = record["mean"].get("supported")
    return note + f" The {supported_name(part)} is over the other labels." if part else note


def classifier_name(record: Record) -> str:
    """What learned from labels; records of earlier versions have the default one."""
    name: str = record["settings"].get("classifier", Settings.classifier)
    return name


def studies_text(record: Record) -> str:
    """What the intervals rest on: "395 studies of 395 patients or lesions"."""
    return f"{record['cases']} studies of {record['groups']} patients or lesions"


def pairs_were_seen(record: Record) -> bool:
    """Whether pre-training has seen the pairs that are matched."""
    return record["split"] in record["of"]["splits"] and not record["transfer"]


def left_out_text(record: Record) -> str:
    """Which studies a matching without duplicates does not have."""
    count = record["without_duplicates"]["left_out"]
    return f"{count} studies that share an image file are left out"


def reporting_notes(labels: Mapping[str, Record], least: int) -> list[str]:
    """Notes on labels whose numbers leave out a class, or rest on few studies.

    Args:
        labels: {label: its AUC, and what `describe` says of it}.
        least: how many studies are enough.
    """
    notes = []
    # A rare one has a warning of its own.
    few = {n: row for n, row in labels.items() if row.get("few") and not row.get("rare")}
    undefined = {n: row for n, row in labels.items() if row["reported"] and row["auc"] is None}
    for part, text in (
        (few, f"Uncertain, with fewer than {least} positive or {least} negative studies"),
        (undefined, "No AUC without both positive and negative studies"),
    ):
        names = [f"{name} {row['reported']} ({support_text(row)})" for name, row in part.items()]
        notes += [f"{text}: {', '.join(names)}."] if names else []
    enough = {name: row for name, row in labels.items() if not row.get("few")}
    without = {n: row for n, row in enough.items() if not row["reported"] and not row["classes"]}
    if without:
        notes.append(
            f"No result where no class has {least} studies and {least} of other classes: "
            f"{_left_out(without)}. To accept fewer: -o evaluate.min_positives=N."
        )
    partial = {n: row for n, row in enough.items() if n not in without and row.get("left_out")}
    if partial:
        notes.append(
            f"The mean of a label leaves out classes with fewer than {least} studies: "
            f"{_left_out(partial)}."
        )
    return notes


GOALS = {"f1": "F1", "youden": "Youden index"}


def decision_notes(record: Record) -> list[str]:
    """Notes on how classes were decided, where that was chosen.

    Args:
        record: of an evaluation, with its `settings`, and `decision` if anything was chosen.
    """
    decision, settings = record.get("decision", {}), record["settings"]
    where = f"the split {decision.get('chosen_on', 'val')}"
    notes = []
    if "weights" in decision:
        goal = {"auc": "AUC", "accuracy": "accuracy"}[settings["stream_weights"]]
        weights = ", ".join(f"{name} {value:g}" for name, value in decision["weights"].items())
        notes.append(f"Streams are weighted for the best mean {goal} of {where}: {weights}.")
    if "streams" in decision:
        notes.append(
            f"The classifier has one stream, {decision['streams'][0]}: no weights to search."
        )
    if "stack" in decision:
        stack = decision["stack"]
        goal = {"auc": "AUC", "accuracy": "accuracy"}[stack["goal"]]
        seen = ", ".join(stack["metadata"])
        notes.append(
            "Second stage: support vector machines on the out-of-fold probabilities"
            + (f" and the metadata {seen}" if seen else " alone, as the run has no metadata")
            + f"; their weight is {stack['weight']:g}, for the best mean {goal} of {where}."
        )
    if "test_views" in decision:
        notes.append(f"Probabilities are means over {decision['test_views']} test views.")
    if "temperatures" in decision:
        notes.append(f"Probabilities have a temperature per label, fitted to {where}.")
    if "thresholds" in decision:
        notes += _threshold_notes(decision["thresholds"], GOALS[settings["threshold"]], where)
    return notes


def _threshold_notes(labels: Mapping[str, Record], goal: str, where: str) -> list[str]:
    """What thresholds predict, and which classes have none."""
    notes = [
        "Sensitivity, specificity, precision, balanced accuracy, F1 and accuracy are by thresholds: "
        "every class whose probability reaches its threshold is predicted. Thresholds were fitted "
        f"to {where} for the best {goal}."
    ]
    fitted = [row for row in labels.values() if row["nested"] is not None]
    if fitted:
        means = [
            sum(row[name] for row in fitted) / len(fitted) for name in ("most_likely", "nested")
        ]
        notes.append(
            f"There the mean {goal} is {means[0]:.3f} by the most likely class and {means[1]:.3f} by "
            "thresholds that were fitted to other patients or lesions (nested folds)."
        )
    without = {
        name: [label for label, value in row["classes"].items() if value is None]
        for name, row in labels.items()
    }
    texts = [f"{name} ({', '.join(classes)})" for name, classes in without.items() if classes]
    if texts:
        notes.append(
            f"Classes with {RARE_CLASS} in {where}, or against them, have no threshold and are "
            f"predicted where they are the most likely: {', '.join(texts)}."
        )
    return notes


def _left_out(labels: Mapping[str, Record]) -> str:
    """Their classes and studies: "site (D 3, E 0), tone (z 2)"."""
    counts = {name: row["left_out"].items() for name, row in labels.items()}
    return ", ".join(
        f"{name} ({', '.join(f'{label} {count}' for label, count in classes)})"
        for name, classes in counts.items()
    )


def caveats(record: Record) -> list[str]:
    """A sentence on each reason to doubt a result; most results have none.

    Args:
        record: of an evaluation, or of a comparison.
    """
    sentences = [f"{LEAKY}."] if record.get("leaky") else []  # A matching chooses nothing.
    return sentences + caveats_of_studies(record)


def warnings_of(record: Record) -> list[str]:
    """The sentences that are shown as warnings: `caveats`, and which labels have no interval."""
    note = interval_note(record)
    return [*([note] if note else []), *caveats(record)]


def caveats_of_studies(record: Record) -> list[str]:
    """A sentence on studies that were trained on, and one on those whose images have changed.

    Args:
        record: the ids of both, as `seen` and `replaced`, where they are known.
    """
    sentences = []
    seen, replaced = ([*map(str, record.get(name) or ())] for name in ("seen", "replaced"))
    if seen:
        sentences.append(
            f"SEEN: {len(seen):,} of these studies, or others of the same patients or lesions, "
            f"were used in training: {first_few(seen)}."
        )
    if replaced:
        sentences.append(
            f"REPLACED: the images of {len(replaced):,} studies have changed since the run was "
            f"trained: {first_few(replaced)}."
        )
    return sentences

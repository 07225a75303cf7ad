"""All that a run folder, and its data, have for a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sm3kit.core.errors import DataError, SM3Error
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.evaluation.missing.dropped import dropped_text
from sm3kit.evaluation.opening import open_subject
from sm3kit.evaluation.record_file import read_record
from sm3kit.evaluation.result_files import predictions_file
from sm3kit.evaluation.subject import Subject
from sm3kit.grids.folder import Folder
from sm3kit.metrics.predictions import Predictions
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.record import RunRecord

ORDER = {
    "protocol": ("finetune", "probe", "knn", "match", "clusters"),
    "split": ("test", "val", "train"),
}


@dataclass(frozen=True)
class Result:
    """One evaluation.

    Attributes:
        file: of its record.
        record: what was measured how.
    """

    file: Path
    record: Mapping[str, Any]

    @property
    def labelled(self) -> bool:
        """Whether it has numbers for labels, not for pairs or clusters."""
        return "labels" in self.record

    @property
    def measure(self) -> str:
        """The protocol, and what the studies had lost: "probe", or "probe without derm"."""
        return " ".join(filter(None, [self.record["protocol"], dropped_text(self.record)]))

    @property
    def title(self) -> str:
        """Such as "probe, test"."""
        record = self.record
        parts = [record["protocol"], f"split {record['split']}"]
        if record["transfer"]:
            parts.append(f"on {', '.join(spec.partition(':')[0] for spec in record['data'])}")
        parts += filter(None, [dropped_text(record)])
        if record["select"] == "test_best":
            parts.append("test_best")
        if record.get("label"):
            parts.append(record["label"])
        return ", ".join(parts)

    def predictions(self) -> Predictions:
        """The predictions beside the record.

        Raises:
            DataError: they are missing or damaged.
        """
        return Predictions.load(predictions_file(self.file))


@dataclass(frozen=True)
class Material:
    """What a report of a run is made of.

    Attributes:
        run: the run.
        record: its choices, and what it was trained on.
        rows: of start.csv and metrics.csv.
        results: evaluations, the most telling first.
        subject: networks and studies; None if they cannot be opened.
        finished: whether its training came to its end.
        notes: what is missing and why, a sentence each.
    """

    run: RunFolder
    record: RunRecord
    rows: Sequence[Mapping[str, Any]]
    results: Sequence[Result]
    subject: Subject | None
    finished: bool
    notes: Sequence[str]

    @property
    def main(self) -> Result | None:
        """The result that figures of labels are drawn from; None if there is none.

        One on the run's own data that was neither selected nor trained on what it measured, if
        there is one.
        """
        found = [one for one in self.results if one.labelled and not one.record["transfer"]]
        honest = [one for one in found if not (one.record["leaky"] or one.record.get("seen"))]
        # That of the run's own protocol, else the first.
        own = [one for one in honest if one.record["protocol"] == self.record.variant.protocol]
        return next(iter([*own[:1], *honest, *found]), None)

    def probe(self) -> tuple[Mapping[str, Any], Path] | None:
        """The record of a probe of these networks on their own data, and its weights."""
        model = self.subject.trained.file_hash if self.subject else ""
        for result in self.results:
            record, file = result.record, result.file.with_suffix(".safetensors")
            own = record["of"]["model"] == model and not record["transfer"]
            honest = not (record["leaky"] or record.get("seen"))
            if record["protocol"] == "probe" and own and honest and file.is_file():
                return record, file
        return None


def gather(folder: Path) -> Material:
    """Reads a run folder.

    Raises:
        CheckpointError: there is no run, or its record is damaged.
    """
    run = RunFolder(folder)
    record = run.record()
    results, damaged = _results(folder)
    return Material(run, record, run.history(), results, None, run.finished, damaged)


def open_networks(
    material: Material,
    images: ImageCache,
    features: FeatureCache,
    reporter: Reporter,
    data: Sequence[str] = (),
) -> Material:
    """The same with networks and studies, as far as they can be opened.

    Args:
        data: where the data lie now, if not where they were.
    """
    if not material.run.model.is_file():
        return material
    try:
        subject = open_subject(material.run.folder, data, images, features, reporter)
    except (SM3Error, OSError) as error:
        note = f"Networks or data cannot be opened: no maps, attention or gallery. {error}"
        return replace(material, notes=[note, *material.notes])
    return replace(material, subject=subject, notes=[*subject.notes, *material.notes])


def _results(folder: Path) -> tuple[list[Result], list[str]]:
    """The results of a run, and a sentence on each that cannot be read."""
    results, notes = [], []
    for file in [*sorted((folder / "eval").glob("*.json")), *_of_grid(folder)]:
        try:
            results.append(Result(file, read_record(file)))
        except (OSError, DataError):
            notes.append(
                f"{file.name} is damaged, or is not a result of an evaluation. Evaluate again."
            )
    return sorted(results, key=_place), notes


def _of_grid(folder: Path) -> list[Path]:
    """The results that a grid has of one of its runs; none if the folder is no run of a grid."""
    home = Folder(folder.resolve().parent.parent)
    # A grid of one's own may be called grid.yaml, too.
    if folder.resolve().parent.name != "runs" or not (home.exists and home.plan_file.is_file()):
        return []
    stages = [one for one in home.plan().tasks.values() if one.parent == folder.resolve().name]
    files = [home.result(one.key) for one in stages if not one.trains]
    return [file for file in files if file.is_file()]


def _place(result: Result) -> tuple[Any, ...]:
    record = result.record
    places = [
        ORDER[name].index(record[name]) if record[name] in ORDER[name] else len(ORDER[name])
        for name in ("split", "protocol")
    ]
    doubts = bool(record["leaky"]), bool(record.get("seen"))
    named = bool(record.get("label"))
    return (
        bool(record["transfer"]),
        "dropped" in record,
        named,
        *places,
        *doubts,
        result.file.name,
    )

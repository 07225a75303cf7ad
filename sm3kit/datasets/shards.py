"""Studies in tar shards, as webdataset lays them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sm3kit.core import ranges
from sm3kit.core.errors import DataError
from sm3kit.core.names import unknown
from sm3kit.datasets.base import Dataset, LabelSpec, ModalitySpec, Study, WeakScores
from sm3kit.tables.csv_table import read_table
from sm3kit.tables.joining import near_path
from sm3kit.tables.shard_entry import Entry, Shard, classes_of
from sm3kit.tables.shard_file import Limits, Packing, write_shards
from sm3kit.tables.shard_index import matching_files, open_shard
from sm3kit.tables.splits import rarest, split_groups

KNOWN_AS = ("modalities", "labels", "weak")  # In what shards of one data set agree.


class Shards(Dataset):
    """The studies of tar files, `shards:PATTERN`, as `sm3kit data pack` or webdataset writes them.

    A study is a row of members with one key: `7.json`, `7.derm.jpg` and `7.clinic.jpg`, or
    `7.clinic.0.jpg` and `7.clinic.1.jpg` for several images of a modality. Its JSON file may hold
    `id` (else the key), `group` (else the id), `split` and `labels`, `{label: class}`; null is
    unknown. Shards of `sm3kit data pack` also know the order of the classes, those that are
    reported, how modalities are read, and weak labels: they give the very studies that were packed.
    Of others the classes are in natural order, and all modalities are photos.

    Images are read at their place, in any order, without unpacking: `a.tar#7.derm.jpg@1536+8123` is
    8123 bytes from byte 1536 on. The places come from the index beside a shard (`a.tar.json`), or
    from the headers, which are read once and kept in the cache. Python's `tarfile` does that:
    webdataset, which reads from start to end, fits neither samplers nor caches. Each reads what the
    other writes.

    Args:
        argument: tar files: a file, a folder of them, or a pattern with `*` and braces, such as
            `derm-{000000..000099}.tar`.
        val: share of the groups for validation, where no study has a split.
        test: share of the groups for testing, likewise.
        split_seed: a different seed gives a different split, likewise.

    Raises:
        DataError: a shard is missing, damaged or truncated, a study is there twice or has no JSON
            file, or a class is not known.
    """

    suffixes = (".tar",)

    def __init__(
        self,
        argument: str,
        *,
        val: ranges.ShareBelowOne = 0.15,
        test: ranges.ShareBelowOne = 0.2,
        split_seed: ranges.Seed = 0,
    ) -> None:
        self.argument, self.label_files = argument, _shard_files(argument)
        with ThreadPoolExecutor() as threads:
            shards = list(threads.map(open_shard, self.label_files))
        facts = _common_facts(shards)
        entries = [entry for shard in shards for entry in shard.entries]
        _refuse_twice(entries)
        self.modalities = _modalities(facts, entries)
        self.labels, notes = _labels(facts, shards, entries)
        splits, split_notes = _splits(entries, self.labels, val, test, split_seed)
        self._studies = []
        for entry, split in zip(entries, splits, strict=True):
            images = {n: paths if len(paths) > 1 else paths[0] for n, paths in entry.images.items()}
            classes = _classes(entry, self.labels)
            self._studies.append(Study(entry.id, images, classes, entry.group, split))
        self._weak = _weak(facts, entries)
        self.notes = [*(facts["notes"] if facts else ()), *notes, *split_notes]

    @classmethod
    def example(cls, folder: Path) -> str:
        """Forty drawn studies in two shards."""
        from sm3kit.synthesis.layouts import write

        write("manifest", folder / "manifest", 40, 32)
        table = read_table(folder / "manifest" / "manifest.csv", "drawn studies")
        studies = [
            Packing(
                {"id": row["id"], "split": row["split"], "labels": {"DIAG": row["DIAG"]}},
                {name: [str(table.path.parent / row[name])] for name in ("derm", "clinic")},
            )
            for row in table.rows
        ]
        photo = {"plugin": "photo", "options": {}, "frame": ""}
        classes = ["BCC", "MEL", "MISC", "NEV", "SK"]
        labels = [{"name": "DIAG", "classes": classes, "reported": "MEL"}]
        facts = {"modalities": {"derm": photo, "clinic": photo}, "labels": labels}
        facts |= {"weak": {}, "notes": []}
        write_shards(folder, "drawn", facts, studies, Limits(studies=20))
        return str(folder / "drawn-{000000..000001}.tar")

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, shard by shard, in the order of their members."""
        return [study for study in self._studies if split in (None, study.split)]

    def weak_scores(self) -> Mapping[str, WeakScores]:
        """The weak labels that were packed, if the data set offered any."""
        return self._weak


def _shard_files(pattern: str) -> list[Path]:
    """The tar files of a pattern, in the order of their names.

    Raises:
        DataError: there are none, one that braces name is missing, or a file is no `.tar`.
    """
    files = matching_files(pattern, "*.tar")
    missing = [file for file in files if not file.exists()]
    if not files or missing == files[:1] == files:
        near = near_path(missing[0]) if missing else ""
        raise DataError(
            f"There is no tar file {pattern}{near and f' ({near})'}. shards:PATTERN takes a tar file, "
            "a folder of them, or a pattern such as 'derm-{000000..000099}.tar' or 'derm-*.tar'."
        )
    if missing:
        raise DataError(
            f"{len(missing)} of {len(files)} shards of {pattern} are missing, first {missing[0]}. "
            "Copy them here, or name only the shards that are."
        )
    for file in files:
        if file.suffix != ".tar":
            raise DataError(
                f"The shard {file} is not named .tar. Images are read at their place, so it must not "
                "be compressed: unpack .tar.gz to .tar, as JPEGs gain nothing by it."
            )
    return files


def _common_facts(shards: Sequence[Shard]) -> Mapping[str, Any] | None:
    """What is known of the data set; shards of two packings do not go together."""
    first = shards[0]
    for shard in shards[1:]:
        for part in KNOWN_AS:
            if (first.facts or {}).get(part) != (shard.facts or {}).get(part):
                raise DataError(
                    f"{first.path} and {shard.path} were packed from different data: their {part} "
                    "differ. Give each its own --data."
                )
    return first.facts


def _refuse_twice(entries: Sequence[Entry]) -> None:
    first: dict[str, Entry] = {}
    for entry in entries:
        if first.setdefault(entry.id, entry) is not entry:
            raise DataError(
                f"{entry.place}: the study {entry.id!r} is also in {first[entry.id].place}. Each "
                "study needs its own id."
            )
    if not entries:
        raise DataError("There is no study in these shards: no member is named KEY.json.")


def _modalities(
    facts: Mapping[str, Any] | None, entries: Sequence[Entry]
) -> dict[str, ModalitySpec]:
    names = dict.fromkeys(name for entry in entries for name in entry.images)
    if facts is None and not names:
        raise DataError(
            f"{entries[0].place}: there is no image of a modality beside it. Name the members "
            "KEY.MODALITY.SUFFIX, such as 7.derm.jpg."
        )
    if facts is None:
        return {name: ModalitySpec() for name in names}
    specs = {name: ModalitySpec(**spec) for name, spec in facts["modalities"].items()}
    for entry in entries:
        for name in entry.images.keys() - specs.keys():
            raise DataError(f"{entry.place}: {unknown('modality', name, specs)}")
    return specs


def _labels(
    facts: Mapping[str, Any] | None, shards: Sequence[Shard], entries: Sequence[Entry]
) -> tuple[list[LabelSpec], list[str]]:
    """The labels, and notes on what is left out."""
    if facts is not None:
        specs = facts["labels"]
        return [LabelSpec(s["name"], tuple(s["classes"]), s["reported"]) for s in specs], []
    classes = classes_of(entries)
    notes = []
    if unused := sum(shard.unused for shard in shards):
        notes.append(f"Members that are not KEY.MODALITY.SUFFIX, and are not used: {unused}.")
    if single := [label for label, names in classes.items() if len(names) < 2]:
        notes.append(f"Labels of one class, which are left out: {', '.join(single)}.")
    return [LabelSpec(label, names) for label, names in classes.items() if len(names) > 1], notes


def _classes(entry: Entry, labels: Sequence[LabelSpec]) -> dict[str, int]:
    """{label: class index} of a study.

    Raises:
        DataError: a class that the label does not have.
    """
    names, known = entry.labels, {}
    for label in labels:
        name = names.get(label.name, "")
        if name and name not in label.classes:
            raise DataError(
                f"{entry.place}: {unknown(f'class of {label.name!r}', name, label.classes)}"
            )
        if name:
            known[label.name] = label.classes.index(name)
    return known


def _splits(
    entries: Sequence[Entry], labels: Sequence[LabelSpec], val: float, test: float, seed: int
) -> tuple[list[str], list[str]]:
    """The split of each study, and a note where it is made here."""
    splits = [entry.split for entry in entries]
    if all(splits):
        return splits, []
    if any(splits):
        bare = entries[splits.index("")]
        raise DataError(f"{bare.place}: there is no split. Give every study one, or none.")
    groups = [entry.group for entry in entries]
    first = labels[0].name if labels else ""
    strata = rarest(groups, [entry.labels.get(first, "") for entry in entries])
    split_of = split_groups(strata, val=val, test=test, seed=seed)
    by = f"group, stratified on {first}" if first else "group"
    return [split_of[group] for group in groups], [
        f"No study has a split: split by {by}, seed {seed}."
    ]


def _weak(facts: Mapping[str, Any] | None, entries: Sequence[Entry]) -> dict[str, WeakScores]:
    """{label: weak scores} that were packed."""
    offered = {}
    for label, spec in (facts["weak"] if facts is not None else {}).items():
        classes = tuple(spec["classes"])
        rows = {entry.id: entry.weak(label, classes) for entry in entries}
        scores = {name: row for name, row in rows.items() if row is not None}
        offered[label] = WeakScores(classes, scores, spec["makes_label"])
    return offered

"""Any scans: a table, or a folder with a folder per case."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sm3kit.api import (
    UNKNOWN_WORDS,
    DataError,
    Dataset,
    ModalitySpec,
    OptionError,
    Study,
    Table,
    blank_unknown,
    class_name,
    file_and_part,
    join_notes,
    one_per_key,
    ranges,
    read_table,
    visible_paths,
)
from sm3kit_volumes import examples, people
from sm3kit_volumes.listing import SPLITS, Case, listing
from sm3kit_volumes.parts import on_grid_of
from sm3kit_volumes.readers.opening import SUFFIXES

RESERVED = ("id", "split", "group")
# A name of a modality that holds one of these words is read by that plugin.
WORDS = {
    "ct": ("ct", "cbct", "ctres"),
    "pet": ("pet", "pt", "suv", "fdg", "psma"),
    "mr": ("mr", "mri", "t1", "t1c", "t1n", "t1w", "t2", "t2f", "t2w", "flair", "dwi", "adc"),
}
MOST_CLASSES = 30  # More distinct values look like a measurement, not a label.


class Volumes(Dataset):
    """Scans of any source, `volumes:FILE.csv` or `volumes:DIR`.

    A table has a row per study: `id`, if wanted `split` (train, val, test) and `group` (the
    patient), a column per modality and a column per label. Paths are absolute or start at the
    folder of the table; a DICOM series is named by its folder; a blank is a missing scan. In a
    folder each sub-folder is a case, `images` says which of its files is what, and
    `labels.csv`, if it is there, has `id` and the labels; notes count rows without a folder and
    folders without a row, and a table that matches no folder is refused. Hidden files are ignored. A blank is unknown, and so are words such as NA, None and ? (option `unknown`). By
    default the patient is the PatientID of the DICOM headers, or else the id. Scans of different people in one study
    are refused: a CT and an MR of CHAOS with the same number are of two people.

    Args:
        argument: a CSV file, or a folder.
        images: of a folder, NAME:PATTERN per modality, a pattern below the folder of a case,
            such as `psma_pet:PSMA/PET.nii.gz`.
        plugins: NAME:PLUGIN where the name of a modality does not say whether it is ct, pet or mr.
        patient: a regular expression that finds the patient in a path; its first group, if any.
        registered: modalities that lie on each other, voxel by voxel or in millimetres.
        grid: the modality to whose grid the others are resampled; they then are registered.
        labels: the label columns; the default takes all of 2 to 30 classes, two rows to a class.
        val: share of the patients for validation, where there is no split.
        test: share of the patients for testing, likewise.
        split_seed: another seed gives another split.
        slices: studies that are made of a case, each of one slice at its own height.
        unknown: words for an unknown value, in any case; empty leaves the blank alone.

    Raises:
        DataError: the table or folder is wrong, or a study pairs different people.
        OptionError: an option names what is not there.
    """

    def __init__(
        self,
        argument: str,
        *,
        images: tuple[str, ...] = ("ct:ct.*", "pet:pet.*", "mr:mr.*"),
        plugins: tuple[str, ...] = (),
        patient: str = "",
        registered: tuple[str, ...] = (),
        grid: str = "",
        labels: tuple[str, ...] = (),
        val: ranges.ShareBelowOne = 0.15,
        test: ranges.ShareBelowOne = 0.2,
        split_seed: ranges.Seed = 0,
        slices: ranges.Slices = 1,
        unknown: tuple[str, ...] = UNKNOWN_WORDS,
    ) -> None:
        self.argument = argument
        path = Path(argument).expanduser()
        root = path if path.is_dir() else path.parent
        if path.is_dir():
            found = _of_folder(path, _pairs("images", images), unknown)
        else:
            found = _of_table(path, unknown)
        rows, names = found.rows, found.names
        _known("registered", registered, names)
        _known("grid", (grid,) if grid else (), names)
        chosen = _plugins(names, _pairs("plugins", plugins))
        others = [name for name in rows[0] if name not in (*names, *RESERVED)]
        _known("labels", labels, others)
        token = people.pattern(patient)
        cases = [_case(row, names, others, root, token, grid) for row in rows]
        labels = labels or tuple(one for one in others if _is_label(row[one] for row in rows))
        self._listing = listing(
            cases, labels, val=val, test=test, split_seed=split_seed, slices=slices
        )
        framed = names if grid else registered
        self.modalities = {
            name: ModalitySpec(chosen[name], frame="registered" if name in framed else "")
            for name in names
        }
        self.labels = self._listing.labels
        self.notes = [
            *self._listing.notes,
            *found.notes,
            *_blanks(found.table, [*names, *labels, "group", "split"], unknown)[1],
        ]

    @classmethod
    def example(cls, folder: Path) -> str:
        """A small table of CT, PET and MR, with scans that are missing."""
        lines = ["id,ct,pet,mr,disease"]
        for number in range(8):
            paths = {
                "ct": examples.hounsfield, "pet": examples.uptake, "mr": examples.signal,
            }  # fmt: skip
            cells = []
            for place, (name, drawn) in enumerate(paths.items()):
                there = (number + place) % 4 > 0 or name == "ct"
                file = f"case{number}/{name}.nii.gz"
                if there:
                    examples.write_scan(folder / file, drawn(number))
                cells.append(file if there else "")
            lines.append(",".join([f"case{number}", *cells, ("no", "yes")[number % 2]]))
        table = folder / "studies.csv"
        table.write_text("\n".join(lines), encoding="utf-8")
        return str(table)

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, in the order of the rows or folders."""
        return self._listing.of(split)


class Found(NamedTuple):
    """What a table, or a folder, says.

    Attributes:
        rows: a row per case, unknown values blank.
        names: the modalities among its headings.
        table: the table as it was read; in a folder, that of the labels, if there is one.
        notes: on rows that are there twice, or have no partner.
    """

    rows: list[dict[str, str]]
    names: list[str]
    table: Table | None
    notes: list[str]


def _read(path: Path) -> tuple[Table, list[str]]:
    """The table, a row per id, and a note on rows that are there twice."""
    table = read_table(path, "a row per study")
    table.require(["id"], "Add one: a unique name per study.")
    entries = ((row["id"], row, table, row) for row in table.rows)
    rows, notes = one_per_key(entries, "id", "Each study needs a unique id and one row.")
    return replace(table, rows=tuple(rows.values())), notes


def _blanks(
    table: Table | None, columns: Sequence[str], unknown: Sequence[str]
) -> tuple[list[dict[str, str]], list[str]]:
    """The rows with blanks for what is unknown, and a note on these."""
    if table is None:
        return [], []
    known, notes = blank_unknown(table, columns, unknown, option="volumes.unknown")
    for row in known.rows if "split" in known else ():
        if row["split"] and row["split"].lower() not in SPLITS:
            raise known.wrong(row, "split", SPLITS)
    return [{_heading(name): row[name] for name in known.columns} for row in known.rows], notes


def _of_table(path: Path, unknown: Sequence[str]) -> Found:
    table, notes = _read(path)
    rows, _ = _blanks(table, [name for name in table.columns if name.lower() != "id"], unknown)
    names = [
        name
        for name in rows[0]
        if name not in RESERVED and _are_scans([row[name] for row in rows], path.parent)
    ]
    if not names:
        raise DataError(
            f"{path} has no column with paths of scans ({', '.join(SUFFIXES)}, or folders of "
            f"DICOM). Its columns: {', '.join(rows[0])}."
        )
    return Found(rows, names, table, notes)


def _of_folder(root: Path, patterns: Mapping[str, str], unknown: Sequence[str]) -> Found:
    """A row per case, as a table would have it, and the modalities that any of them has."""
    rows = [
        {"id": case.name, **{name: _scan(case, name, one) for name, one in patterns.items()}}
        for case in visible_paths(root)
        if case.is_dir()
    ]
    rows = [row for row in rows if any(row[name] for name in patterns)]
    if not rows:
        listed = ", ".join(f"{name}:{pattern}" for name, pattern in patterns.items())
        raise DataError(
            f"No folder in {root} has a file that matches {listed}. Name the files with "
            "-o volumes.images=NAME:PATTERN,..."
        )
    names = [name for name in patterns if any(row[name] for row in rows)]
    if not (root / "labels.csv").exists():
        return Found(rows, names, None, [])
    table, notes = _read(root / "labels.csv")
    told, _ = _blanks(table, [name for name in table.columns if name.lower() != "id"], unknown)
    more = {row["id"]: row for row in told}
    folders = ("folders with scans", [row["id"] for row in rows])
    notes += join_notes(root, ("rows of labels.csv", more), folders)
    notes += join_notes(root, folders, ("rows of labels.csv", more), "labels are unknown")
    empty = dict.fromkeys(told[0], "")
    return Found([empty | more.get(row["id"], {}) | row for row in rows], names, table, notes)


def _scan(case: Path, name: str, pattern: str) -> str:
    """The path of the one file of a case that fits, below the folder above it, or nothing."""
    found = visible_paths(case, pattern)
    if len(found) > 1:
        raise DataError(
            f"{case} has several files for {name} ({pattern}): {found[0].name} and "
            f"{found[1].name}. Give a stricter pattern with -o volumes.images=NAME:PATTERN,..."
        )
    return found[0].relative_to(case.parent).as_posix() if found else ""


def _case(
    row: Mapping[str, str],
    names: Sequence[str],
    others: Sequence[str],
    root: Path,
    token: re.Pattern[str] | None,
    grid: str,
) -> Case:
    # A table made on Windows writes folder\file.
    images = {name: str(root / row[name].replace("\\", "/")) for name in names if row[name]}
    person = people.same_person(row["id"], images, root, token)
    if grid in images:
        images = {n: p if n == grid else on_grid_of(p, images[grid]) for n, p in images.items()}
    patient = row.get("group") or person or row["id"]
    return Case(row["id"], patient, images, {n: row[n] for n in others}, row.get("split", ""))


def _heading(name: str) -> str:
    return name.lower() if name.lower() in RESERVED else name


def _are_scans(cells: Iterable[str], root: Path) -> bool:
    """Whether most filled cells of a column name scans."""
    filled = [file_and_part(cell)[0] for cell in cells if cell]
    scans = [c for c in filled if c.lower().endswith(SUFFIXES) or os.path.isdir(root / c)]  # noqa: PTH112
    return 2 * len(scans) > len(filled)


def _is_label(cells: Iterable[str]) -> bool:
    known = [class_name(cell) for cell in cells if cell]
    return 2 <= len(set(known)) <= min(MOST_CLASSES, len(known) // 2)


def _plugins(names: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    _known("plugins", given, names)
    found = {}
    for name in names:
        words = set(re.split(r"[^a-z0-9]+", name.lower()))
        fits = [plugin for plugin, known in WORDS.items() if words & set(known)]
        # `psma_ct` is a CT: what a scan is stands before what it shows.
        if name not in given and not fits:
            raise OptionError(
                f"The modality {name!r} may be ct, pet or mr. Say which: "
                f"-o volumes.plugins={name}:PLUGIN"
            )
        found[name] = given.get(name) or fits[0]
    return found


def _pairs(option: str, entries: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for entry in entries:
        name, colon, text = (part.strip() for part in entry.partition(":"))
        if not (name and colon and text):
            raise OptionError(f"The option 'volumes.{option}' must be NAME:VALUE, not {entry!r}.")
        pairs[name] = text
    return pairs


def _known(option: str, names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise OptionError(
                f"The option 'volumes.{option}': there is no {name!r}. Known: {', '.join(known)}."
            )

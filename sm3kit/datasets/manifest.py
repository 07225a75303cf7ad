"""Any data: one CSV file with a row per study."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sm3kit.core import ranges
from sm3kit.core.errors import DataError, OptionError
from sm3kit.core.names import list_names
from sm3kit.core.names import unknown as unknown_name
from sm3kit.datasets.base import Dataset, LabelSpec, ModalitySpec, Study
from sm3kit.tables.classes import are_classes, class_order
from sm3kit.tables.csv_table import Table, class_name, read_table
from sm3kit.tables.joining import one_per_key
from sm3kit.tables.spelling import UNKNOWN_WORDS, blank_unknown, word_counts
from sm3kit.tables.splits import SPLIT_WORDS, rarest, split_groups

RESERVED = ("id", "split", "group")
IMAGE_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".tif",
    ".tiff",
    ".bmp",
    ".webp",
    ".gif",
    ".dcm",
    ".dicom",
    ".nii",
    ".nii.gz",
    ".mha",
    ".mhd",
    ".nrrd",
    ".npy",
)
SEVERAL = "|"  # Between the paths of several images in one cell.


class Manifest(Dataset):
    """The studies of a CSV file, `manifest:FILE.csv`, one per row.

    The column `id` names a study. `split` holds train, val or test; without it the groups are
    split by a seed, stratified by the first label. `group` (for example the patient)
    holds what must stay in one split; where it is blank, a study is its own group. A column whose
    values end in an image suffix is a modality; its paths are absolute or start at the folder
    of the file; a blank is a missing image, and several images of a study are separated by `|` in
    one cell. The other columns are labels if a class has two
    rows on average and there are at most 30 classes. A blank is an unknown label, and so are
    words such as NA, None, ? and -1 (option `unknown`); likewise for images and groups. Classes
    are in natural order. A repeated row counts once; different rows with the same id are an error.

    Args:
        argument: the CSV file, or a spreadsheet (.xlsx), of which the first sheet counts.
        labels: the label columns, if the choice above is wrong.
        modalities: the modality columns, likewise; their values may have any form.
        classes: classes in index order, for example `DIAG:BCC|NEV|MEL`.
        reported: the classes that results report, for example `DIAG:MEL`. By default the positive
            one of two opposites such as no and yes, otherwise the mean over the classes.
        val: share of the groups for validation, where there is no column `split`.
        test: share of the groups for testing, likewise.
        split_seed: a different seed gives a different split, likewise.
        unknown: words for an unknown value, in upper or lower case, unless they are declared
            classes. If empty, only a blank is unknown.
        plugins: modality plugins other than photo, for example `ct:window`.
        registered: modalities that are registered with each other, for example `ct,pet`; see
            `paired_geometry`.

    Raises:
        DataError: the file, a column or a value is missing or wrong.
        OptionError: an option names a column or class that is not there.
    """

    suffixes = (".csv", ".xlsx")

    def __init__(
        self,
        argument: str,
        *,
        labels: tuple[str, ...] = (),
        modalities: tuple[str, ...] = (),
        classes: tuple[str, ...] = (),
        reported: tuple[str, ...] = (),
        val: ranges.ShareBelowOne = 0.15,
        test: ranges.ShareBelowOne = 0.2,
        split_seed: ranges.Seed = 0,
        unknown: tuple[str, ...] = UNKNOWN_WORDS,
        plugins: tuple[str, ...] = (),
        registered: tuple[str, ...] = (),
    ) -> None:
        self.argument, self.label_files = argument, [Path(argument).expanduser()]
        raw, again = _read_table(self.label_files[0])
        images = _image_columns(blank_unknown(raw, _free(raw), unknown)[0], modalities)
        others = [name for name in _free(raw) if name not in images]
        declared = {
            label: _declared_classes(label, text)
            for label, text in _pairs("classes", classes, labels or others).items()
        }
        seen, _ = blank_unknown(raw, others, unknown, classes=declared)
        chosen, left_out = _label_columns(raw, seen, others, labels, declared)
        table, blanks = blank_unknown(
            raw,
            [*images, *chosen, "group"],
            unknown,
            classes=declared,
            option="manifest.unknown",
        )
        known = {label: declared.get(label) or _classes(table, label) for label in chosen}
        splits, self.notes = _splits(table, chosen, val, test, split_seed)
        places = _Places(table.path.parent)
        keys = {name: name.casefold() for name in images}
        self._studies = [
            Study(row["id"], _paths(places, row.cells, keys), labels, group, split)
            for row, labels, (group, split) in zip(
                table.rows, _labels(table, known), splits, strict=True
            )
        ]
        plugin_of = _pairs("plugins", plugins, images)
        frame = dict.fromkeys(_check_names("registered", registered, images), "registered")
        self.modalities = {
            name: ModalitySpec(plugin_of.get(name, "photo"), frame=frame.get(name, ""))
            for name in images
        }
        asked = _pairs("reported", reported, chosen)
        self.labels = [
            LabelSpec(label, names, _reported_class(label, names, asked.get(label, "")))
            for label, names in known.items()
        ]
        self.notes += [*left_out, *blanks, *again]

    @classmethod
    def example(cls, folder: Path) -> str:
        """Forty drawn studies in a table."""
        from sm3kit.synthesis.layouts import write

        write("manifest", folder / "manifest", 40, 32)
        return str(folder / "manifest" / "manifest.csv")

    def studies(self, split: str | None = None) -> list[Study]:
        """The studies of one split, or all, in the order of the rows."""
        return [study for study in self._studies if split in (None, study.split)]


def _free(table: Table) -> list[str]:
    """The columns that may be modalities or labels."""
    return [name for name in table.columns if name.lower() not in RESERVED]


def _read_table(path: Path) -> tuple[Table, list[str]]:
    """The table, a row per id, and a note on rows that are there twice."""
    table = read_table(path, "a row per study with id, images, labels")
    table.require(["id"], "Add one: a unique name per study.")
    rows, again = one_per_key(
        ((row["id"], row, table, row) for row in table.rows),
        "id",
        "Each study needs a unique id; what studies share goes into a column 'group'.",
    )
    return replace(table, rows=tuple(rows.values())), again


def _check_names(option: str, names: Iterable[str], known: Sequence[str]) -> list[str]:
    for name in names:
        if name not in known:
            raise OptionError(
                f"The dataset 'manifest': option {option!r}: {unknown_name('column', name, known)}"
            )
    return list(names)


def _pairs(option: str, entries: Iterable[str], known: Sequence[str]) -> dict[str, str]:
    """{column: text} of entries such as `column:text`."""
    pairs = {}
    for entry in entries:
        column, colon, text = (part.strip() for part in entry.partition(":"))
        if not (column and colon and text):
            raise OptionError(
                f"The dataset 'manifest': option {option!r} must be COLUMN:VALUE, not {entry!r}."
            )
        _check_names(option, [column], known)
        pairs[column] = text
    return pairs


def _is_image(cell: str) -> bool:
    """Whether all paths of a cell end as images do, without the part after `#`."""
    if SEVERAL not in cell and "#" not in cell:
        return cell.strip().lower().endswith(IMAGE_SUFFIXES)
    paths = [path.strip().lower().partition("#")[0] for path in cell.split(SEVERAL)]
    return any(paths) and all(path.endswith(IMAGE_SUFFIXES) for path in paths if path)


def _image_columns(table: Table, names: tuple[str, ...]) -> list[str]:
    if names:
        return _check_names("modalities", names, _free(table))
    images = []
    for column in _free(table):
        key = column.casefold()
        filled = [row for row in table.rows if row.cells[key]]
        are_images = {cell: _is_image(cell) for cell in set(table.column(column))}
        other = [row for row in filled if not are_images[row.cells[key]]]
        if not filled or 2 * len(other) >= len(filled):
            continue
        if other:
            raise DataError(
                f"{table.place(other[0], column)}: {other[0][column]!r} does not have the suffix "
                "of an image file, as others in this column do. Correct it, leave it blank, or "
                "name the modalities with -o manifest.modalities=NAME,..."
            )
        images.append(column)
    if not images:
        raise DataError(
            f"{table.path} has no column with image paths ({', '.join(IMAGE_SUFFIXES[:4])} ...). "
            f"Its columns: {list_names(table.columns)}. {_suffix_left_out(table)}"
        )
    return images


def _suffix_left_out(table: Table) -> str:
    """What to do: complete the names of files that are there but for their suffix, if any are."""
    for column in _free(table):
        name = next((row[column] for row in table.rows if row[column]), "")
        for suffix in IMAGE_SUFFIXES if name else ():
            if os.path.exists(table.path.parent / f"{name}{suffix}"):  # noqa: PTH110  any name
                return f"Column {column!r} leaves out the suffix: {name} is {name}{suffix}. Add it."
    return "Name them with -o manifest.modalities=NAME,..."


class _Places(dict[str, str]):
    """{folder in a cell: folder}; many files lie in one, which is looked up once."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __missing__(self, folder: str) -> str:
        self[folder] = place = str(self.home / folder)
        return place

    def of(self, cell: str) -> str:
        """The path of a file, as that of the folder of the table and the cell."""
        folder, slash, name = cell.rpartition("/")
        place = self[folder + slash]
        if name in ("", ".") or ":" in name or place == ".":
            return str(self.home / cell)
        return os.path.join(place, name)  # noqa: PTH118  Path takes ten times as long.


def _paths(
    places: _Places, cells: Mapping[str, str], keys: Mapping[str, str]
) -> dict[str, str | tuple[str, ...]]:
    columns_of: dict[str, str | tuple[str, ...]] = {}
    for name, key in keys.items():
        # A table made on Windows writes folder\file.
        named = cells[key].replace("\\", "/")
        paths = [places.of(path) for part in named.split(SEVERAL) if (path := part.strip())]
        if paths:
            columns_of[name] = tuple(paths) if len(paths) > 1 else paths[0]
    return columns_of


def _classes(table: Table, label: str) -> tuple[str, ...]:
    names = {class_name(cell) for cell in set(table.column(label))} - {""}
    if len(names) < 2:
        raise DataError(
            f"{table.path}, column {label!r} has {len(names)} known classes; a label needs two. "
            f"Declare them with -o manifest.classes='{label}:A|B', or leave the label out."
        )
    return class_order(names)


def _declared_classes(label: str, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split("|"))
    if len(names) < 2 or len(set(names)) < len(names) or not all(names):
        raise OptionError(
            f"The dataset 'manifest': option 'classes' must be {label}:A|B with at least two "
            f"different classes, not {text!r}."
        )
    return names


def _label_columns(
    raw: Table,
    table: Table,
    others: list[str],
    names: tuple[str, ...],
    declared: Mapping[str, object],
) -> tuple[list[str], list[str]]:
    """The label columns, and a note on those that are left out."""
    if names:
        return _check_names("labels", names, others), []
    chosen, left_out = [], []
    for column in others:
        filled = [cell for cell in table.column(column) if cell]
        class_of = {cell: class_name(cell) for cell in set(filled)}
        cells = [class_of[cell] for cell in filled]
        count = len(set(cells))
        if column in declared or are_classes(cells):
            chosen.append(column)
        elif not any(map(_is_image, set(cells))):
            rows = zip(raw.rows, table.rows, strict=True)
            words = Counter(row[column] for row, blank in rows if row[column] != blank[column])
            more = f", {word_counts(words)} unknown" if words else ""
            left_out.append(f"{column} ({count} different values in {len(cells)} rows{more})")
    notes = []
    if left_out:
        notes.append(
            f"Not used as labels: {list_names(left_out)}. "
            "Name the labels with -o manifest.labels=NAME,... to choose others."
        )
    if not chosen:
        notes.append(
            "There are no labels: pre-training works, but evaluation with labels does not."
        )
    return chosen, notes


def _labels(table: Table, known: Mapping[str, Sequence[str]]) -> list[dict[str, int]]:
    """{label: class index} of each row, without the unknown ones."""
    labels: list[dict[str, int]] = [{} for _ in table.rows]
    for label, names in known.items():
        cells = table.column(label)
        numbers = {name: number for number, name in enumerate(names)}
        number_of = {cell: numbers.get(class_name(cell)) for cell in set(cells)}
        for own, row, cell in zip(labels, table.rows, cells, strict=True):
            number = number_of[cell]
            if number is not None:
                own[label] = number
            elif cell:
                raise table.wrong(row, label, names)
    return labels


def _splits(
    table: Table, labels: list[str], val: float, test: float, seed: int
) -> tuple[list[tuple[str, str]], list[str]]:
    """Group and split of each row, and a note where the split is made here."""
    grouped = "group" in table
    groups = [(row["group"] if grouped else "") or row["id"] for row in table.rows]
    if "split" in table:
        splits = []
        for row in table.rows:
            if row["split"].lower() not in SPLIT_WORDS:
                raise table.wrong(row, "split", SPLIT_WORDS)
            splits.append(SPLIT_WORDS[row["split"].lower()])
        return list(zip(groups, splits, strict=True)), []
    cells = [class_name(row[labels[0]]) if labels else "" for row in table.rows]
    of_group = split_groups(rarest(groups, cells), val=val, test=test, seed=seed)
    by = f"{'group' if grouped else 'row'}" + (f", stratified on {labels[0]}" if labels else "")
    note = f"There is no column 'split': split by {by}, seed {seed}."
    return [(group, of_group[group]) for group in groups], [note]


def _reported_class(label: str, classes: tuple[str, ...], asked: str) -> str:
    """The class that was asked for, "" if none was."""
    if asked and asked not in classes:
        raise OptionError(
            "The dataset 'manifest': option 'reported': "
            f"{unknown_name(f'class of {label!r}', asked, classes)}"
        )
    return asked

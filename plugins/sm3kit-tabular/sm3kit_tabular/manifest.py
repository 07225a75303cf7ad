"""Any manifest with some of its columns as metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sm3kit.api import UNKNOWN_WORDS, OptionError, component, ranges, read_table
from sm3kit_tabular.columns import known_rows
from sm3kit_tabular.fitting import fit, kind_of
from sm3kit_tabular.joining import Rows, WithMetadata

RESERVED = ("id", "split", "group")


class MetadataManifest(WithMetadata):
    """The data set `manifest` with columns as the modality `meta`, `metadata-manifest:FILE.csv`.

    Images, labels and split are those of `manifest`, but for the labels that are inputs here. A
    column whose values are numbers, more than five different ones, is taken as a number, any
    other as categories; both are fit to the training split. A blank is unknown, and so are words
    such as NA, None and ? (option `unknown`); in a column of numbers every number is known, -1 too.
    A note names values that differ only in case, spaces or Unicode form.

    Args:
        argument: the CSV file.
        columns: the columns to take; NAME:category or NAME:number where the choice is not right.
        labels: as for `manifest`.
        modalities: as for `manifest`.
        classes: as for `manifest`.
        reported: as for `manifest`.
        val: as for `manifest`.
        test: as for `manifest`.
        split_seed: as for `manifest`.
        unknown: as for `manifest`.
        plugins: as for `manifest`.
        registered: as for `manifest`.

    Raises:
        DataError: the file, a column or a value is missing or wrong, or a column is an id.
        OptionError: a column is a label, an image, or one of id, split and group.
    """

    def __init__(
        self,
        argument: str,
        *,
        columns: tuple[str, ...] = ("age", "sex"),
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
        self.argument = argument
        inside = component("datasets", "manifest")(
            argument,
            labels=labels,
            modalities=modalities,
            classes=classes,
            reported=reported,
            val=val,
            test=test,
            split_seed=split_seed,
            unknown=unknown,
            plugins=plugins,
            registered=registered,
        )
        asked = _asked(columns, [*RESERVED, *inside.modalities])
        table = read_table(Path(argument).expanduser(), "a row per study")
        rows = Rows(table, "id", lambda study: study.id)
        table.require(asked)
        # What an entry leaves open is looked at as words are; -1 does not tell what a column holds.
        seen = replace(rows, table=known_rows(table, dict.fromkeys(asked, ()), [], unknown)[0])
        training = [row for _, row in seen.of(inside.studies("train"))[0]]
        kinds = {name: kind_of(table, name, kind, training) for name, kind in asked.items()}
        words = {name: () for name, kind in kinds.items() if kind == "category"}
        numbers = [name for name in kinds if name not in words]
        known = replace(rows, table=known_rows(table, words, numbers, unknown)[0])
        training = [row for _, row in known.of(inside.studies("train"))[0]]
        fitted = [fit(table, name, kind, training) for name, kind in kinds.items()]
        declared = [*labels, *(text.partition(":")[0].strip() for text in (*classes, *reported))]
        option = "metadata-manifest.unknown"
        super().__init__(inside, rows, fitted, declared, unknown, option)
        guessed = [f"{name}:{kind}" for name, kind in kinds.items() if not asked[name]]
        if guessed:
            self.notes = [
                *self.notes,
                f"Inferred from the values: {', '.join(guessed)}. Set -o "
                "metadata-manifest.columns=... to choose yourself.",
            ]

    @classmethod
    def example(cls, folder: Path) -> str:
        """Writes the table of 20 studies, without their images, and gives its path."""
        rows = [f"{i},{i}.png,{'AB'[i % 2]},{25 + i // 2},{'fm'[i // 2 % 2]}" for i in range(20)]
        file = folder / "studies.csv"
        file.write_text("\n".join(["id,photo,DIAG,age,sex", *rows, ""]), encoding="utf-8")
        return str(file)


def _asked(columns: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    """{column: its kind, "" where it is to be guessed}, of entries as `age` or `age:number`."""
    asked = {}
    for entry in columns:
        name, _, kind = (part.strip() for part in entry.partition(":"))
        if name.casefold() in {other.casefold() for other in taken}:
            raise OptionError(
                f"The dataset 'metadata-manifest': the column {name!r} is an id, a split, a group "
                "or an image, not metadata. Remove it from the option 'columns'."
            )
        asked[name] = kind
    if not asked:
        raise OptionError(
            "The dataset 'metadata-manifest': option 'columns' names no column. Write for example "
            "-o metadata-manifest.columns=age,sex."
        )
    return asked

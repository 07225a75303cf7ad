"""MILK10k with its metadata: clinical and dermoscopic photo, age, sex, site and skin tone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sm3kit.api import OptionError, Study, component, ranges, read_table
from sm3kit_tabular.columns import category, known_rows
from sm3kit_tabular.fitting import fit
from sm3kit_tabular.joining import Rows, WithMetadata

METADATA = "MILK10k_Training_Metadata.csv"
# With a row per image, in the layouts that `milk10k` takes.
TABLES = ("supplements/training_input.csv", "metadata.csv", METADATA, f"../{METADATA}")
AGE = "age_approx"
SITES = "foot|genital|hand|head_neck_face|lower_extremity|trunk|upper_extremity"
CATEGORIES = {
    "sex": category("sex:female|male"),
    "site": category(f"site:{SITES}"),
    "skin_tone_class": category("skin_tone_class:0|1|2|3|4|5"),
}
COLUMNS = (AGE, *CATEGORIES)


class Milk10kMetadata(WithMetadata):
    """The data set `milk10k` with the modality `meta`, `milk10k-metadata:DIR`.

    Studies, split and labels are those of `milk10k`, but for the labels that are inputs here:
    sex, site and skin tone leave the labels as far as they are columns. A lesion has the row of
    its dermoscopic image, else that of the clinical one. A blank, or a word such as NA, is unknown.

    Args:
        argument: the folder, in any layout that `milk10k` takes.
        columns: some of age_approx, sex, site and skin_tone_class; by default all that the table
            has.
        labels: the labels to use; by default all that are not columns.
        monet_threshold: as for `milk10k`.
        val: as for `milk10k`.
        test: as for `milk10k`.
        split_seed: as for `milk10k`.

    Raises:
        DataError: a folder, table, column or value is missing or wrong.
        OptionError: a column that is not known, or that is asked for as a label.
    """

    def __init__(
        self,
        argument: str,
        *,
        columns: tuple[str, ...] = (),
        labels: tuple[str, ...] = (),
        monet_threshold: ranges.Share = 0.5,
        val: ranges.ShareBelowOne = 0.15,
        test: ranges.ShareBelowOne = 0.2,
        split_seed: ranges.Seed = 0,
    ) -> None:
        self.argument = argument
        for name in columns:
            if name not in COLUMNS:
                raise OptionError(
                    "The dataset 'milk10k-metadata': option 'columns' must be some of "
                    f"{', '.join(COLUMNS)}, not {name!r}."
                )
        inside = component("datasets", "milk10k")(
            argument,
            labels=labels,
            monet_threshold=monet_threshold,
            val=val,
            test=test,
            split_seed=split_seed,
        )
        tables = [Path(argument).expanduser() / name for name in TABLES]
        table = read_table(next(filter(Path.is_file, tables)), "a row per image")
        chosen = columns or [name for name in COLUMNS if name in table]
        table.require(chosen)
        rows = Rows(table, "isic_id", _image)
        known = replace(rows, table=known_rows(table, {}, [AGE] if AGE in chosen else [])[0])
        training = [row for _, row in known.of(inside.studies("train"))[0]]
        fitted = [
            CATEGORIES[name] if name in CATEGORIES else fit(table, name, "number", training)
            for name in chosen
        ]
        super().__init__(inside, rows, fitted, labels)

    @classmethod
    def example(cls, folder: Path) -> str:
        """What the data set that it builds on writes."""
        written: str = component("datasets", "milk10k").example(folder)
        return written


def _image(study: Study) -> str:
    """The id of the image whose row a lesion has."""
    images = study.images.get("derm") or study.images["clinic"]
    return Path(images if isinstance(images, str) else images[0]).stem

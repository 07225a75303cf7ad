"""Derm7pt with its metadata: dermoscopic and clinical photo, and what is known of the patient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sm3kit.api import Row, Study, component, read_table
from sm3kit_tabular.columns import category
from sm3kit_tabular.joining import Rows, WithMetadata

EXCISION, NOTHING_MORE = "excision", "no further examination"
COLUMNS = {
    column.name: column
    for column in (
        category("level_of_diagnostic_difficulty:low|medium|high"),
        category("elevation:flat|palpable|nodular"),
        category(
            "location:abdomen|acral|back|buttocks|chest|genital areas|head neck|lower limbs|upper limbs"
        ),
        category("sex:female|male"),
        category(f"management:{EXCISION}|clinical follow up|{NOTHING_MORE}"),
    )
}
SETS = {"safe": ("elevation", "location", "sex"), "paper_f4m": tuple(COLUMNS)}


class Derm7ptMetadata(WithMetadata):
    """The data set `derm7pt` with the modality `meta`, `derm7pt-metadata:DIR`.

    Studies, labels and the official split are those of `derm7pt`. A blank, or a word such as NA, is
    unknown.

    Args:
        argument: the folder of the release.
        columns: `safe` is elevation, location and sex, known when the patient is seen;
            `paper_f4m` is all 20 values that FusionM4Net (Tang et al. 2022) takes, among them
            the management, which is decided after the diagnosis.
        repeated: a clinical path that repeats the dermoscopic one is "missing", or "used".

    Raises:
        DataError: a table, column or value is missing or wrong.
    """

    def __init__(
        self,
        argument: str,
        *,
        columns: Literal["safe", "paper_f4m"] = "safe",
        repeated: Literal["missing", "used"] = "missing",
    ) -> None:
        self.argument = argument
        inside = component("datasets", "derm7pt")(argument, repeated=repeated)
        folder = Path(argument).expanduser()
        tables = [folder / "meta" / "meta.csv", folder / "meta.csv"]
        meta = read_table(next(filter(Path.is_file, tables)), "a row per case")
        meta.require(SETS[columns])
        rows = Rows(meta, "case_num", lambda study: study.id)
        super().__init__(inside, rows, [COLUMNS[name] for name in SETS[columns]])
        if "management" in SETS[columns]:
            self.notes = [*self.notes, _warning(rows.of(self.studies())[0])]

    @classmethod
    def example(cls, folder: Path) -> str:
        """What the data set that it builds on writes."""
        written: str = component("datasets", "derm7pt").example(folder)
        return written


def _warning(found: Sequence[tuple[Study, Row]]) -> str:
    """What the management tells of the diagnosis, counted in these data."""
    melanoma = [row["management"] for _, row in found if row["diagnosis"].startswith("melanoma")]
    spared = sum(row["management"] == NOTHING_MORE for _, row in found)
    return (
        "Warning: management is decided after the diagnosis. Here "
        f"{melanoma.count(EXCISION)} of {len(melanoma)} melanomas are {EXCISION!r}, and "
        f"{melanoma.count(NOTHING_MORE)} of {spared} cases of {NOTHING_MORE!r} are melanomas. "
        "Results with columns=paper_f4m are not comparable with those without it."
    )

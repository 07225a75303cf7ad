"""The ranks of pair matching in a grid: a section for each space, a block for each direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

from sm3kit.evaluation.record_text import Record, pairs_were_seen
from sm3kit.metrics.ranks import is_by_chance
from sm3kit.results.beside import PublishedRow
from sm3kit.results.grid_rows import GridRows
from sm3kit.results.measurement import PERCENT, Measurement
from sm3kit.results.numbers import Number
from sm3kit.results.section import NONE, Cell, Column, Section

PUBLISHED_SPACE = "backbone"
HOW = (
    "Mean rank of the true partner, 1 is best; chance: the mean rank of random guesses; acc@k: "
    "partners among the first k, in %."
)
PAPER = " The paper names neither the feature space nor the direction of its search."
SEEN = " The pairs were seen in pre-training."
UNDEFINED = {
    "backbone": "the features of its backbones differ in width, or too few studies have both images",
    "projection": "the fusion has no separate projection for each modality",
}

COLUMNS = (
    Column("mean rank", "rank", "mean_rank", better="lower", narrow="mean rank"),
    Column("chance", "rank", narrow="chance"),
    Column("acc@1", "percent", "acc@1", better="higher", narrow="acc@1", group="accuracy, %"),
    Column("acc@5", "percent", "acc@5", better="higher", narrow="acc@5", group="accuracy, %"),
    Column("pairs"),
)


def rank_sections(rows: GridRows) -> list[Section]:
    """One section for each space of features; one that tells the reasons if there is none."""
    spaces = [space for record in rows.records for space in _spaces(record)] or [PUBLISHED_SPACE]
    return [_rank_section(rows, space) for space in dict.fromkeys(spaces)]


def _rank_section(rows: GridRows, space: str) -> Section:
    if space != PUBLISHED_SPACE:
        rows = replace(rows, besides=(None,) * len(rows.besides))
    ranks = [_spaces(record).get(space, {}) for record in rows.records]
    directions = list(dict.fromkeys(name for spaces in ranks for name in spaces)) or [""]
    blocks = {
        direction: [
            _cells(
                row, beside, [_spaces(record).get(space, {}) for record in row.records], direction
            )
            for row, beside in zip(rows.measurements, rows.besides, strict=True)
        ]
        for direction in directions
    }
    counts = sorted({int(summary["n"]) for spaces in ranks for summary in spaces.values()})
    pairs = " to ".join(str(count) for count in dict.fromkeys(counts[:1] + counts[-1:]))
    published = any(rows.besides)
    seen = any(pairs_were_seen(record) for record in rows.records)
    return rows.section(
        COLUMNS,
        blocks,
        "published rank / acc@1 / acc@5" if published else "",
        UNDEFINED.get(space.partition(" ")[0], ""),
        rows.notes(HOW + PAPER * published + SEEN * seen),
        title=f"match, {space}",
        basis=rows.basis(f"{pairs} pairs" if pairs else ""),
        part=space,
    )


def _cells(
    row: Measurement,
    beside: PublishedRow | None,
    records: Sequence[dict[str, Any]],
    direction: str,
) -> list[Cell]:
    """The cells of a row in one direction, from the directions in each of its records."""
    summaries = [ranks[direction] for ranks in records if direction in ranks]
    if not summaries:
        return [Cell(NONE, ends=()) for _ in COLUMNS]
    chance, pairs = summaries[0]["chance"], str(summaries[0]["n"])
    cells = {"chance": Cell(f"{chance:.1f}", str(chance)), "pairs": Cell(pairs, pairs)}
    return [
        cells.get(column.head) or column.cell(_number(summaries, column.metric, beside))
        for column in COLUMNS
    ]


def _number(
    summaries: Sequence[dict[str, Any]], metric: str, beside: PublishedRow | None
) -> Number:
    """A metric of ranks as the mean over seeds; accuracies in percent."""
    scale = 1.0 if metric == "mean_rank" else PERCENT
    values = [scale * summary[metric] for summary in summaries]
    mean, pairs = fmean(values), int(summaries[0]["n"])
    number = Number(
        mean,
        stdev(values) if len(values) > 1 else None,
        seeds=len(values),
        support=f"{pairs} pairs",
        at_chance=is_by_chance(metric, mean / scale, pairs),
    )
    return beside.beside(number, metric) if beside else number


def _spaces(record: Record) -> dict[str, dict[str, Any]]:
    """{space: {direction: ranks}} of a record; those without shared images by their own name."""
    rest = record.get("without_duplicates", {"space": {}})["space"]
    return {
        **record["space"],
        **{f"{name} without duplicates": ranks for name, ranks in rest.items()},
    }

"""What a published table is made of: cells, rows, and the classes they were measured on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sm3kit.core.errors import UnknownName
from sm3kit.core.names import unknown

MEAN = "mean"
# The protocol of sm3kit for what the rows call otherwise.
OWN_PROTOCOLS = {"supervised": "finetune", "matching": "match"}
# The kinds of errors that are marked in the data.
RULES = {
    "row mean": "the printed mean is not the mean of the printed columns",
    "corrected columns": "the printed mean includes wrong columns",
    "absent class": "the three metrics belong to the other class",
    "swapped": "sensitivity and precision are swapped, and the specificity is the NPV",
    "no whole number": "no whole number of studies gives this percentage",
    "precision": "the precision contradicts sensitivity and specificity",
}


@dataclass(frozen=True)
class PaperNumber:
    """One number of a table, as printed and, where an error was found, as it should be.

    Args:
        printed: the printed number; None if it is not known here.
        corrected: what it should be; None if nothing is wrong or nobody can tell.
        finding: what is wrong, in a sentence; empty if nothing is.
        rule: the kind of error, one of `RULES`.
        row_mean: the mean of the row's own columns, where these are not part of the data.
        decimals: how many decimals the table prints.
    """

    printed: float | None = None
    corrected: float | None = None
    finding: str = ""
    rule: str = ""
    row_mean: float | None = None
    decimals: int = 1

    @property
    def value(self) -> float | None:
        """The number to compare with: the corrected one, else the printed one."""
        return self.printed if self.corrected is None else self.corrected

    def bare(self) -> str:
        """The number as text, without what is wrong."""
        return self._text(self.printed)

    def mark(self) -> str:
        """The number as text with what is wrong, such as "77.3 (row mean 78.3)"."""
        if not self.finding:
            return self.bare()
        if self.corrected is None:
            return f"{self.bare()} (in doubt)"
        word = "row mean" if self.rule == "row mean" else "corrected"
        return f"{self.bare()} ({word} {self._text(self.corrected)})"

    def _text(self, number: float | None) -> str:
        """A number with the decimals of its table, or with one more if it has them."""
        if number is None:
            return "–"
        short, exact = f"{number:.{self.decimals}f}", f"{number:.2f}"
        return short if float(short) == float(exact) else exact


@dataclass(frozen=True)
class PaperRow:
    """One row of a table: how its numbers were made, and the numbers.

    Args:
        table: the name of its table.
        name: as in the paper.
        dataset: the dataset as sm3kit calls it.
        split: the split that was measured.
        protocol: `probe`, `finetune`, `supervised` (another system, trained its own way) or
            `matching`.
        selection: how the epoch was chosen, as far as the released code tells, else `unknown`.
        runs: how many trainings lie behind a number.
        recipe: the recipe of sm3kit that makes the row; empty if there is none.
        other_recipes: further ones that make it, such as with the optimiser of its authors.
        note: what else a reader of the row should know.
        same_as: table and row with the same system, protocol and mean; its cells are taken over.
        aliases: other names of the row.
        cells: {metric: {label or "mean": cell}}, with an empty cell where no number is known.
        spellings: {other spelling, lower case: metric or label}.
    """

    table: str
    name: str
    dataset: str
    split: str
    protocol: str
    selection: str
    runs: int
    recipe: str = ""
    other_recipes: tuple[str, ...] = ()
    note: str = ""
    same_as: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    cells: Mapping[str, Mapping[str, PaperNumber]] = field(default_factory=dict, repr=False)
    spellings: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def recipes(self) -> tuple[str, ...]:
        """All recipes that make the row, its own first."""
        return (self.recipe, *self.other_recipes) if self.recipe else ()

    def is_measured_by(self, protocol: str) -> bool:
        """Whether a protocol of sm3kit measures what the row shows.

        Systems that were trained in their own way are trained with all layers here.
        """
        return protocol == OWN_PROTOCOLS.get(self.protocol, self.protocol)

    def cell(self, metric: str, label: str = MEAN) -> PaperNumber:
        """The number of a metric for one label or the mean; an empty cell if it is not known.

        Raises:
            UnknownName: the row has no such metric, or there is no such label.
        """
        noun = f"metric in table {self.table}, row {self.name},"
        columns = self.cells[self._key(noun, metric, self.cells)]
        return columns[self._key("published label", label, columns)]

    def marks(self, metrics: Sequence[str]) -> str:
        """The means of some metrics with what is wrong, such as "76.9 (row mean 78.0)"."""
        return " / ".join(self.cell(metric).mark() for metric in metrics)

    def error(self, metrics: Sequence[str]) -> str:
        """What is wrong in the means of some metrics, in a sentence; empty if nothing is."""
        cells = [self.cell(metric) for metric in metrics]
        wrong = [f"{cell.mark()}. {cell.finding}" for cell in cells if cell.finding]
        return f"table {self.table}, {self.name}: {' '.join(wrong)}" if wrong else ""

    def faults(self) -> Iterator[tuple[str, str, PaperNumber]]:
        """Metric, label and cell of every number that an error was found in."""
        for metric, columns in self.cells.items():
            for label, cell in columns.items():
                if cell.finding:
                    yield metric, label, cell

    def _key(self, noun: str, name: str, known: Mapping[str, Any]) -> str:
        spelling = self.spellings.get(name.lower(), name)
        if spelling not in known:
            raise UnknownName(unknown(noun, name, known))
        return spelling


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper, or several that share their rows.

    Args:
        name: its number, or `1-4`.
        title: what it shows.
        metrics: its metrics, in order.
        remarks: sentences on it as a whole, and on what the text makes of it.
        rows: {name: row}, in the order of the paper.
        aliases: other names of the table.
    """

    name: str
    title: str
    metrics: tuple[str, ...]
    remarks: tuple[str, ...]
    rows: Mapping[str, PaperRow]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Label:
    """The classes of a label in the official split, and which one the metrics are for.

    Args:
        name: the label.
        reported: the class that counts as positive.
        counts: {split: {class: studies}}.
    """

    name: str
    reported: str
    counts: Mapping[str, Mapping[str, int]]

    def positives(self, split: str) -> int:
        """Studies of the reported class."""
        return self.counts[split][self.reported]

    def negatives(self, split: str) -> int:
        """Studies of all other classes."""
        return sum(self.counts[split].values()) - self.positives(split)


@dataclass(frozen=True)
class Published:
    """All tables that are part of the package.

    Args:
        citation: the paper.
        dataset: the dataset of all rows, as sm3kit calls it.
        metrics: {metric: its title, unit, decimals and aliases}; the unit is `percent`,
            `fraction` or `rank`.
        labels: {name: label}, in the order of the tables.
        tables: {name: table}.
        spellings: {other spelling, lower case: metric or label}.
    """

    citation: str
    dataset: str
    metrics: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, Label]
    tables: Mapping[str, PaperTable]
    spellings: Mapping[str, str] = field(repr=False)

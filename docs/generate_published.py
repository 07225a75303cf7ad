"""Writes published.md from the package's data: python docs/generate_published.py [--check]."""

from __future__ import annotations

from collections.abc import Iterable

import click
from generated_page import cell, note, settle

from sm3kit.published.rows import MEAN, RULES, Label, PaperRow, PaperTable
from sm3kit.published.tables import load

HEAD = """
# Published numbers

The numbers of the paper on Derm7pt, as far as sm3kit contains them.
Source: {citation}.

The package contains them as data, so your own tables can show published numbers, too:

```python
from sm3kit.published.tables import for_recipe, published_row

published_row("5", "BYOL").cell("auc").mark()  # "77.3 (row mean 78.3)"
published_row("1-4", "HcCNN").cell("Prec", "BWV").value  # 66.2, the corrected number
for_recipe(["release", "tel"]).cell("auc", "DIAG").printed  # 85.0
```

AUC, sensitivity, specificity and precision are in percent; accuracies of Table 6 are fractions,
as printed. "–" means that sm3kit does not contain the number, not that it is missing in the paper.
Every row seems to be a single training. `test_best` means that the epoch was chosen by its result on
the *test* split, as in the released code; `unknown` means that there is no released code for it. So
differences below about one point are not meaningful.

## Numbers with a mark

A number with a note is as printed, followed by the correct value. A number *in doubt* cannot be
right, but the correct value cannot be derived from the paper. Most errors were found by a program
(`tests/published/consistency.py`), since counts of studies are whole numbers, and sensitivity and
specificity determine the precision. It looks for these errors:

"""


class Notes:
    """The notes under one heading, numbered in the order of their first use."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def mark(self, text: str, row: PaperRow, sentence: str) -> str:
        """The text with the number of its note; the text alone if there is no sentence."""
        if not sentence:
            return text
        whole = f"{row.name}: {sentence}"
        if whole not in self.sentences:
            self.sentences.append(whole)
        return f"{text}<sup>{self.sentences.index(whole) + 1}</sup>"

    def shown(self) -> str:
        """The list of the notes."""
        lines = [f"{place}. {one}\n" for place, one in enumerate(self.sentences, 1)]
        return "\n" + "".join(lines) if lines else ""


def page() -> str:
    """The whole page."""
    tables = load()
    rules = "".join(f"- *{name}*: {meaning}\n" for name, meaning in RULES.items())
    systems, ablation, matching = (tables.tables[name] for name in ("1-4", "5", "6"))
    parts = [note("published.md"), HEAD.format(citation=tables.citation), rules]
    parts += [heading(systems), whole_systems(systems), remarks(systems)]
    parts += [heading(ablation), means(ablation), remarks(ablation)]
    parts += [heading(matching), means(matching), remarks(matching)]
    parts += ["\n## Classes of Derm7pt\n\n", classes(tables.labels.values())]
    return "".join(parts)


def heading(table: PaperTable) -> str:
    """The heading of a table."""
    word = "Tables" if "-" in table.name else "Table"
    return f"\n## {word} {table.name.replace('-', ' to ')}: {table.title}\n\n"


def whole_systems(table: PaperTable) -> str:
    """Tables 1 to 4: how rows were made, AUC of all labels, other metrics as far as known."""
    notes = Notes()
    parts = [means(table, notes)]
    for metric in table.metrics:
        title = load().metrics[metric]["title"]
        parts.append(f"\n### {title} per label\n\n{per_label(table, metric, notes)}")
    parts.append("\n### Notes\n" + notes.shown())
    return "".join(parts)


def means(table: PaperTable, notes: Notes | None = None) -> str:
    """A line per row: the means, and how they were made; with notes unless they come later."""
    own = notes or Notes()
    titles = [load().metrics[metric]["title"] for metric in table.metrics]
    lines = []
    for row in table.rows.values():
        name = own.mark(row.name, row, row.note)
        numbers = [number(row, metric, MEAN, own) for metric in table.metrics]
        recipe = ", ".join(f"`{recipe}`" for recipe in row.recipes)
        how = [row.protocol, row.split, row.selection.replace("test_best", "`test_best`"), recipe]
        lines.append([name, *numbers, *how])
    shown = markdown(["row", *titles, "protocol", "split", "selection", "recipe"], lines)
    return shown if notes else shown + own.shown()


def per_label(table: PaperTable, metric: str, notes: Notes) -> str:
    """A line per row that has a number of this metric for a label."""
    labels = list(load().labels)
    lines = [
        [row.name, *(number(row, metric, label, notes) for label in (MEAN, *labels))]
        for row in table.rows.values()
        if any(row.cell(metric, label).value is not None for label in labels)
    ]
    return markdown(["row", "mean", *labels], lines)


def number(row: PaperRow, metric: str, label: str, notes: Notes) -> str:
    """One cell with its note."""
    one = row.cell(metric, label)
    return notes.mark(one.mark(), row, one.finding)


def remarks(table: PaperTable) -> str:
    """What else there is to say on a table."""
    return "".join(f"\n{one.strip()}\n" for one in table.remarks)


def classes(labels: Iterable[Label]) -> str:
    """The studies of every class in the official split."""
    lines = [
        [label.name, f"{name} (reported)" if name == label.reported else name]
        + [str(label.counts[split][name]) for split in ("train", "val", "test")]
        for label in labels
        for name in label.counts["test"]
    ]
    return markdown(["label", "class", "train", "val", "test"], lines)


def markdown(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    head = list(head)
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(cell(one) for one in row)} |\n" for row in rows)


@click.command()
@click.option("--check", is_flag=True, help="Compare, and write nothing.")
def main(check: bool) -> None:
    """Writes published.md, or checks that it is up to date."""
    settle("published.md", page(), check)


if __name__ == "__main__":
    main()

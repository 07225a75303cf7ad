"""The fourteen findings of the CheXpert labeler, and what its four answers mean as labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sm3kit.api import DataError, LabelSpec, OptionError, Row, Table

NO_FINDING = "No Finding"
# In the order of the tables of CheXpert; those of MIMIC-CXR-JPG have another.
FINDINGS = (
    NO_FINDING, "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion",
    "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
CLASSES = ("absent", "present")
ABSENT, PRESENT, UNCERTAIN, BLANK = "0", "1", "-1", ""
# As the tables, and programs that save them again, write the answers.
SPELLINGS = {"": BLANK} | {
    text: said for said in (ABSENT, PRESENT, UNCERTAIN) for text in (said, f"{said}.0")
}
# Where images of one study say different things, the first of these that any says.
STRONGEST = (PRESENT, UNCERTAIN, ABSENT, BLANK)

Uncertain = Literal["unknown", "ones", "zeros"]
Blank = Literal["zeros", "unknown"]
Answers = Mapping[str, str]


@dataclass(frozen=True)
class Policy:
    """Which findings are labels, and what one is that is uncertain, or that no report mentions.

    Attributes:
        plugin: the data set whose options these are, for messages.
        chosen: the findings that a user named; empty takes all.
        uncertain: of -1: unknown, or present (ones), or absent (zeros); U-Ignore, U-Ones and
            U-Zeros in the words of the paper.
        blank: of a blank: absent (zeros), or unknown.
    """

    plugin: str
    chosen: Sequence[str]
    uncertain: Uncertain
    blank: Blank

    @property
    def names(self) -> list[str]:
        """The findings that are labels, in their order in the tables.

        Raises:
            OptionError: there is no such finding.
        """
        for name in self.chosen:
            if name not in FINDINGS:
                raise OptionError(
                    f"The dataset {self.plugin!r}: option 'labels': no finding is called {name!r}. "
                    f"Known: {', '.join(FINDINGS)}."
                )
        return [name for name in FINDINGS if not self.chosen or name in self.chosen]

    @property
    def specs(self) -> list[LabelSpec]:
        """The labels."""
        return [LabelSpec(name, CLASSES, "present") for name in self.names]

    def labels(self, answers: Answers) -> dict[str, int]:
        """{finding: class index} of those that are known."""
        classes = {PRESENT: 1, ABSENT: 0}
        if self.uncertain != "unknown":
            classes[UNCERTAIN] = int(self.uncertain == "ones")
        if self.blank == "zeros":
            classes[BLANK] = 0
        wanted = self.chosen or FINDINGS
        return {
            name: classes[said]
            for name, said in answers.items()
            if name in wanted and said in classes
        }

    def notes(self, answers: Iterable[Answers]) -> list[str]:
        """How many labels the policy decided, and what else could be chosen."""
        counts = Counter(of_study[name] for of_study in answers for name in self.names)
        words = {"unknown": "unknown", "ones": "present", "zeros": "absent"}
        others = [word for word in words if word != self.uncertain]
        notes = []
        if counts[UNCERTAIN]:
            notes.append(
                f"Labels that the reports leave uncertain (-1): {counts[UNCERTAIN]:,}, taken as "
                f"{words[self.uncertain]}; -o {self.plugin}.uncertain={'|'.join(others)} changes that."
            )
        if counts[BLANK]:
            other = "unknown" if self.blank == "zeros" else "zeros"
            notes.append(
                f"Labels that the reports do not mention (blank): {counts[BLANK]:,}, taken as "
                f"{words[self.blank]}; -o {self.plugin}.blank={other} changes that."
            )
        return notes


def answers(table: Table, row: Row) -> dict[str, str]:
    """{finding: what its cell says}.

    Raises:
        DataError: a cell holds something other than 1, 0, -1 and a blank.
    """
    return {name: _answer(table, row, name) for name in FINDINGS}


def strongest(first: Answers, second: Answers) -> dict[str, str]:
    """{finding: what one of two images says}: present before uncertain, absent and blank."""
    return {name: min(first[name], second[name], key=STRONGEST.index) for name in first}


def _answer(table: Table, row: Row, name: str) -> str:
    cell = row[name]
    known = SPELLINGS.get(cell)
    if known is None:
        raise DataError(
            f"{table.place(row, name)}: {cell!r} is not 1 (present), 0 (absent), -1 (uncertain) "
            "or blank. Correct the cell."
        )
    return known

"""The seven-point score, by hand."""

import pytest

from sm3kit.datasets.derm7pt import GROUPINGS
from sm3kit.metrics.checklist import CRITERIA, checklist_of, seven_points
from sm3kit.synthesis.lesion import LABELS

ABSENT = {
    "PN": {"ABS": 0.7, "TYP": 0.2, "ATP": 0.1},
    "BWV": {"ABS": 0.9, "PRS": 0.1},
    "VS": {"ABS": 0.6, "REG": 0.3, "IR": 0.1},
    "PIG": {"ABS": 0.5, "REG": 0.4, "IR": 0.1},
    "STR": {"ABS": 0.8, "REG": 0.1, "IR": 0.1},
    "DaG": {"ABS": 0.5, "REG": 0.4, "IR": 0.1},
    "RS": {"ABS": 0.9, "PRS": 0.1},
}


def with_present(*names):
    found = dict(ABSENT)
    for name in names:
        present = CRITERIA[name][0]
        found[name] = dict.fromkeys(ABSENT[name], 0.05) | {present: 0.9}
    return found


@pytest.mark.parametrize(
    ("names", "score", "suspicious"),
    [
        ((), 0, False),
        (("PN",), 2, False),
        (("STR", "PIG"), 2, False),
        (("BWV", "RS"), 3, True),
        (("STR", "PIG", "DaG"), 3, True),
        (("PN", "BWV"), 4, True),
        (tuple(ABSENT), 10, True),
    ],
)
def test_points_by_hand(names, score, suspicious):
    found = seven_points(with_present(*names))
    assert found["score"] == score
    assert found["suspicious"] is suspicious
    assert found["criteria"] == [CRITERIA[name][2] for name in CRITERIA if name in names]
    # All present classes have 0.1, and 0.9 where they are decided: 10 points times 0.1, and 0.8 more.
    assert found["expected"] == pytest.approx(1 + 0.8 * score)


def test_a_criterion_counts_only_as_the_most_probable_class():
    found = seven_points({**ABSENT, "VS": {"ABS": 0.1, "REG": 0.46, "IR": 0.44}})
    assert found["score"] == 0
    assert found["expected"] == pytest.approx(1 - 0.2 + 0.88)


def test_the_labels_of_derm7pt_and_of_the_drawn_studies_are_those_of_the_checklist():
    derm = {name: tuple(grouping.classes) for name, grouping in GROUPINGS.items()}
    assert checklist_of(derm) == ""
    assert checklist_of({name: classes for name, classes, _ in LABELS}) == ""


def test_other_labels_are_not():
    classes = {name: tuple(row) for name, row in ABSENT.items()}
    assert checklist_of({"DIAG": ("MEL", "NEV")}) is None
    assert checklist_of({n: c for n, c in classes.items() if n != "RS"}) is None
    assert checklist_of({**classes, "PN": ("no", "yes")}) is None


def test_labels_of_a_pool_name_their_data_set():
    pooled = {f"derm7pt/{name}": tuple(row) for name, row in ABSENT.items()}
    pooled["milk10k/DIAG"] = ("MEL", "NEV")
    assert checklist_of(pooled) == "derm7pt/"
    rows = {f"derm7pt/{name}": row for name, row in with_present("PN", "RS").items()}
    assert seven_points(rows, "derm7pt/")["score"] == 3

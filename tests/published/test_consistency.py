"""The checker of published tables: what it finds, and that it finds what is marked."""

import pytest
from consistency import (
    check,
    corrected_mean,
    explained,
    printed_mean,
    share,
    swapped,
    whole,
)

from sm3kit.published.rows import PaperNumber
from sm3kit.published.tables import load, published_row

FOUND = {(one.table, one.row, one.metric, one.label): one for one in check(load())}
MARKED = {
    (row.table, row.name, metric, label): cell
    for table in load().tables.values()
    for row in table.rows.values()
    for metric, label, cell in row.faults()
}
# Marked, but not to be derived from the numbers that the data hold.
TOLD = {
    ("1-4", "AMFAM", "sens", "mean"),
    ("1-4", "AMFAM", "prec", "mean"),
    ("1-4", "HcCNN", "prec", "DIAG"),
}


@pytest.mark.parametrize("place", FOUND, ids=str)
def test_what_is_found_is_marked(place):
    assert place in MARKED
    assert MARKED[place].rule == FOUND[place].rule
    expected, corrected = FOUND[place].expected, MARKED[place].corrected
    assert (expected is None) == (corrected is None)
    assert expected is None or corrected == pytest.approx(expected, abs=0.05)


def test_what_is_marked_is_found():
    printed = {place for place, cell in MARKED.items() if cell.printed is not None}
    assert printed - set(FOUND) == TOLD


def test_the_four_means_of_table_five_are_found():
    rows = {row for table, row, _, label in FOUND if (table, label) == ("5", "mean")}
    assert rows == {"SimCLR-derm", "SwAV", "BYOL", "F4M-FS"}


@pytest.mark.parametrize(
    ("row", "metric", "label", "rule"),
    [
        ("AMFAM", "spec", "mean", "corrected columns"),
        ("HcCNN", "sens", "BWV", "absent class"),
        ("HcCNN", "spec", "BWV", "absent class"),
        ("HcCNN", "prec", "RS", "absent class"),
        ("HcCNN", "sens", "DIAG", "no whole number"),
        ("HcCNN", "prec", "mean", "corrected columns"),
        ("GIIN", "sens", "VS", "no whole number"),
        ("F4M-FS + SM3", "prec", "STR", "precision"),
        ("F4M-FS + SM3", "prec", "mean", "corrected columns"),
    ],
)
def test_the_errors_of_tables_one_to_four_are_found(row, metric, label, rule):
    assert FOUND["1-4", row, metric, label].rule == rule


def test_corrected_columns_fit_whole_numbers():
    labels = load().labels
    for name in ("AMFAM", "HcCNN"):
        row = published_row("1-4", name)
        for label in labels.values():
            three = [row.cell(metric, label.name) for metric in ("sens", "spec", "prec")]
            if any(cell.finding and cell.corrected is None for cell in three):
                continue
            values = [cell.value for cell in three]
            assert not explained(*values, label.positives("test"), label.negatives("test"))


# One reading at a time; 20 positives of 100, 12 found, 4 false alarms:
# sensitivity 60, specificity 76/80 = 95, precision 12/16 = 75, NPV 76/84 = 90.5.


def test_three_metrics_of_whole_numbers_are_fine():
    assert explained(60.0, 95.0, 75.0, 20, 80) == {}


def test_metrics_of_the_other_class_are_recognised():
    # The other class: sensitivity 76/80, specificity 12/20, precision 76/84.
    found = explained(95.0, 60.0, 90.5, 20, 80)
    assert {rule for rule, _ in found.values()} == {"absent class"}
    assert {metric: number for metric, (_, number) in found.items()} == pytest.approx(
        {"sens": 60.0, "spec": 95.0, "prec": 75.0}
    )


def test_swapped_metrics_with_the_npv_are_recognised():
    found = explained(75.0, 90.5, 60.0, 20, 80)
    assert {rule for rule, _ in found.values()} == {"swapped"}
    assert {metric: number for metric, (_, number) in found.items()} == pytest.approx(
        {"sens": 60.0, "spec": 95.0, "prec": 75.0}
    )
    assert swapped(60.0, 95.0, 75.0, 20, 80) == {}


def test_a_precision_that_does_not_follow():
    # 45.2 percent of 31 are 14, 90 percent of 70 leave 7: 14 of 21.
    assert explained(45.2, 90.0, 66.7, 31, 70) == {}
    (rule, expected) = explained(45.2, 90.0, 80.1, 31, 70)["prec"]
    assert rule == "precision"
    assert expected == pytest.approx(66.7, abs=0.1)


def test_percentages_that_no_number_of_studies_makes():
    assert explained(3.6, None, None, 30, 365) == {"sens": ("no whole number", None)}
    assert explained(None, 91.9, None, 94, 301) == {"spec": ("no whole number", None)}
    assert explained(3.6, None, None, 28, 365) == {}
    assert explained(None, None, None, 30, 365) == {}


def test_whole_numbers_of_a_percentage():
    assert list(whole(33.3, 3)) == [1]
    assert list(whole(0.0, 30)) == [0]
    assert list(whole(100.0, 30)) == [30]
    assert list(whole(50.0, 3)) == []
    assert list(whole(50.0, 4000)) == [1998, 1999, 2000, 2001, 2002]


def test_the_precision_of_no_answer_is_nought():
    assert share(0, 0) == 0
    assert explained(0.0, 100.0, 0.0, 30, 365) == {}


def test_means_of_columns():
    columns = [
        PaperNumber(60.0),
        PaperNumber(70.0),
        PaperNumber(80.0, 90.0, "Why.", "precision"),
    ]
    assert printed_mean(PaperNumber(70.0), columns) == pytest.approx(70)
    assert corrected_mean(PaperNumber(70.0), columns) == pytest.approx(220 / 3)
    # One column is not known: the mean moves by the correction of the others.
    assert printed_mean(PaperNumber(70.0), [*columns, PaperNumber()]) is None
    assert corrected_mean(PaperNumber(70.0), [*columns, PaperNumber()]) == pytest.approx(72.5)
    assert corrected_mean(PaperNumber(70.0), columns[:2]) is None
    # The columns are not part of the data, but their mean is.
    assert printed_mean(PaperNumber(70.0, row_mean=71.0), [PaperNumber(), PaperNumber()]) == 71.0

"""The table of what it costs that a modality is missing."""

import dataclasses

import pytest
from fabricated import grid, labelled

from sm3kit.results.formats.tidy import tidy
from sm3kit.results.grid_table import tabulate

MEASURED = ("probe", "probe without ct", "probe without mr")


def row(folder, name, *of_measures):
    """A row with AUCs in 24ths for each measurement: all modalities, without ct, without mr."""
    parts = [
        labelled(folder, f"{name} {place}", aucs, protocol=MEASURED[place])
        for place, aucs in enumerate(of_measures)
    ]
    return dataclasses.replace(
        parts[0],
        name=name,
        records={key: own for part in parts for key, own in part.records.items()},
        predictions={key: own for part in parts for key, own in part.predictions.items()},
        protocols=MEASURED,
    )


@pytest.fixture
def table(tmp_path):
    rows = [
        row(tmp_path, "zeros", [18, 24, 18], [12, 12, 12], [18, 24, 18]),
        row(tmp_path, "complete", [18, 24, 18], [18, 18, 12], [18, 24, 18]),
    ]
    return tabulate(grid(tmp_path, rows, protocols=MEASURED, baseline="zeros"), 50)


def test_every_row_is_compared_with_itself(table):
    loss = table.sections[-1]
    assert loss.title == "probe, loss without a modality"
    assert [column.head for column in loss.columns[2:]] == [
        "AUC, all modalities", "without ct", "without mr",
    ]  # fmt: skip
    texts = [[cell.text for cell in line.cells[2:]] for line in loss.lines]
    means = [(18 + 24 + 18) / 72, 12 / 24, (18 + 18 + 12) / 72]
    wanted = [100 * (own - means[0]) for own in means[1:]]
    assert texts[0][1].startswith(f"{wanted[0]:+.1f}") and texts[1][1].startswith(
        f"{wanted[1]:+.1f}"
    )
    assert all(line.cells[4].number.mean == 0 for line in loss.lines)
    number = loss.lines[0].cells[3].number
    assert number.low <= number.mean <= number.high


def test_rules_are_compared_without_each_modality(table):
    (without,) = [own for own in table.sections if own.title.startswith("probe without ct, mean")]
    number = without.lines[1].cells[-1].number
    assert number.mean == pytest.approx(100 * ((18 + 18 + 12) / 72 - 12 / 24))


def test_each_loss_has_one_line_in_the_csv(table):
    lines = [line for line in tidy(table).splitlines() if ",loss," in line]
    assert len(lines) == 4
    assert len(set(tidy(table).splitlines())) == len(tidy(table).splitlines())


def test_a_grid_without_drops_has_no_such_table(tmp_path):
    plain = grid(tmp_path, [labelled(tmp_path, "one", [18])])
    assert all("loss" not in section.title for section in tabulate(plain, 0).sections)

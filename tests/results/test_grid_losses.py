"""The table of what it costs that a modality is missing."""

import dataclasses

import pytest
from fabricated import grid, labelled

from sm3kit.results.differences import diff
from sm3kit.results.formats.tidy import tidy
from sm3kit.results.grid_table import tabulate
from sm3kit.results.measurement import RowResults
from sm3kit.results.writers import write_all

MEASURED = ("probe", "probe without ct", "probe without mr")


def row(folder, name, *of_measures, protocols=MEASURED, **more):
    """A row with AUCs in 24ths for each measurement: all modalities, without ct, without mr."""
    parts = [
        labelled(folder, f"{name} {place}", aucs, protocol=protocols[place])
        for place, aucs in enumerate(of_measures)
    ]
    return RowResults(
        name,
        records={key: own for part in parts for key, own in part.records.items() if own},
        predictions={key: own for part in parts for key, own in part.predictions.items() if own},
        protocols=protocols,
        **more,
    )


def losses(folder, *rows, resamples=0):
    """The table of losses of some rows, and what it says in each cell."""
    table = tabulate(grid(folder, rows, protocols=MEASURED, seeds=(0,)), resamples)
    assert write_all(table, folder / "tables")
    section = table.sections[-1]
    return section, {line.name: [cell.text for cell in line.cells[2:]] for line in section.lines}


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


UNFINISHED = {"waiting": "not yet done", "broken": "failed: out of memory"}


@pytest.mark.parametrize("last", UNFINISHED)
def test_an_unfinished_grid_has_its_table(tmp_path, last):
    """The support is that of whichever row is done; none may be."""
    failed = {0: "out of memory"} if last == "broken" else {}
    rows = row(tmp_path, "done", [18], [12], [18]), row(tmp_path, last, failed=failed)
    for own, support in ((rows, "20 studies"), (rows[::-1], "20 studies"), (rows[1:], "not known")):
        section, texts = losses(tmp_path, *own)
        assert support in section.basis.sentence()
        assert texts[last] == [UNFINISHED[last], "", ""]


def test_rows_with_other_modalities_are_each_compared_with_themselves(tmp_path):
    whole, ct, mr = MEASURED
    rows = (
        row(tmp_path, "alone", [18], protocols=(whole,)),
        row(tmp_path, "mr", [12], [24], protocols=(whole, mr)),
        row(tmp_path, "both", [24], [18], [12]),
        row(tmp_path, "ct", [18], [12], protocols=(whole, ct)),
    )
    section, texts = losses(tmp_path, *rows)
    assert texts == {
        "alone": ["75.0", "–", "–"],
        "mr": ["50.0", "–", "+50.0"],
        "both": ["100.0", "-25.0", "-50.0"],
        "ct": ["75.0", "-25.0", "–"],
    }
    assert not [line.reason for line in section.lines if line.reason]


def test_what_was_not_measured_yet_is_not_undefined(tmp_path):
    """The AUC that is known stays; a loss that cannot be told says why."""
    rows = (
        row(tmp_path, "begun", [18]),
        row(tmp_path, "broken", [18], [12], failed={0: "no memory"}),
        row(tmp_path, "odd", [18], [12], [18]),
    )
    rows[2].records[MEASURED[1]][0]["mean"]["auc"] = None
    del rows[2].predictions[MEASURED[1]][0]
    section, texts = losses(tmp_path, *rows)
    assert texts == {
        "begun": ["75.0", "not yet done", "not yet done"],
        "broken": ["75.0", "-25.0", "failed"],
        "odd": ["75.0", "undefined", "+0.0"],
    }
    assert section.notes[-1] == "odd: undefined, as a mean AUC is missing."
    assert section.lines[0].cells[2].number.mean == pytest.approx(75)


def test_intervals_are_promised_only_where_they_are(tmp_path):
    rows = [row(tmp_path, "one", [18], [12], [18])]
    for resamples in (0, 20):
        section, _ = losses(tmp_path, *rows, resamples=resamples)
        assert ("95 % intervals" in section.notes[0]) == bool(resamples)
        assert any(cell.ends for cell in section.lines[0].cells[3:]) == bool(resamples)


def test_networks_measured_without_a_modality_are_equal_by_design_too(tmp_path):
    name = "knn without ct"
    rows = [labelled(tmp_path, own, [18], protocol=name) for own in ("sep_sep", "tel")]
    for own, stage in zip(rows, ("mmssl", "mlssl"), strict=True):
        own.records[name][0]["of"] = {"splits": ["train"], "stage": stage}
    means = tabulate(grid(tmp_path, rows, protocols=(name,), seeds=(0,)), 0).sections[0]
    assert any(note.startswith("sep_sep, tel: equal by design") for note in means.notes)


def test_grids_are_compared_where_rows_are_measured(tmp_path):
    rows = [
        row(tmp_path, "both", [24], [18], [12]),
        row(tmp_path, "alone", [18], protocols=MEASURED[:1]),
    ]
    own = grid(tmp_path, rows, protocols=MEASURED, seeds=(0,))
    assert [(entry.name, entry.protocol) for entry in diff(own, own, 0)] == [
        ("both", MEASURED[0]), ("alone", MEASURED[0]), ("both", MEASURED[1]), ("both", MEASURED[2]),
    ]  # fmt: skip
    lost = dataclasses.replace(
        own, rows=[dataclasses.replace(rows[0], protocols=MEASURED[:2]), rows[1]]
    )
    notes = {entry.protocol: entry.note for entry in diff(own, lost, 0) if entry.name == "both"}
    assert notes == {MEASURED[0]: "", MEASURED[1]: "", MEASURED[2]: "not in the second"}

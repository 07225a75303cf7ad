"""Published numbers: found by name, as printed, with what is wrong in them."""

import pytest
import yaml
from consistency import MEAN_SLACK
from violations import violations

from sm3kit.core.errors import UnknownName
from sm3kit.datasets.derm7pt import GROUPINGS
from sm3kit.metrics.per_label import METRICS
from sm3kit.published.rows import RULES, PaperNumber
from sm3kit.published.tables import DATA, for_recipe, load, published_row
from sm3kit.runs import recipes

ROWS = [row for table in load().tables.values() for row in table.rows.values()]
SIZES = {"train": 413, "val": 203, "test": 395}


# Lookup


def test_a_row_is_found_by_its_names_in_the_paper():
    row = published_row("5", "BYOL")
    assert (row.table, row.name, row.recipe) == ("5", "BYOL", "byol")
    assert (row.dataset, row.split, row.protocol, row.runs) == ("derm7pt", "test", "probe", 1)
    assert row.cell("auc").printed == 77.3


@pytest.mark.parametrize(
    ("table", "word", "found"),
    [
        ("5", "FM4-FS", "F4M-FS"),
        ("1", "fm4-fs", "F4M-FS"),
        ("4", "FM4-FS+SM3", "F4M-FS + SM3"),
        ("5", "SM3-linear", "tel"),
        ("2", "SM3-linear", "SM3-50-linear"),
        ("1-4", "Baseline-50", "Baseline-50-ImageNet"),
    ],
)
def test_other_spellings_are_part_of_the_data(table, word, found):
    assert published_row(table, word).name == found


@pytest.mark.parametrize("word", ["sens", "Sens", "sensitivity", "Recall"])
def test_metrics_and_labels_have_other_spellings_too(word):
    row = published_row("1", "SM3-50-linear")
    assert row.cell(word, "BWV") is row.cell("sens", "bwv")
    assert row.cell(word, "AVG") is row.cell("sens")


def test_a_table_that_is_not_there():
    with pytest.raises(UnknownName) as caught:
        published_row("Table 5", "BYOL")
    assert str(caught.value) == "No published table named 'Table 5'. Known: 1-4, 5, 6."


def test_a_row_that_is_not_there():
    with pytest.raises(UnknownName) as caught:
        published_row("6", "sep_seb")
    assert str(caught.value) == (
        "No row in table 6 named 'sep_seb'. Did you mean 'sep_sep'? "
        "Known: ImageNet, SimCLR, concat, sep_sep, sep_shared."
    )


def test_a_metric_that_the_row_does_not_have():
    with pytest.raises(UnknownName) as caught:
        published_row("5", "BYOL").cell("aucc")
    assert str(caught.value) == (
        "No metric in table 5, row BYOL, named 'aucc'. Did you mean 'auc'? Known: auc."
    )


def test_a_label_that_is_not_there():
    with pytest.raises(UnknownName) as caught:
        published_row("5", "BYOL").cell("auc", "DIAK")
    assert str(caught.value) == (
        "No published label named 'DIAK'. Did you mean 'DIAG'? "
        "Known: BWV, DIAG, DaG, PIG, PN, RS, STR, VS, mean."
    )


def test_a_number_that_is_not_known_is_an_empty_cell():
    cell = published_row("5", "BYOL").cell("auc", "DIAG")
    assert cell.value is None
    assert cell.mark() == "–"


# Recipes


def test_the_last_recipe_that_makes_a_row_wins():
    assert for_recipe(["release", "byol"]).name == "BYOL"
    assert for_recipe(["byol", "release", "mine.yaml"]).name == "BYOL"
    assert for_recipe(("byol", "swav")).name == "SwAV"
    assert for_recipe(["baseline-50"]).name == "Baseline-50-ImageNet"
    assert for_recipe(["quick"]) is None
    assert for_recipe([]) is None


def test_a_row_with_the_optimiser_of_its_authors_is_the_same_row():
    assert for_recipe(["sm3", "f4m-original"]) is for_recipe(["f4m"])
    assert for_recipe(["f4m"]).recipes == ("f4m", "f4m-original")
    assert for_recipe(["hccnn"], "sens").cell("sens").corrected == 50.9


@pytest.mark.parametrize(
    ("table", "row", "protocol"),
    [
        ("1", "HcCNN", "finetune"),
        ("1", "F4M-FS", "finetune"),
        ("1", "F4M-FS + SM3", "finetune"),
        ("1", "SM3-50-linear", "probe"),
        ("5", "BYOL", "probe"),
        ("6", "SimCLR", "match"),
    ],
)
def test_which_protocol_of_ours_measures_a_row(table, row, protocol):
    """A system of other authors is trained with all of its layers."""
    published = published_row(table, row)
    measured = [
        name for name in ("probe", "finetune", "knn", "match") if published.is_measured_by(name)
    ]
    assert measured == [protocol]


def test_every_recipe_of_a_row_is_there():
    named = [recipe for row in ROWS for recipe in row.recipes]
    assert set(named) <= set(recipes.names())


def test_a_recipe_has_a_row_for_each_sort_of_metric():
    assert for_recipe(["sep_sep"], "mean_rank").table == "6"
    assert for_recipe(["sep_sep"], "AUROC").table == "5"
    assert for_recipe(["byol"], "mean_rank") is None
    with pytest.raises(UnknownName) as caught:
        for_recipe(["byol"], "mean_rang")
    assert str(caught.value) == (
        "No published metric named 'mean_rang'. Did you mean 'mean_rank'? "
        "Known: acc@1, acc@5, auc, mean_rank, prec, sens, spec."
    )


@pytest.mark.parametrize("metric", load().metrics)
def test_no_two_rows_with_a_metric_have_one_recipe(metric):
    made = [recipe for row in ROWS if metric in row.cells for recipe in row.recipes]
    assert len(made) == len(set(made))


def test_every_row_of_the_first_stage_has_its_recipe_and_number():
    rows = {row.recipe: row for row in published_table("5")}
    for recipe in recipes.names():
        line = recipes.headline(recipe)
        if line.startswith("Table 5, row "):
            cell = rows[recipe].cell("auc")
            assert line.startswith(f"Table 5, row {rows[recipe].name}: ")
            assert f"published mean AUC {cell.printed} " in line
            assert ("the mean of its own row is" in line) == bool(cell.finding)
            assert cell.corrected is None or f"{cell.corrected})" in line


def published_table(table):
    return list(load().tables[table].rows.values())


def test_the_rows_of_both_stages_are_all_there():
    assert [row.recipe for row in published_table("5")] == [
        "imagenet", "simclr-derm", "simclr", "swav", "byol", "f4m-fs", "concat", "sep_shared",
        "sep_sep", "no_proj", "proj", "msa", "tel", "te",
    ]  # fmt: skip


def test_a_row_takes_over_the_cells_of_its_twin_and_keeps_its_own():
    tel = for_recipe(["tel"])
    assert tel.cell("auc", "DIAG").printed == 85.0
    assert tel.cell("spec").printed == 93.6
    assert tel.cell("auc").row_mean == 80.36


def test_twins_have_the_same_protocol_split_and_mean():
    def holds(row):
        twin = published_row(row.same_as["table"], row.same_as["row"])
        assert (row.protocol, row.split) == (twin.protocol, twin.split)
        assert row.cell("auc").printed == twin.cell("auc").printed

    assert violations(holds, [(row,) for row in ROWS if row.same_as]) == []


# Cells


@pytest.mark.parametrize(
    ("cell", "text", "value"),
    [
        (PaperNumber(78.2), "78.2", 78.2),
        (PaperNumber(78.0), "78.0", 78.0),
        (PaperNumber(90.37), "90.37", 90.37),
        (PaperNumber(0.2, decimals=2), "0.20", 0.2),
        (PaperNumber(0.0), "0.0", 0.0),
        (PaperNumber(77.3, 78.3, "Why.", "row mean"), "77.3 (row mean 78.3)", 78.3),
        (PaperNumber(79.0, 80.05, "Why.", "row mean"), "79.0 (row mean 80.05)", 80.05),
        (PaperNumber(73.2, 58.9, "Why.", "precision"), "73.2 (corrected 58.9)", 58.9),
        (PaperNumber(68.8, None, "Why.", "no whole number"), "68.8 (in doubt)", 68.8),
        (PaperNumber(None, 95.6, "Why.", "swapped"), "– (corrected 95.6)", 95.6),
        (PaperNumber(), "–", None),
    ],
)
def test_a_cell_tells_what_is_wrong_with_it(cell, text, value):
    assert cell.mark() == text
    assert cell.value == value


# (table, row, metric, label): printed, corrected
KNOWN_ERRORS = {
    ("5", "SimCLR-derm", "auc", "mean"): (74.7, 75.5),
    ("5", "SwAV", "auc", "mean"): (76.9, 78.0),
    ("5", "BYOL", "auc", "mean"): (77.3, 78.3),
    ("5", "F4M-FS", "auc", "mean"): (79.0, 80.05),
    ("2", "AMFAM", "sens", "mean"): (57.9, 53.5),
    ("3", "AMFAM", "spec", "mean"): (86.7, 88.1),
    ("4", "AMFAM", "prec", "mean"): (53.5, 57.9),
    ("3", "AMFAM", "spec", "DaG"): (None, 66.5),
    ("3", "AMFAM", "spec", "VS"): (None, 100.0),
    ("2", "HcCNN", "sens", "BWV"): (92.2, 65.3),
    ("3", "HcCNN", "spec", "BWV"): (65.3, 92.2),
    ("4", "HcCNN", "prec", "BWV"): (91.9, 66.2),
    ("2", "HcCNN", "sens", "RS"): (95.2, 41.5),
    ("3", "HcCNN", "spec", "RS"): (41.5, 95.2),
    ("4", "HcCNN", "prec", "RS"): (81.6, 75.9),
    ("2", "HcCNN", "sens", "DIAG"): (68.8, None),
    ("4", "HcCNN", "prec", "DIAG"): (54.5, None),
    ("2", "GIIN", "sens", "VS"): (3.6, None),
    ("4", "F4M-FS + SM3", "prec", "STR"): (73.2, 58.9),
    ("4", "F4M-FS + SM3", "prec", "mean"): (76.0, 74.2),
}


def test_known_errors_are_marked():
    def holds(place, numbers):
        table, row, metric, label = place
        cell = published_row(table, row).cell(metric, label)
        assert (cell.printed, cell.corrected) == numbers
        assert cell.finding.endswith(".")

    assert violations(holds, KNOWN_ERRORS.items()) == []


def test_a_marked_cell_says_what_is_wrong_and_by_which_rule():
    def holds(row):
        for metric, columns in row.cells.items():
            assert list(columns) == ["mean", *load().labels]
            for label, cell in columns.items():
                assert bool(cell.finding) == bool(cell.rule), (metric, label)
                assert not cell.rule or cell.rule in RULES
                assert cell.corrected is None or cell.finding, (metric, label)

    assert violations(holds, [(row,) for row in ROWS]) == []


# Data


def test_the_mean_is_that_of_the_columns_once_corrected():
    def holds(row):
        for metric, columns in row.cells.items():
            mean, *others = columns.values()
            values = [cell.value for cell in others]
            if None not in values:
                exact = sum(values) / len(values)
                assert mean.value == pytest.approx(exact, abs=MEAN_SLACK), metric
            if mean.row_mean is not None:
                assert mean.value == pytest.approx(mean.row_mean, abs=0.05 + 1e-9)

    assert violations(holds, [(row,) for row in ROWS]) == []


def test_numbers_are_in_the_range_of_their_unit():
    def holds(row):
        most = {"percent": 100, "fraction": 1, "rank": 413}
        for metric, columns in row.cells.items():
            for cell in columns.values():
                for number in (cell.printed, cell.corrected):
                    assert number is None or 0 <= number <= most[load().metrics[metric]["unit"]]

    assert violations(holds, [(row,) for row in ROWS]) == []


def test_a_row_says_how_its_epoch_was_chosen():
    def holds(row):
        assert row.selection in ("test_best by the released code", "unknown")
        assert row.split == ("train" if row.table == "6" else "test")
        assert row.protocol in ("probe", "finetune", "supervised", "matching")

    assert violations(holds, [(row,) for row in ROWS]) == []


@pytest.mark.parametrize("label", load().labels.values(), ids=lambda one: one.name)
def test_classes_are_those_of_the_dataset(label):
    grouping = GROUPINGS[label.name]
    assert label.reported == grouping.reported
    for split, size in SIZES.items():
        assert list(label.counts[split]) == list(grouping.classes)
        assert label.positives(split) + label.negatives(split) == size


def test_there_are_eight_labels_with_24_classes():
    assert list(load().labels) == ["BWV", "DaG", "PIG", "PN", "RS", "STR", "VS", "DIAG"]
    assert sum(len(label.counts["test"]) for label in load().labels.values()) == 24


def test_metrics_are_called_as_in_the_results_of_a_run():
    assert {"auc", "sens", "spec", "prec"} <= set(load().metrics) & set(METRICS)


def test_the_files_hold_nothing_that_is_not_read():
    known = {"recipe", "other_recipes", "protocol", "selection", "note", "same_as", "aliases"}
    for file in DATA.iterdir():
        if file.name.startswith("table_"):
            content = yaml.safe_load(file.read_bytes())
            for row, given in content["rows"].items():
                assert set(given) <= known | set(content["metrics"]), row
                for metric in set(given) & set(content["metrics"]):
                    if isinstance(given[metric], dict):
                        assert set(given[metric]) <= {"mean", *load().labels}


def test_the_tables_are_read_once():
    assert load() is load()

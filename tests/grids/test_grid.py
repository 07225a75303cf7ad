"""Grid files: what they may say, and the answer to what they may not."""

import dataclasses

import pytest
from tiny_grid import tiny, write

from sm3kit.core.errors import OptionError, VariantError
from sm3kit.grids import grid
from sm3kit.grids.rows import name_at, points
from sm3kit.published.tables import load as published


@pytest.mark.parametrize("name", grid.names())
def test_built_in_grids_are_grids(name):
    built_in = grid.load(name)
    assert built_in.title and built_in.rows
    assert grid.parse(name, built_in.source(), "again") == built_in


def test_the_built_in_grids():
    tables = [f"table{number}" for number in range(1, 7)]
    assert grid.names() == ["clusters", "fig5-mlssl", "fig5-mmssl", "missing", "quick", *tables]


@pytest.mark.parametrize("number", range(1, 7))
def test_rows_have_their_published_names(number):
    table = "1-4" if number < 5 else str(number)
    assert list(grid.load(f"table{number}").rows) == list(published().tables[table].rows)


@pytest.mark.parametrize(("number", "metric"), [(2, "sens"), (3, "spec"), (4, "prec")])
def test_tables_2_to_4_have_the_rows_of_table_1_with_another_metric(number, metric):
    first, other = grid.load("table1"), grid.load(f"table{number}")
    assert (first.metric, other.metric) == ("auc", metric)
    same = dataclasses.replace(other, name=first.name, title=first.title, metric="auc")
    assert same == first and other.title != first.title


def test_a_grid_may_be_like_a_built_in_one(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("like: table2\nseeds: 7\nrows: {Baseline-50-ImageNet: {}}\n", encoding="utf-8")
    own = grid.load(str(file))
    assert (own.name, own.metric, own.seeds) == ("own", "sens", (7,))
    assert (own.title, list(own.rows)) == ("Table 2, sensitivity", ["Baseline-50-ImageNet"])
    assert grid.parse("own", own.source(), "again") == own
    file.write_text("like: tabel2\n", encoding="utf-8")
    with pytest.raises(
        VariantError, match="No built-in grid named 'tabel2'. Did you mean 'table2'"
    ):
        grid.load(str(file))


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"row": {}}, "No key named 'row'. Did you mean 'rows'?"),
        ({"rows": {}}, "has no rows"),
        ({"rows": None}, "must be a table with rows"),
        ({"rows": {"one": 3}}, "one must be a table of settings, not 3"),
        ({"base": "quick"}, "base must be a table"),
        ({"protocols": ["prob"]}, "No protocol named 'prob'. Did you mean 'probe'?"),
        ({"protocols": ["probe", "probe"]}, "names the protocol probe twice"),
        ({"rows": {"one": {"protocols": "tune"}}, "baseline": ""}, "No protocol named 'tune'"),
        ({"seeds": [0, 0]}, "names the seed 0 twice"),
        ({"seeds": []}, "seeds must list at least one"),
        ({"seeds": [0.5]}, "option 'seeds' must be whole numbers from 0 to"),
        ({"seeds": [-1]}, "option 'seeds' must be whole numbers from 0 to"),
        ({"split": "tests"}, "No split named 'tests'. Did you mean 'test'?"),
        ({"select": "best"}, "No selection named 'best'"),
        ({"metric": "sense"}, "No metric of a table named 'sense'. Did you mean 'sens'?"),
        ({"baseline": "randon"}, "No row named 'randon'. Did you mean 'random'?"),
        ({"axes": {"mode": "grid", "values": {}}}, "No mode of axes named 'grid'"),
        ({"axes": {"values": ["lr"]}}, "the values of axes must be a table, such as"),
        ({"axes": {"values": {"lr": []}}}, "axis 'lr' has no values, so the product is empty"),
        ({"axes": {"values": {"lr": 0.1}}}, "axis 'lr' must be a list of values, not 0.1"),
        ({"axes": {"lr": [0.1]}}, "axes must have 'mode' and 'values'"),
    ],
)
def test_a_mistake_has_its_answer(changes, answer, tmp_path):
    file = write(tmp_path / "own.yaml", tiny(**changes))
    with pytest.raises((VariantError, OptionError)) as error:
        grid.load(file)
    assert answer in str(error.value)


def test_unknown_grids_and_files(tmp_path):
    with pytest.raises(VariantError, match="Did you mean 'table5'.*Or give a .yaml file"):
        grid.load("tabel5")
    with pytest.raises(
        VariantError, match="No grid file 'own.yaml'. Built-in grids: clusters, fig5-mlssl"
    ):
        grid.load("own.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("rows: [", encoding="utf-8")
    with pytest.raises(VariantError, match="is not valid YAML"):
        grid.load(str(broken))


def test_a_name_that_is_a_list_is_no_grid(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("rows: {[1]: {lr: 1}}\n", encoding="utf-8")
    with pytest.raises(VariantError, match="a name in line 1 is not a word or a number"):
        grid.load(str(file))


def test_two_rows_of_one_name_are_no_grid(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("rows:\n  a: {lr: 1}\n  a: {lr: 2}\n", encoding="utf-8")
    with pytest.raises(VariantError, match="'a' is there twice, the second time in line 3"):
        grid.load(str(file))


def test_the_command_line_says_something_else():
    own = grid.load("quick").with_changes(["synthetic:40"], [3], ["knn"])
    assert (own.data, own.seeds, own.protocols) == (("synthetic:40",), (3,), ("knn",))
    assert grid.load("quick").with_changes() == grid.load("quick")
    with pytest.raises(VariantError, match="command line: No protocol named 'nn'"):
        grid.load("quick").with_changes(protocols=["nn"])
    with pytest.raises(VariantError, match="command line names the seed 1 twice"):
        grid.load("quick").with_changes(seeds=[1, 1])


def test_a_product_has_every_combination():
    own = grid.parse("own", tiny(axes={"values": {"lr": [1, 2], "eps": [3, 4]}}), "own")
    assert list(points(own)) == [
        {"lr": 1, "eps": 3},
        {"lr": 1, "eps": 4},
        {"lr": 2, "eps": 3},
        {"lr": 2, "eps": 4},
    ]


def test_one_at_a_time_varies_each_axis_alone():
    axes = {"mode": "one-at-a-time", "values": {"lr": [1, 2], "eps": [3]}}
    own = grid.parse("own", tiny(axes=axes), "own")
    assert list(points(own)) == [{}, {"lr": 1}, {"lr": 2}, {"eps": 3}]


def test_names_of_points():
    assert name_at("tel", {}, alone=True) == "tel"
    assert name_at("tel", {"lr": 1e-3}, alone=True) == "lr=0.001"
    assert name_at("tel", {"lr": 1e-3, "fusion": "sum"}, alone=False) == "tel lr=0.001, fusion=sum"


@pytest.mark.parametrize(
    ("changes", "runs"),
    [
        ({"axes": {"values": {"lr": [1e-3] * 100, "eps": [1e-8] * 34}}}, 10_200),
        ({"axes": {"mode": "one-at-a-time", "values": {"lr": [1e-3] * 10_000}}}, 30_003),
        ({"seeds": list(range(3334))}, 10_002),
        ({"axes": {"values": {f"a{n}": [1, 2] for n in range(45)}}}, 3 * 2**45),
    ],
)
def test_a_grid_without_end_is_refused_before_it_is_built(changes, runs, tmp_path):
    file = write(tmp_path / "own.yaml", tiny(**changes))
    with pytest.raises(VariantError, match=f" makes {runs:,} runs .* and 10,000 are allowed"):
        grid.load(file)


def test_a_grid_of_countless_runs():
    """More digits than Python turns into text."""
    axes = {"values": {f"a{n}": [1] * 10 for n in range(5000)}}
    answer = "own makes countless runs of 3 rows, their axes and 1 seed"
    with pytest.raises(VariantError, match=answer):
        grid.parse("own", tiny(axes=axes), "own")


def test_as_many_runs_as_are_allowed(tmp_path):
    axes = {"values": {"lr": [1e-3] * 100, "eps": [1e-8] * 33}}
    assert grid.load(write(tmp_path / "own.yaml", tiny(axes=axes))).runs == 9_900


@pytest.mark.parametrize("recipe", [5, {"a": 1}, [1], [["sm3"]]])
@pytest.mark.parametrize("where", ["base", "rows"])
def test_a_recipe_of_a_row_is_a_name(where, recipe, tmp_path):
    changes = (
        {"base": {"recipe": recipe}} if where == "base" else {"rows": {"a": {"recipe": recipe}}}
    )
    file = write(tmp_path / "own.yaml", tiny(baseline="", **changes))
    with pytest.raises(VariantError, match="must be a name, or a list of names, not"):
        grid.load(file)


def test_a_long_value_is_not_repeated_whole(tmp_path):
    file = write(tmp_path / "own.yaml", tiny(axes=["x" * 20_000]))
    with pytest.raises(VariantError) as caught:
        grid.load(file)
    assert len(str(caught.value)) < 500

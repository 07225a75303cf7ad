"""Options and recipes of all rows, and the words before the first section."""

import re

import pytest
from differences_page import (
    BOTH,
    IN_RECIPES,
    PROSE,
    ROWS,
    STAGE_1,
    STAGE_2,
    commands,
    named_recipes,
    ours,
    sentence,
)
from row_settings import EVERY, IN_CELLS, WITH_OPTIONS, as_typed, number_of, recipe, values

from sm3kit.evaluation.settings import settings_of
from sm3kit.runs import recipes


@pytest.mark.parametrize("key", WITH_OPTIONS, ids=" - ".join)
def test_recipes_have_the_options_of_a_row_where_it_says_so_and_nowhere_else(key):
    section, what = key
    text = " ".join(ROWS[key].values())
    named = named_recipes(text)
    assert set(named) <= set(recipes.names())
    for words in commands(text):
        settings = as_typed(section, words)
        assert settings, f"{words} sets nothing"
        for setting, value in settings.items():
            for base in ("", "sm3", "release", "paper"):
                found = values(setting, base, what)
                if base in named:
                    assert found == [value] * len(found), f"{setting} in {base}"
                else:
                    assert value not in found, f"{setting} in {base or 'the default'}"


def test_no_mention_of_a_recipe_in_a_table_is_overlooked():
    for (section, what), cells in ROWS.items():
        text = " ".join(cells.values())
        if named_recipes(text):
            assert (section, what) in WITH_OPTIONS
        if (section, what) not in ((STAGE_2, "Views"), (BOTH, "Learning rate")):
            rest = IN_RECIPES.sub("", text)
            assert not re.search(r"`(?:quick|sm3|release|paper)`", rest)


@pytest.mark.parametrize("section", PROSE)
def test_every_option_of_the_text_is_one_of_the_command_line(section):
    for words in commands(PROSE[section]):
        assert as_typed(section, words)


@pytest.mark.parametrize(
    ("key", "column", "base", "setting"),
    IN_CELLS,
    ids=[f"{key[0]} - {key[1]} - {column}" for key, column, _, _ in IN_CELLS],
)
def test_a_number_in_a_cell_is_that_of_the_recipe(key, column, base, setting):
    wanted = number_of(ROWS[key][column], setting)
    found = values(setting, base, key[1])
    assert found == [wanted] * len(found)


def test_numbers_of_cells_are_found():
    """Where the page were read in another way, nothing would be compared."""
    assert len(IN_CELLS) >= 20
    assert len({key for key, _, _, _ in IN_CELLS}) >= 10


@sentence(
    "",
    "the default follows the code, unless a row says otherwise",
    "the recipe `release` follows the code more closely",
)
def test_the_default_follows_the_code_in_both_stages():
    for key, column, _, setting in IN_CELLS:
        if key[0] in (STAGE_1, STAGE_2) and column == "released code":
            code, default = (number_of(ROWS[key][one], setting) for one in (column, "default"))
            assert default == code
    nearer = [
        key for key in WITH_OPTIONS if "release" in named_recipes(" ".join(ROWS[key].values()))
    ]
    assert nearer
    assert "like the code" not in [ours(ROWS[key]) for key in nearer]


@sentence("", "No recipe does everything exactly as the code does; the tables list what differs")
def test_some_differences_are_in_no_recipe():
    rows = [cells for cells in ROWS.values() if cells.get("how to change it") == "not offered"]
    assert len([cells for cells in rows if ours(cells) != "like the code"]) > 1


@sentence("", "[chooses it on the test split](#evaluation), and no recipe does")
@pytest.mark.parametrize("name", recipes.names())
def test_no_recipe_chooses_an_epoch_by_the_test_split(name):
    variant = recipe(name)
    for protocol, after in EVERY:
        assert settings_of(variant, protocol, {}, relation=after).select == "val_best"

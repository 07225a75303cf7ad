"""Rows as vectors: one by hand, views, and every answer to a wrong path or table."""

import numpy as np
import pytest

from sm3kit.api import DataError, OptionError
from sm3kit.testing import check_modality
from sm3kit_tabular.metadata import Metadata
from sm3kit_tabular.rows import named_row

CATEGORIES = ("sex:female|male", "site:arm|leg|trunk")
NUMBERS = ("age:50:20",)
TABLE = """\
id;Sex;site;age
1;male;leg;60
2;;lip;
a#3%=;female;trunk;40.0
four;unknown;arm;old
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "a table.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


@pytest.fixture
def metadata():
    return Metadata(categories=CATEGORIES, numbers=NUMBERS)


def vector(metadata, table, key):
    return metadata.read(named_row(table, "id", key)).ravel().tolist()


def test_laws(tmp_path, table):
    check_modality(Metadata, Metadata.example(tmp_path))
    path = named_row(table, "id", "1")
    check_modality(Metadata, path, categories=CATEGORIES, numbers=NUMBERS)
    check_modality(Metadata, path, categories=CATEGORIES, numbers=(), views=3)


def test_vectors_by_hand(metadata, table):
    assert metadata.shape == (7, 1, 1)
    assert vector(metadata, table, "1") == [0, 1, 0, 1, 0, 0.5, 1]
    # Blank, a word that is not listed, and an unknown number are zeros.
    assert vector(metadata, table, "2") == [0] * 7
    # What a path cannot hold is quoted; 40.0 is a number.
    assert vector(metadata, table, "a#3%=") == [1, 0, 0, 0, 1, -0.5, 1]
    image = metadata.read(named_row(table, "id", "1"))
    assert image.dtype == np.float32
    assert metadata.eval_view(image) is not image
    assert (metadata.eval_view(image) == image).all()


def test_a_category_that_is_a_number_may_have_a_decimal_point(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,tone\n1,3.0\n2,30\n", encoding="utf-8")
    metadata = Metadata(categories=("tone:3|30",), numbers=())
    assert vector(metadata, path, "1") == [1, 0]
    assert vector(metadata, path, "2") == [0, 1]


def test_an_edited_table_is_read_again(metadata, table):
    assert vector(metadata, table, "1")[0] == 0
    table.write_text(TABLE.replace("1;male", "1;female"), encoding="utf-8")
    assert vector(metadata, table, "1")[0] == 1


def test_whole_columns_are_left_out_at_the_stated_rate(table):
    draws = 4000
    metadata = Metadata(categories=CATEGORIES, numbers=NUMBERS, dropout=0.3, noise=0.0, views=draws)
    image = metadata.read(named_row(table, "id", "1"))
    views = np.stack(metadata.views(image, np.random.default_rng(0)))[:, :, 0, 0]
    sex, site, age = views[:, :2], views[:, 2:5], views[:, 5:]
    left_out = np.stack([~one.any(1) for one in (sex, site, age)])
    # Four standard errors of a share of 4000 draws are 0.029.
    assert left_out.mean(1) == pytest.approx([0.3] * 3, abs=0.029)
    # Columns are left out independently of each other ...
    both = (left_out[0] & left_out[1]).mean()
    assert both == pytest.approx(0.09, abs=0.018)
    # ... and wholly: what is left is the column as it was.
    for column, kept, whole in zip(
        (sex, site, age), ~left_out, ([0, 1], [0, 1, 0], [0.5, 1]), strict=True
    ):
        assert (column[kept] == whole).all()


def test_noise_shakes_known_numbers_alone(table):
    metadata = Metadata(categories=CATEGORIES, numbers=NUMBERS, dropout=0.0, noise=0.2, views=4000)
    rng = np.random.default_rng(0)
    image = metadata.read(named_row(table, "id", "1"))
    views = np.stack(metadata.views(image, rng))[:, :, 0, 0]
    assert (np.delete(views, 5, axis=1) == [0, 1, 0, 1, 0, 1]).all()
    assert views[:, 5].mean() == pytest.approx(0.5, abs=0.013)
    assert views[:, 5].std() == pytest.approx(0.2, abs=0.01)
    unknown = metadata.read(named_row(table, "id", "2"))
    assert not np.any(metadata.views(unknown, rng))


def test_reading_tells_the_columns_and_not_the_views():
    same = Metadata(categories=CATEGORIES, numbers=NUMBERS, dropout=0.5, views=4)
    other = Metadata(categories=CATEGORIES, numbers=("age:51:20",))
    one = Metadata(categories=CATEGORIES, numbers=NUMBERS)
    assert one.reading == same.reading
    assert one.reading != other.reading
    assert one.backbone == "mlp/64"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("{table}", r"is a table. Name a row of it: .*a table.csv#COLUMN=VALUE, as #id=7\."),
        ("{table}#7", "Name a row of it"),
        ("{table}#id=9", r"has no row with '9' in the column 'id'. It has 4 rows, the first .*'1'"),
        ("{table}#name=1", "has no column 'name'. "),
        (
            "{table}#id=four",
            r"row 5, column 'age': 'old' is not a number. Correct it, or leave it blank",
        ),
        (
            "{folder}/none.csv#id=1",
            "There is no CSV file .*none.csv. It should hold a row per study",
        ),
        ("{folder}#id=1", "is a folder, not a CSV file"),
    ],
)
def test_a_wrong_path_is_told(metadata, table, path, said):
    with pytest.raises(DataError, match=said):
        metadata.read(path.format(table=table, folder=table.parent))


def test_a_row_twice_and_a_column_less_are_told(metadata, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,sex,site,age\n1,male,,\n1,female,,\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"row 3, column 'id': '1' is also in row 2, with"):
        vector(metadata, path, "1")
    path.write_text("id,sex,sites,age\n1,male,,\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no column 'site'. Did you mean 'sites'?"):
        vector(metadata, path, "1")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"categories": ("sex",)}, "'categories' must be COLUMN:VALUE|VALUE with different values"),
        ({"categories": ("sex:a|a",)}, "not 'sex:a|a'"),
        ({"categories": (":a|b",)}, "not ':a|b'"),
        ({"numbers": ("age",)}, "'numbers' must be COLUMN:MEAN:DEVIATION with a deviation above 0"),
        ({"numbers": ("age:50:0",)}, "not 'age:50:0'"),
        ({"numbers": ("age:x:1",)}, "not 'age:x:1'"),
        ({"numbers": ("age:1:2:3",)}, "not 'age:1:2:3'"),
        (
            {"categories": ("age:1|2",)},
            "categories and numbers need at least one column, each named once",
        ),
        ({"categories": (), "numbers": ()}, "need at least one column"),
    ],
)
def test_a_wrong_option_is_told(options, said):
    with pytest.raises(OptionError) as told:
        Metadata(**options)
    assert said in str(told.value)

"""A table in the formats that Python gives: text, DataFrame, HTML, Markdown, LaTeX."""

import math
import sys

import pytest
from fabricated import grid, labelled, matched

from sm3kit.core.errors import SM3Error, UnknownName
from sm3kit.results.grid_table import tabulate
from sm3kit.results.measurement import RowResults


@pytest.fixture
def table(tmp_path):
    rows = [
        labelled(tmp_path, "byol", [24, 18, 12]),
        labelled(tmp_path, "a <b>", [12, 18, 24]),
        RowResults("te", failed={0: "no memory"}),
    ]
    return tabulate(grid(tmp_path, rows, baseline="byol"), 50)


def test_a_data_frame_has_a_row_for_each_line(table):
    frame = table.to_dataframe()
    assert list(frame["row"]) == ["byol", "a <b>", "te"]
    assert list(frame["seeds"]) == ["3/3", "3/3", "0/3"]
    assert frame["AUC"][0] == pytest.approx(75)
    assert frame["AUC sd"][0] == pytest.approx(25)
    assert frame["AUC low"][0] <= 75 <= frame["AUC high"][0]
    assert math.isnan(frame["AUC"][2])
    assert frame["difference to byol"][1] == pytest.approx(0)
    assert math.isnan(frame["difference to byol"][0])
    assert frame["sensitivity"].dtype == float
    with pytest.raises(UnknownName, match=r"No protocol in this table named 'knn'. Known: probe"):
        table.to_dataframe("knn")


def test_columns_of_plain_numbers_are_numbers():
    results = grid(None, [matched("a", [2.0]), RowResults("b")], protocols=("match",), seeds=(0,))
    frame = tabulate(results).to_dataframe()
    assert list(frame["direction"]) == ["derm → clinic"] * 2 + ["clinic → derm"] * 2
    assert list(frame["mean rank"].dropna()) == [2.0, 3.0]
    assert list(frame["chance"].dropna()) == [5.5, 5.5]


def test_without_pandas_there_is_a_hint(table, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SM3Error, match=r"not installed: pip install 'sm3kit\[pandas\]'"):
        table.to_dataframe()


def test_a_notebook_shows_html_without_a_script_and_with_names_as_text(table):
    html = table._repr_html_()
    assert html == table.to_html()
    assert "a &lt;b&gt;" in html
    assert "<script" not in html
    assert "<button" not in html
    assert html.count("<table>") == len(table.sections)


def test_text_is_aligned(table):
    title, head, *rows = str(table).splitlines()[:5]
    assert title == table.sections[0].title
    assert head.startswith("row ")
    end = head.index("95 % interval")
    intervals = [row[end:].split("  ")[0] for row in rows[:2]]
    assert all(" to " in interval for interval in intervals)


def test_other_formats_are_those_of_the_writers(table):
    assert r"\toprule" in table.to_latex()
    assert "| byol |" in table.to_markdown()

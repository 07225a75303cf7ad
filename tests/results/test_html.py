"""The page: whole, alone, and safe with any name."""

import re
from html.parser import HTMLParser

import pytest
from fabricated import grid, labelled, matched

from sm3kit.results.curves import charts
from sm3kit.results.grid_table import tabulate
from sm3kit.results.html import page
from sm3kit.results.measurement import RowResults

VOID = {"meta", "br", "link", "img", "input", "hr"}
NAME = "<script>alert(\"x\")</script> & 'co'"


class Reader(HTMLParser):
    """Checks that every tag is closed in order, and keeps cells and attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.rows, self.attributes, self.texts = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


@pytest.fixture
def text(tmp_path):
    rows = [
        labelled(tmp_path, NAME, [24, 18], recipes=("swav",)),
        labelled(tmp_path, "lr=1", [12, 18], axes={"lr": 1}),
        labelled(tmp_path, "lr=2", [12, 12], axes={"lr": 2}),
        RowResults("te", ("te",), failed={0: "<b>no</b> memory"}),
    ]
    results = grid(tmp_path, rows, seeds=(0, 1), baseline="lr=1", axes={"lr": [1, 2]}, title=NAME)
    table = tabulate(results, 20)
    return page(table, [picture.render() for picture in charts(table).values()])


@pytest.fixture
def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader


def test_it_is_well_formed_and_needs_no_network(text, read):
    assert read.open == []
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub('base64,[^"]+', "", text))
    sources = [attrs["src"] for _, attrs in read.attributes if "src" in attrs]
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert not [tag for tag, attrs in read.attributes if "href" in attrs]
    assert len(text.encode()) < 1_000_000


def test_names_are_text_and_nothing_else(text, read):
    assert [tag for tag, _ in read.attributes].count("script") == 1
    assert NAME in "".join(read.texts)
    assert "<b>no</b>" not in text
    assert any(attrs.get("data-value") == NAME for _, attrs in read.attributes)


def test_every_line_has_a_cell_for_every_head(read):
    """Also a row without a result, so that a click sorts by the right column."""
    width = None
    for row in read.rows:
        if row[0].startswith("row"):
            width = len(row)
        if row[0]:  # The row of shared heads has none.
            assert len(row) == width


def test_heads_are_buttons_in_heads_of_columns(text, read):
    buttons = [attrs for tag, attrs in read.attributes if tag == "button"]
    heads = [attrs for tag, attrs in read.attributes if attrs.get("scope") == "col"]
    assert len(buttons) == len(heads) > 8
    assert {head["data-first"] for head in heads} == {"ascending", "descending"}
    assert "aria-sort" in text


def test_the_caption_tells_the_basis(read):
    captions = "".join(read.texts)
    assert captions.count("select val_best, split test, 2 seeds (0, 1), data derm7pt; 20 st") == 2


def test_best_failed_and_published_are_shown(text, tmp_path):
    assert re.search(r"87\.5 ± 17\.7<small>.* to .*</small>", text)
    assert "failed: &lt;b&gt;no&lt;/b&gt; memory" in text
    assert "76.9 (row mean 78.0)†" in text
    certain = [labelled(tmp_path, name, [right]) for name, right in (("a", 24), ("b", 6))]
    table = tabulate(grid(tmp_path, certain, baseline="b"), 50)
    assert re.search(r"<strong>100\.0</strong><small>.* to .*</small>", page(table))


def test_numbers_of_something_else_are_grey(tmp_path):
    rows = [labelled(tmp_path, "tel", [24], recipes=("tel",))]
    text = page(tabulate(grid(tmp_path, rows, data=("synthetic:9",)), 0))
    assert '<td class="other" data-value="80.4">[80.4]</td>' in text
    assert "[paper 90.37]" in text


def test_ranks_sort_from_the_lowest(tmp_path):
    rows = [matched("a", [2.0]), matched("b", [3.0])]
    text = page(tabulate(grid(tmp_path, rows, protocols=("match",), seeds=(0,))))
    assert 'data-first="ascending"><button type="button">mean rank<' in text


def test_curves_are_inside_and_in_words(text, read):
    (image,) = [attrs for tag, attrs in read.attributes if tag == "img"]
    assert image["alt"] == "1: 62.5; 2: 50.0"
    assert text.count("<figure") == 1


def test_dark_and_print_are_thought_of(text):
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text

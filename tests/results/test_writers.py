"""The files that are made of a table."""

import csv
import io
import re
from pathlib import Path

import pytest
from fabricated import grid, labelled, matched

from sm3kit.results.grid_table import tabulate
from sm3kit.results.latex import escape as tex
from sm3kit.results.latex import latex
from sm3kit.results.markdown import escape as md
from sm3kit.results.markdown import markdown
from sm3kit.results.measurement import RowResults
from sm3kit.results.tidy import tidy
from sm3kit.results.writers import write_all

NAME = "a|b_*c* <i>&$ 50%"


@pytest.fixture
def results(tmp_path):
    rows = [
        labelled(tmp_path, NAME, [24, 18, 12], recipes=("swav",)),
        labelled(tmp_path, "byol", [12, 18, None], recipes=("byol",), failed={2: "no <memory>"}),
        RowResults("te", ("te",)),
    ]
    return grid(tmp_path, rows, baseline="byol", title="50 % of_it")


@pytest.fixture
def table(results):
    return tabulate(results, 50)


def read(table):
    return list(csv.DictReader(io.StringIO(tidy(table))))


def test_the_csv_parses_back(table):
    lines = read(table)
    (auc,) = [x for x in lines if (x["row"], x["metric"], x["label"]) == (NAME, "auc", "mean")]
    assert float(auc["mean"]) == pytest.approx(75)
    assert float(auc["spread"]) == pytest.approx(25)
    assert float(auc["low"]) <= 75 <= float(auc["high"])
    kept = ("n_seeds", "published", "published_mark", "selection", "split", "support", "unit")
    assert [auc[name] for name in kept] == [
        "3", "76.900000", "76.9 (row mean 78.0)", "val_best", "test", "20 studies", "percent"
    ]  # fmt: skip
    (one,) = [x for x in lines if (x["row"], x["metric"], x["label"]) == ("byol", "auc", "RS")]
    assert (one["support"], one["n_seeds"], one["seeds_wanted"]) == ("8/20", "2", "3")
    assert (one["leaky"], one["seen"], one["replaced"]) == ("no", "0", "0")
    (more,) = [x for x in lines if x["metric"] == "difference"]
    assert (more["row"], more["baseline"], more["unit"]) == (NAME, "byol", "points")
    (waiting,) = [x for x in lines if x["row"] == "te"]
    assert (waiting["reason"], waiting["mean"]) == ("not yet done", "")
    # Five means and two labels; the baseline has no difference to itself.
    assert len(lines) == (5 + 2) + (4 + 2) + 1


def test_every_line_of_the_csv_has_its_basis(table):
    for line in read(table):
        assert all(line[name] for name in ("selection", "split", "support", "n_seeds"))


def test_the_csv_of_a_matching_names_space_and_direction():
    rows = [matched("a", [2.0])]
    lines = read(tabulate(grid(Path(), rows, protocols=("match",), seeds=(0,))))
    assert {(x["space"], x["label"]) for x in lines} == {
        ("backbone", "derm->clinic"),
        ("backbone", "clinic->derm"),
    }
    assert lines[0]["unit"] == "rank"


@pytest.mark.parametrize("form", [tidy, markdown, latex])
def test_no_form_goes_without_the_basis(table, form):
    text = form(table).replace("\\_", "_")
    for part in ("val_best", "test", "3", "8/20"):
        assert part in text
    assert "/data/of" not in text


def test_markdown_has_as_many_cells_in_each_line(table):
    text = markdown(table)
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.M)
    assert len(blocks) == 2
    for block in blocks:
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(counts) == 1
    assert "**75.0 ± 25.0** (" in text
    assert "| not yet done |" in text
    assert "select val_best, split test, 3 seeds (0, 1, 2), data derm7pt" in text


def test_names_do_no_harm(table):
    assert md(NAME) == r"a\|b\_\*c\* &lt;i>&amp;\$ 50%"
    assert md("sep_shared _x_") == r"sep_shared \_x\_"
    assert tex("a_b & 50% {x}\\^~#$") == (
        r"a\_b \& 50\% \{x\}\textbackslash{}\textasciicircum{}\textasciitilde{}\#\$"
    )
    text = latex(table)
    assert tex(NAME) in text
    assert NAME not in text


def test_latex_has_as_many_cells_in_each_line(table):
    text = latex(table)
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == text.count(r"\caption{") == 2
    for columns, body in re.findall(
        r"\\begin\{tabular\}\{(l+r*)\}\n(.*?)\\end\{tabular\}", text, re.S
    ):
        for line in body.splitlines():
            if line.endswith(r"\\"):
                spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
                assert len(re.findall(r"(?<!\\)&", line)) + spans == len(columns) - 1
    assert r"\textbf{75.0 $\pm$ 25.0}" in text
    assert r"\textit{not yet done}" in text
    assert "76.9 (row mean 78.0)$\\dagger$" in text
    assert "select val\\_best, split test, 3 seeds (0, 1, 2)" in text
    assert text.isascii()
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_all_files_are_written_and_the_same_again(results, tmp_path):
    first = write_all(tabulate(results, 50), tmp_path / "one")
    second = write_all(tabulate(results, 50), tmp_path / "two")
    assert [path.name for path in first] == ["table.csv", "table.md", "table.tex", "table.html"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert str(tmp_path) not in one.read_text("utf-8")


def test_curves_are_files_of_their_own(tmp_path):
    rows = [labelled(tmp_path, f"lr={lr}", [12], axes={"lr": lr}) for lr in (1, 2)]
    table = tabulate(grid(tmp_path, rows, axes={"lr": [1, 2]}), 20)
    assert write_all(table, tmp_path / "out")[-1].name == "curve-lr.svg"

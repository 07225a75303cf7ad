"""The files that are made of a table."""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fabricated import grid, labelled, matched
from pylatexenc.latexwalker import LatexEnvironmentNode, LatexWalker

from sm3kit.results.formats.latex import escape as tex
from sm3kit.results.formats.latex import latex
from sm3kit.results.formats.markdown import escape as md
from sm3kit.results.formats.markdown import markdown
from sm3kit.results.formats.tidy import tidy
from sm3kit.results.grid_table import tabulate
from sm3kit.results.measurement import RowResults
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
    assert "| 75.0 ± 25.0 (" in text
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


def tabulars(text):
    """The columns of each tabular, and its rows."""
    for columns, body in re.findall(
        r"\\begin\{tabular\}\{(l+r*)\}\n(.*?)\\end\{tabular\}", text, re.S
    ):
        yield columns, [line for line in body.splitlines() if line.endswith(r"\\")]


def test_latex_has_as_many_cells_in_each_line(table):
    text = latex(table)
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == len(list(tabulars(text)))
    assert text.count(r"\caption{") == len(table.sections)
    for columns, rows in tabulars(text):
        for row in rows:
            row = re.sub(r"\\shortstack\[r\]\{.*?\}", "", row)
            spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", row))
            assert len(re.findall(r"(?<!\\)&", row)) + spans == len(columns) - 1
    assert r"75.0 $\pm$ 25.0" in text
    assert r"\textit{not yet done}" in text
    assert "& 76.9$\\dagger$" in text
    assert "76.9 (row mean 78.0)" in text.split("minipage")[1]
    assert "select val\\_best, split test, 3 seeds (0, 1, 2)" in text
    assert text.isascii()


def test_latex_parses(table):
    """By a parser that takes no unbalanced brace, environment or formula."""
    walker = LatexWalker(latex(table), tolerant_parsing=False)
    nodes = walker.get_latex_nodes()[0]
    kinds = [node.environmentname for node in nodes if node.isNodeType(LatexEnvironmentNode)]
    assert len(kinds) == len(table.sections)
    assert set(kinds) <= {"table", "table*"}


def test_latex_has_a_short_caption_and_notes_below(table):
    for part in latex(table).split(r"\begin{table")[1:]:
        (caption,) = re.findall(r"\\caption\{(.*)\}", part)
        assert len(caption) < 80
        assert part.index(r"\bottomrule") < part.index("standard deviation over seeds")
    assert r"\cmidrule(lr){2-" in latex(table) or r"\cmidrule(lr){3-" in latex(table)


def test_latex_fits_a_column_or_says_that_it_is_wide(tmp_path):
    rows = [matched("sep_sep", [2.0]), matched("simclr", [3.0])]
    small = latex(tabulate(grid(Path(), rows, protocols=("match",), seeds=(0,))))
    assert r"\begin{table}[t]" in small
    assert r"\textit{derm $\to$ clinic, chance 5.5, pairs 10}" in small
    names = [f"label {number}" for number in range(12)]
    many = [labelled(tmp_path, name, [24, 18, 12], labels=names) for name in ("a", "b")]
    wide = latex(tabulate(grid(tmp_path, many), 20))
    panels = [rows for _, rows in tabulars(wide.split("tab:probe-auc-of-each-label")[1])]
    assert len(panels) > 1
    heads = [head for rows in panels for head in rows[1].removesuffix(r" \\").split(" & ")[1:]]
    assert heads == names


def test_latex_compiles(table, tmp_path):
    engine = shutil.which("pdflatex") or shutil.which("tectonic")
    if not engine:
        pytest.skip("there is no TeX")
    document = rf"\documentclass[twocolumn]{{article}}\usepackage{{booktabs}}\begin{{document}}{latex(table)}\end{{document}}"
    (tmp_path / "paper.tex").write_text(document, "utf-8")
    subprocess.run([engine, "paper.tex"], cwd=tmp_path, check=True, stdin=subprocess.DEVNULL)
    assert (tmp_path / "paper.pdf").stat().st_size > 1000


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

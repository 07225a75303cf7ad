"""Output on narrow terminals is whole: folded between words, no number cut; and without colour."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import termios
from pathlib import Path

import fabricated
import pytest
import warm_processes
from click.testing import CliRunner

from sm3kit.cli.main import cli
from sm3kit.cli.tables import show_section, show_table
from sm3kit.core.text import fold_lines
from sm3kit.data.progress import open_console
from sm3kit.results.grid_table import tabulate
from sm3kit.results.section import Cell, Column, Line, Section

SMALL = [
    "--data",
    "synthetic:40",
    "--backbone",
    "timm/test_resnet",
    "--image-size",
    "32",
    "--workers",
    "0",
]
QUICK = [*SMALL, "--epochs", "1", "--mlssl-epochs", "1"]


def slow(*words):
    """A command that takes more than a few seconds, among the parameters of a test."""
    return pytest.param([*words], marks=pytest.mark.slow)


def on_terminal(columns, *words, folder, **environment):
    """What a command shows on a terminal of so many columns, in bytes."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        patch.setenv("TERM", "xterm")
        started = warm_processes.start(
            *words, cwd=folder, environment=environment, terminal=os.ttyname(follower)
        )
    shown, working = b"", True
    while select.select([leader], [], [], 0.05)[0] or working:
        working = started.process.is_alive()
        if select.select([leader], [], [], 0)[0]:
            shown += os.read(leader, 2**16)
    os.close(follower)
    os.close(leader)
    assert started.process.exitcode in (0, 1), shown
    return shown


def lines(shown):
    """The lines that stay: bars and spinners draw over themselves."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode().replace("\r\n", "\n"))
    return [line.rpartition("\r")[2] for line in text.splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose folder has a short name; gives the folder around it."""
    folder = tmp_path_factory.mktemp("width")
    before = Path.cwd()
    os.chdir(folder)
    try:
        result = CliRunner().invoke(cli, ["pretrain", *QUICK, "--out", "run"])
    finally:
        os.chdir(before)
    assert result.exit_code == 0, result.output
    return folder


def check_whole(shown, columns):
    """Nothing is longer than the terminal, and nothing is cut."""
    assert any(shown)
    long = [line for line in shown if len(line) > columns and " " in line.strip()]
    # A command to copy stays whole: the terminal breaks it, and it is one line.
    assert not [line for line in long if not re.match(r" {9}\S", line)]
    assert not [line for line in shown if "…" in line]


@pytest.mark.parametrize(
    "words",
    [
        slow("evaluate", "run", "--protocol", "match"),
        slow("evaluate", "run", "run", "--compare", "--epochs", "1"),
        ["data", "check", "synthetic:40"],
        slow("pretrain", *QUICK, "--seed", "1"),
        slow("doctor"),
        ["cache"],
    ],
    ids=lambda words: " ".join(words[:4]),
)
def test_nothing_is_cut(request, tmp_path, words):
    folder = request.getfixturevalue("run") if "run" in words else tmp_path
    check_whole(lines(on_terminal(60, *words, folder=folder, NO_COLOR="1")), 60)


@pytest.mark.slow
def test_a_table_leaves_columns_out_and_says_so(run):
    words = ["evaluate", "run", "--epochs", "1"]
    narrow = lines(on_terminal(60, *words, folder=run))
    check_whole(narrow, 60)
    assert "no room  for prec, AUPRC, s@90 in 60 columns" in narrow
    head = next(line for line in narrow if line.startswith("label"))
    assert head.split() == ["label", "AUC", "95", "%", "interval", "sens", "spec", "n+"]
    wide = lines(on_terminal(80, *words, folder=run))
    check_whole(wide, 80)
    assert not [line for line in wide if line.startswith("no room")]


@pytest.mark.slow
def test_no_colour_where_none_is_wanted(run):
    words = ["data", "check", "synthetic:40"]  # It has a warning.
    colours = rb"\x1b\[[0-9;]*3[0-7]m"
    assert re.search(colours, on_terminal(80, *words, folder=run))
    assert not re.search(colours, on_terminal(80, *words, folder=run, NO_COLOR="1"))


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_tables_of_grids_are_whole(tmp_path, capsys, columns):
    rows = [
        fabricated.labelled(tmp_path, name, (12, 14, 16), recipes=(name,))
        for name in ("sep_shared", "a row with quite a long name of its own")
    ]
    grid = fabricated.grid(tmp_path, rows, baseline="sep_shared")
    show_table(tabulate(grid), open_console(width=columns, force_terminal=True, no_color=True))
    shown = lines(capsys.readouterr().out.encode())
    assert not [line for line in shown if len(line) > columns or "…" in line]
    assert any(re.search(r"58\.3 ± 8\.3", line) for line in shown)
    assert any(line.startswith("no room") for line in shown) == (columns == 60)


def test_a_file_gets_all_columns(capsys):
    heads = [f"number {place}" for place in range(30)]
    columns = [Column("name", "text", narrow="name"), *(Column(one, narrow=one) for one in heads)]
    line = Line((Cell("x"), *(Cell("1234.5") for _ in heads)))
    show_section(Section("all", tuple(columns), (line,)), open_console(width=80))
    head, row = capsys.readouterr().out.splitlines()
    assert "number 29" in head
    assert row.count("1234.5") == 30


def test_lines_are_folded_between_words():
    assert fold_lines("note     one two three", 16) == "note     one two\n         three"
    path = "/a/very/long/path/to/something.safetensors"
    assert fold_lines(f"written  {path}", 20) == f"written\n         {path}"
    assert fold_lines("one\ntwo", 20) == "one\ntwo"


class TestQuiet:
    def test_pretrain(self, run):
        words = ["pretrain", *QUICK, "--out", str(run / "quiet"), "--quiet"]
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, result.output
        assert result.output == f"done     {run / 'quiet' / 'model.safetensors'}\n"

    def test_pretrain_as_json(self, run):
        words = ["pretrain", *QUICK, "--out", str(run / "json"), "--json"]
        result = CliRunner().invoke(cli, words)
        document = json.loads(result.stdout)
        assert document["run"] == str(run / "json")
        for name in document["files"]:
            assert (run / "json" / name).is_file()
        assert {"model.safetensors", "variant.yaml", "metrics.csv"} <= set(document["files"])
        spaces = {(one["split"], one["space"], one["direction"]) for one in document["matched"]}
        assert ("val", "projection", "derm->clinic") in spaces
        assert len(spaces) == 8
        assert "epoch 1/1" in result.stderr

    def test_evaluate(self, run):
        words = ["evaluate", str(run / "run"), "--epochs", "1", "--quiet"]
        rare, last = CliRunner().invoke(cli, words).output.splitlines()
        assert rare.startswith("warning  No interval for DIAG")
        assert last == f"written  {run / 'run' / 'eval' / 'probe-test.json'}"
        lines = CliRunner().invoke(cli, [*words, "--select", "test_best"]).output.splitlines()
        assert [line.partition("  ")[0] for line in lines] == ["warning", "warning", "written"]
        assert lines[1].startswith("warning  LEAKY")

    def test_a_comparison(self, run):
        words = ["evaluate", str(run / "run"), str(run / "run"), "--compare", "--epochs", "1"]
        rare, line = CliRunner().invoke(cli, [*words, "--quiet"]).output.splitlines()
        assert rare.startswith("warning  No interval for DIAG")
        assert line == "mean     +0.0 points of AUC, no interval"

    def test_data_check(self):
        output = CliRunner().invoke(cli, ["data", "check", "synthetic:40", "--quiet"]).output
        assert output.startswith("warning: Label PIG: no study of test")
        assert output.endswith("No problem found.\n")
        assert "studies\n" not in output

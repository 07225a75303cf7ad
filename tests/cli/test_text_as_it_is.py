"""Names with brackets and colons are shown as they are: never as markup, never as an emoji."""

import io
import json

import pytest
from click.testing import CliRunner

from sm3kit.cli.grid_progress import GrowingTable
from sm3kit.cli.main import cli
from sm3kit.cli.settings import say
from sm3kit.cli.tables import show_predictions, show_section
from sm3kit.data.progress import Reporter, open_console
from sm3kit.results.section import Cell, Column, Line, Section
from tests import fabricated

NAMES = ["[bold]x[/]", ":100:", "[/]", "[red]", "a:smile:b", r"\[x]", "[link=x]y[/link]"]


def terminal(**settings):
    """A console of a wide terminal, and what is shown on it."""
    shown = io.StringIO()
    settings = {"file": shown, "width": 200, "force_terminal": True, "no_color": True, **settings}
    return open_console(**settings), shown


@pytest.mark.parametrize("name", NAMES)
class TestShown:
    def test_in_lines(self, name):
        console, shown = terminal()
        say(console, f"run {name}: 5 studies")
        Reporter(console).say(f"data {name}: found")
        Reporter(console).warn(f"label {name}: rare")
        text = shown.getvalue()
        assert f"run {name}: 5 studies" in text
        assert f"data {name}: found" in text
        assert f"label {name}: rare" in text

    def test_in_bars(self, name):
        console, shown = terminal(force_interactive=True)
        with Reporter(console) as reporter:
            task = reporter.task(f"epoch {name}", total=2)
            reporter.advance(task, status=f"loss {name}")
            reporter.bar.refresh()
        assert f"epoch {name}" in shown.getvalue()
        assert f"loss {name}" in shown.getvalue()

    def test_in_tables(self, name):
        console, shown = terminal()
        columns = (Column(name, "text", narrow=name), Column(f"{name}!", narrow=f"{name}!"))
        line = Line((Cell(f"row {name}"), Cell(f"1 {name}")))
        show_section(Section("all", columns, (line,)), console)
        text = shown.getvalue()
        assert f"{name}!" in text
        assert f"1 {name}" in text
        assert text.count(name) == 4

    @pytest.mark.parametrize("studies", [1, 2])
    def test_in_predictions(self, name, studies):
        study = {
            "id": name,
            "images": {name: "a.jpg"},
            "missing": [],
            "probabilities": {name: {name: 0.9, "b": 0.1}},
            "decisions": {name: name},
        }
        record = {
            "classifiers": [],
            "notes": [f"note {name}"],
            "studies": [study] * studies,
            "labels": {name: {"classes": [name, "b"], "reported": None}},
            "unreadable": [{"id": name, "error": f"error {name}"}],
            "statement": f"statement {name}",
        }
        console, shown = terminal()
        show_predictions(record, console)
        text = shown.getvalue()
        for word in ("note", "error", "statement"):
            assert f"{word} {name}" in text
        assert text.count(name) >= 6

    def test_in_a_grid(self, name, tmp_path):
        rows = [fabricated.labelled(tmp_path, f"row {name}", (12, 14, 16))]
        console, shown = terminal()

        class Standing:
            tasks, left, replicates = (), (), ()

            def seconds_left(self, jobs):
                return None

            def rows(self):
                return [
                    type(
                        "Row",
                        (),
                        {"name": rows[0].name, "auc": {}, "seeds": (1, 1), "failed": f"no {name}"},
                    )
                ]

        run = type("Run", (), {"standing": lambda self: Standing()})()
        console.print(GrowingTable(run, 1))
        assert f"row {name}" in shown.getvalue()
        assert f"failed: no {name}" in shown.getvalue()

    def test_in_errors(self, name):
        result = CliRunner().invoke(cli, ["pretrain", "--recipe", name])
        assert result.exit_code == 1
        assert f"named {name!r}" in result.stderr


def test_a_synthetic_data_set_is_no_emoji():
    result = CliRunner().invoke(cli, ["data", "check", "synthetic:100", "--quick"])
    assert result.exit_code == 0, result.output
    assert "synthetic:100: 100 studies" in result.output
    assert json.dumps(result.output).isascii()

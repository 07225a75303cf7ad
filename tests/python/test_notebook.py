"""A notebook runs as it stands, shows tables, and is told how far things are in few lines."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from sm3kit.data.notebook import NotebookBar, in_notebook
from sm3kit.data.progress import Reporter, open_console

EXAMPLE = Path(__file__).parents[2] / "examples" / "first_steps.ipynb"


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(EXAMPLE, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    assert "import sm3kit" in cells[0].source
    assert not any("import " in cell.source for cell in cells[1:])


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """{source of a cell: its outputs} after all cells ran in a fresh kernel."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(EXAMPLE, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SM3KIT_CACHE", str(folder / "cache"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        client = NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}
        )
        client.execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return {cell.source: cell.outputs for cell in cells}


def data_of(outputs: list[Any]) -> dict[str, str]:
    """What the last line of a cell shows, by the kind of content."""
    (shown,) = [output for output in outputs if output.output_type == "execute_result"]
    return dict(shown.data)


@pytest.mark.slow
def test_the_example_runs_and_shows_tables(outputs: dict[str, list[Any]]) -> None:
    by_start = {source.partition("\n")[0].partition(" ")[0]: out for source, out in outputs.items()}
    assert "<table" in data_of(by_start["result"])["text/html"]
    assert "<table" in data_of(by_start["cases"])["text/html"]
    assert "DIAG" in data_of(by_start["result.table().to_dataframe()"])["text/html"]
    assert data_of(by_start["run"])["text/plain"].startswith("sm3kit.open_run('runs")


@pytest.mark.slow
def test_progress_is_one_line_that_moves_and_a_line_per_epoch(
    outputs: dict[str, list[Any]],
) -> None:
    (training,) = [out for source, out in outputs.items() if source.startswith("run = ")]
    said = "".join(output.text for output in training if output.output_type == "stream")
    assert "\x1b" not in said
    assert said.count("epoch ") == 10
    assert len(said.splitlines()) < 35
    assert not [output for output in training if output.get("name") == "stderr"], training
    bars = [output for output in training if output.output_type == "display_data"]
    assert [bar.data["text/plain"] for bar in bars] == [""], "one line, which is empty at the end"


class Handle:
    """Remembers what a notebook would show."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def update(self, content: dict[str, str], raw: bool) -> None:
        self.shown.append(content["text/plain"])


def test_a_bar_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sm3kit.data.notebook.SHORTEST", 0.0)
    bar = NotebookBar(open_console())
    bar._handle = handle = Handle()
    bar.start()
    number = bar.add_task("training <b>", total=4, status="")
    bar.update(number, advance=1, description="epoch 1/2", status="loss 2.0")
    bar.remove_task(number)
    assert handle.shown == ["training <b>  0/4", "epoch 1/2  1/4  loss 2.0", ""]


def test_a_script_is_no_notebook() -> None:
    assert not in_notebook()
    reporter = Reporter(open_console(file=io.StringIO()))
    with reporter:
        assert reporter.bar is None


def test_ipython_in_a_terminal_is_no_notebook() -> None:
    code = "from sm3kit.data.notebook import in_notebook; print(in_notebook())"
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", code],
        capture_output=True, text=True, check=True, env={**os.environ, "HOME": os.devnull},
    )  # fmt: skip
    assert done.stdout.strip() == "False"

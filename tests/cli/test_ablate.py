"""`sm3kit ablate` as people call it: plan, progress, tables, answers and exit codes."""

import json
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

from sm3kit.cli.grid_progress import GrowingTable
from sm3kit.cli.main import cli
from sm3kit.core.text import duration
from sm3kit.data.progress import open_console

SMALL = {
    "title": "Small",
    "data": "synthetic:40",
    "base": {
        "image_size": 32,
        "stage1": {"epochs": 1, "batch_size": 8, "monitor_every": 0},
        "machine": {"workers": 0},
        "options": {"synthetic": {"size": 32}},
        "evaluate": {"probe": {"epochs": 1, "feature_views": 1, "resamples": 10}},
    },
    "protocols": "probe",
    "rows": {
        "random": {"recipe": "random"},
        "broken": {"recipe": "sep_sep", "backbone": "timm/no_such_net"},
    },
}


def sm3kit(*words):
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="sm3kit")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablate")
    (folder / "own.yaml").write_text(yaml.safe_dump(SMALL, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def done(home):
    """A grid with a row that works and one that does not, by the real command."""
    result = sm3kit("ablate", "--grid", home / "own.yaml", "--out", home / "grid")
    return home / "grid", result


def test_a_dry_run_shows_the_plan(home):
    result = sm3kit("ablate", "--grid", home / "own.yaml", "--out", home / "dry", "--dry-run")
    assert result.exit_code == 0
    assert "cells    2: 2 rows" in result.output
    assert "stage 1  2 distinct for 2 cells, 0 done" in result.output
    assert "  to do  random, seed 0: stage 1" in result.output
    assert "left     4 stages; the time is known once one of each kind" in result.output
    assert not (home / "dry").exists()


def test_a_dry_run_as_json(home):
    words = ("--out", home / "dry", "--dry-run", "--json")
    result = sm3kit("ablate", "--grid", home / "own.yaml", *words)
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["left"]) == 4


def test_the_grid_may_be_named_by_nothing(tmp_path):
    words = ["--data", "synthetic:40", "--seeds", "0", "--dry-run", "--out", tmp_path / "grid"]
    result = sm3kit("ablate", "--grid", *words)
    assert result.exit_code == 0, result.output
    assert "cells    4: 4 rows" in result.output


def test_what_fails_is_told_and_the_rest_is_done(done):
    folder, result = done
    assert result.exit_code == 1
    assert "done     random, seed 0: probe, mean AUC" in result.output
    assert "failed   broken, seed 0: " in result.output
    assert "no_such_net" in result.output
    assert "Run again with --retry-failed." in result.output
    assert "Small: probe, mean of the labels" in result.output
    for name in ("table.csv", "table.md", "table.tex", "table.html"):
        assert (folder / name).is_file()


def test_the_folder_alone_goes_on_with_its_grid(done):
    folder, _ = done
    result = sm3kit("ablate", "--out", folder, "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["folder"] == str(folder)
    assert [row["seeds_done"] for row in document["rows"]] == [1, 0]
    assert document["failed"][0]["row"] == "broken"
    assert "left     nothing" in result.stderr


def test_show_prints_the_table_again(done):
    folder, _ = done
    result = sm3kit("ablate", "show", folder)
    assert result.exit_code == 0
    assert "\nSmall: probe, mean of the labels" in result.output and "random" in result.output


def test_diff_compares_two_grids(done):
    folder, _ = done
    result = sm3kit("ablate", "diff", folder, folder)
    assert result.exit_code == 0, result.output
    assert "+0.0" in result.output and "second minus first" in result.output


def test_the_table_grows_on_a_terminal(done):

    from sm3kit.grids.runner import begin

    folder, _ = done
    out = open_console(width=80, record=True)
    out.print(GrowingTable(begin("", out=folder, write=False), 1))
    said = out.export_text()
    head = said.splitlines()[0].rstrip()  # One line, however narrow the table is.
    assert head.startswith("4 of 4 stages, ") and head.endswith(" left")
    assert "random" in said and "1/1" in said
    assert "failed" in said


@pytest.mark.slow
def test_a_script_for_slurm(home, tmp_path):
    script = tmp_path / "submit.sh"
    words = ["--grid", home / "own.yaml", "--out", tmp_path / "grid", "--jobs", "4"]
    words += ["--executor", "slurm", "--submit-script", script, "--row", "random"]
    result = sm3kit("ablate", *words)
    assert result.exit_code == 0, result.output
    assert f"sbatch {script}" in result.output
    text = script.read_text()
    assert "#SBATCH --array=1-4" in text
    worker = text.splitlines()[-1]
    assert worker.endswith(f"ablate --worker --out {tmp_path / 'grid'} --row random")
    subprocess.run(["bash", "-n", script], check=True)
    done = subprocess.run(["bash", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '"auc"' in "".join(p.read_text() for p in (tmp_path / "grid" / "results").glob("*.json"))


def test_the_script_names_the_plugin_files(home, tmp_path):
    """The tasks start in an environment of their own."""
    script, plugin = tmp_path / "submit.sh", tmp_path / "my plugin.py"
    plugin.write_text(
        "from sm3kit.api import Objective, register\n\n\n"
        '@register("objectives", "mine")\nclass Mine(Objective):\n    """Nothing."""\n'
    )
    words = ["--grid", home / "own.yaml", "--out", tmp_path / "grid", "--plugin", plugin]
    words += ["--executor", "slurm", "--submit-script", script, "--row", "random"]
    result = sm3kit("ablate", *words)
    assert result.exit_code == 0, result.output
    assert f"export SM3KIT_PLUGINS='{plugin}'" in script.read_text()
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize(
    ("words", "code", "answer"),
    [
        ([], 1, "Which grid? Give --grid NAME"),
        (["--grid", "tabel5"], 1, "No grid named 'tabel5'. Did you mean 'table5'?"),
        (["--grid", "--seeds", "0,x"], 2, "must be numbers such as 0,1,2, not '0,x'"),
        (["--grid", "--protocol", "prob"], 1, "No protocol named 'prob'. Did you mean 'probe'?"),
        (["--grid", "--data", "synthtic"], 1, "No dataset named 'synthtic'. Did you mean"),
        (["--grid", "--executor", "slurm"], 2, "--submit-script FILE go together"),
        (["--grid", "--submit-script", "x.sh"], 2, "--submit-script FILE go together"),
        (["--grid", "--jobs", "0"], 2, "must be a whole number from 1 to 1024, not '0'"),
        (["--grid", "--executor", "dask"], 2, "'dask' is not one of"),
        (["--worker"], 2, "--worker needs --out"),
        (["show", "."], 1, "holds no grid. Give the folder that `sm3kit ablate --grid"),
    ],
)
def test_mistakes(words, code, answer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = sm3kit("ablate", *words)
    assert result.exit_code == code
    assert answer in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_ray_is_asked_for_only_where_it_is_wanted(home, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["--grid", home / "own.yaml", "--out", tmp_path / "grid", "--executor", "ray"]
    result = sm3kit("ablate", *words)
    assert result.exit_code == 1
    assert "--executor ray needs Ray, which is not installed: pip install 'sm3kit[ray]'" in (
        result.output
    )


def test_durations():
    assert [duration(x) for x in (4, 99, 600, 7200)] == ["4 s", "99 s", "10 min", "2 h 0 min"]

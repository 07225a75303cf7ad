"""A folder goes on with its grid, and with no other."""

import os
import subprocess
import sys

import pytest
import yaml
from tiny_grid import TINY, tiny

from sm3kit.core.errors import VariantError
from sm3kit.grids import grid
from sm3kit.grids.folder import Folder
from sm3kit.grids.preparation import grid_of, prepare
from sm3kit.runs.recipes import RELEASED, base_for
from sm3kit.synthesis.layouts import write as write_data

ONE = {"random": {"recipe": "random"}}


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "grid")


def lay(folder, write=True, **changes):
    return prepare(grid.parse("own", tiny(**changes), "own"), folder, write=write)


def refused(folder, **changes):
    with pytest.raises(VariantError) as error:
        lay(folder, **changes)
    text = str(error.value)
    assert text.startswith(f"{folder.path} was started with a different grid: ")
    assert text.endswith("may be added: restore the grid, or give another --out.")
    return text


def test_the_record_says_what_the_grid_is(folder):
    lay(folder)
    record = yaml.safe_load(folder.record_file.read_text())
    assert record["data"] == ["synthetic:40"]
    assert record["listings"][0]["studies"] == {"train": 28, "val": 7, "test": 5}
    assert (record["seeds"], record["protocols"]) == ([0], ["probe"])
    assert list(record["rows"]) == ["random", "sep_sep", "tel"]
    assert record["rows"]["tel"]["settings"]["stage2"]["epochs"] == 1
    assert grid_of(folder).rows == TINY["rows"]


def test_a_dry_run_leaves_nothing(folder):
    assert lay(folder, write=False).replicates
    assert not folder.path.exists()


def test_rows_seeds_and_protocols_may_be_added(folder):
    first = lay(folder, rows=ONE)
    second = lay(folder, seeds=[1], protocols=["knn"])
    assert first.tasks.keys() < second.tasks.keys()
    assert [(replicate.row, replicate.seed) for replicate in second.replicates][:2] == [
        ("random", 0),
        ("random", 1),
    ]
    assert list(second.replicates[0].results) == ["probe", "knn"]
    assert folder.plan() == second


def test_a_changed_row_is_refused(folder):
    lay(folder)
    rows = {**TINY["rows"], "sep_sep": {"recipe": "sep_sep", "stage1": {"lr": 0.5}}}
    assert "row 'sep_sep': stage1.lr was 0.004, not 0.5" in refused(folder, rows=rows)
    rows["sep_sep"] = {"recipe": "sep_sep", "options": {"simclr": {"temperature": 0.5}}}
    told = refused(folder, rows=rows)
    assert "row 'sep_sep': options.simclr.temperature was 0.1, not 0.5" in told


def test_how_it_is_computed_may_change(folder):
    first = lay(folder)
    stage1 = {**TINY["base"]["stage1"], "monitor_every": 2}
    second = lay(folder, base={**TINY["base"], "stage1": stage1, "machine": {"workers": 1}})
    assert first.tasks.keys() == second.tasks.keys()


def test_a_row_that_has_gone_is_refused(folder):
    lay(folder)
    assert "row 'sep_sep' was removed" in refused(folder, rows=ONE)


def test_another_split_is_refused(folder):
    lay(folder)
    assert "its split was test, not val" in refused(folder, split="val")


def test_a_protocol_that_a_row_had_is_refused_to_go(folder):
    lay(folder, rows={"random": {"recipe": "random", "protocols": ["probe", "knn"]}})
    assert "row 'random' had the protocol knn" in refused(folder, rows=ONE)


def test_data_that_changed_are_refused_with_what_changed(folder, tmp_path):
    data = tmp_path / "data"
    write_data("manifest", data, 40, 32, 0)
    table = data / "manifest.csv"
    changes = {"data": f"manifest:{table}", "rows": ONE}
    lay(folder, **changes)
    lines = table.read_text().splitlines()
    gone = next(line for line in lines if line.endswith("train") or ",train" in line)
    table.write_text("\n".join(line for line in lines if line != gone) + "\n")
    told = refused(folder, **changes)
    assert "with train 28, val 7, test 5 studies (listing " in told
    assert "and are" in told and "with train 27, val 7, test 5 studies (listing " in told


def test_labels_that_changed_are_data_that_changed(folder, tmp_path):
    data = tmp_path / "data"
    write_data("manifest", data, 40, 32, 0)
    table = data / "manifest.csv"
    changes = {"data": f"manifest:{table}", "rows": ONE}
    lay(folder, **changes)
    text = table.read_text()
    table.write_text(text.replace("NEV", "MEL", 1))
    assert "ids, files, labels or splits differ" in refused(folder, **changes)


def test_other_data_are_refused(folder):
    lay(folder, rows=ONE)
    told = refused(folder, rows=ONE, data="synthetic:39")
    assert "the data were synthetic:40 with" in told and "and are synthetic:39 with" in told


def test_another_version_is_refused(folder):
    lay(folder, rows=ONE)
    text = folder.record_file.read_text()
    record = yaml.safe_load(text)
    folder.record_file.write_text(
        text.replace(f"sm3kit: {record['sm3kit']}", "sm3kit: 0.0.1").replace(record["request"], "x")
    )
    assert "its sm3kit was 0.0.1, not" in refused(folder, rows=ONE)


def test_a_run_folder_is_no_place_for_a_grid(folder):
    folder.path.mkdir()
    (folder.path / "variant.yaml").touch()
    with pytest.raises(VariantError, match="holds a run, not a grid. Give another --out."):
        lay(folder)


def test_nothing_new_is_seen_without_heavy_libraries(folder):
    """Goal: a grid that is done costs no import of torch, and of matplotlib only for curves."""
    lay(folder, rows=ONE)
    code = f"""
import sys
from sm3kit.grids.runner import begin
assert len(begin("", out={str(folder.path)!r}).replicates) == 1
assert not {{"torch", "matplotlib"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


@pytest.mark.parametrize("write", [True, False])
def test_the_plan_says_why_own_data_start_from_a_small_recipe(folder, tmp_path, monkeypatch, write):
    write_data("manifest", tmp_path / "data", 40, 32, 0)
    small = base_for("RTX 3060", 12 * 1024**3)
    monkeypatch.setattr("sm3kit.training.hardware.base_for_own_data", lambda: small)
    data = f"manifest:{tmp_path / 'data' / 'manifest.csv'}"
    note = (
        "Your own data start from the recipe small, because the RTX 3060 has 12 GiB of memory and "
        "sm3 needs one with about 20 GiB."
    )
    assert lay(folder, write, data=data, rows=ONE).notes == (note,)
    if write:
        assert folder.plan().notes == (note,)
        # What is added on another machine stands on the same recipe, for the same reason.
        monkeypatch.setattr("sm3kit.training.hardware.base_for_own_data", lambda: RELEASED)
        assert lay(folder, data=data, rows=ONE, seeds=[1]).notes == (note,)


def test_the_built_in_studies_need_no_reason(folder):
    assert not lay(folder, rows=ONE).notes

"""`sm3kit embed`: features of studies as plain arrays."""

import json
import sys

import numpy as np
import pyarrow.parquet
import pytest

from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.evaluation.opening import open_subject
from sm3kit.networks.feature_cache import FeatureCache

EVERY = [f"--space={space}" for space in ("backbone", "joint", "embedding", "projection")]


@pytest.fixture
def features(trained_runs):
    """The features of the test split of the larger run."""
    from rich.console import Console

    reporter = Reporter(Console(quiet=True))
    subject = open_subject(
        trained_runs / "both", [], ImageCache(None), FeatureCache(None), reporter
    )
    return subject.features(subject.pool.cases["test"])


def test_an_npz_holds_everything_without_pickle(runs, drawn, features, sm3kit, tmp_path):
    out = tmp_path / "found.npz"
    result = sm3kit("embed", runs.both, "--split", "test", *EVERY, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == f"written  {out}"
    with np.load(out, allow_pickle=False) as file:
        found = dict(file)
    assert list(found["ids"]) == [row["id"] for row in drawn.test]
    assert list(found["groups"]) == [row["group"] for row in drawn.test]
    assert set(found["splits"]) == {"test"}
    assert list(found["label/DIAG"]) == [row["DIAG"] for row in drawn.test]
    assert list(found["present/clinic"]) == [bool(row["clinic"]) for row in drawn.test]
    about = json.loads(str(found["about"]))
    assert about["run"] == str(runs.both)
    assert about["versions"]["torch"]
    arrays = {name: rows for name, rows in found.items() if rows.dtype == np.float32}
    count = len(drawn.test)
    width = features.whole()["derm"].shape[1]
    shapes = {"backbone/derm": width, "backbone/clinic": width, "joint": 2 * width}
    shapes |= {"projection/derm": 16, "projection/clinic": 16}
    shapes |= {f"embedding/{name}": 16 for name in drawn.rows[0] if name.isupper() or name == "DaG"}
    assert {name: rows.shape for name, rows in arrays.items()} == {
        name: (count, width) for name, width in shapes.items()
    }
    for name, rows in features.whole().items():
        assert np.array_equal(found[f"backbone/{name}"], rows.numpy())
    assert np.array_equal(
        found["joint"], np.concatenate([found["backbone/derm"], found["backbone/clinic"]], axis=1)
    )
    missing = ~found["present/clinic"]
    assert missing.sum() == 1
    assert not found["backbone/clinic"][missing].any()
    assert not found["projection/clinic"][missing].any()
    assert found["projection/clinic"][~missing].any()


def test_parquet_has_the_same_and_says_where_it_comes_from(runs, sm3kit, tmp_path):
    words = ["--space", "backbone", "--space", "joint", "--split", "test", "--split", "val"]
    for suffix in ("npz", "parquet"):
        out = tmp_path / f"found.{suffix}"
        assert sm3kit("embed", runs.both, *words, "--out", out).exit_code == 0
    table = pyarrow.parquet.read_table(tmp_path / "found.parquet")
    with np.load(tmp_path / "found.npz", allow_pickle=False) as file:
        assert table["id"].to_pylist() == list(file["ids"])
        assert table["label/PN"].to_pylist() == list(file["label/PN"])
        assert np.array_equal(np.array(table["joint"].to_pylist(), np.float32), file["joint"])
        for row, there, values in zip(
            table["backbone/clinic"].to_pylist(),
            file["present/clinic"],
            file["backbone/clinic"],
            strict=True,
        ):
            assert (row is None) is (not there)
            assert row is None or np.array_equal(np.array(row, np.float32), values)
    for metadata in (table.schema.metadata, table.schema.field("joint").metadata):
        about = json.loads(metadata[b"sm3kit"])
        assert about["run"] == str(runs.both)
        assert about["versions"]["sm3kit"]


def test_all_splits_and_the_joint_feature_are_the_default(runs, drawn, sm3kit, tmp_path):
    out = tmp_path / "found.npz"
    assert sm3kit("embed", runs.bare, "--out", out).exit_code == 0
    with np.load(out, allow_pickle=False) as file:
        assert sorted(file["ids"]) == sorted(row["id"] for row in drawn.rows)
        assert set(file["splits"]) == {"train", "val", "test"}
        assert [name for name in file if file[name].dtype == np.float32] == ["joint"]


def test_unknown_labels_are_empty_or_null(runs, drawn, sm3kit, tmp_path):
    table = drawn.folder / "blank.csv"
    head = "id,split,derm,kind\n"
    kinds = ["", "a", "b", "a", "b"]
    rows = [f"{i},test,{drawn.rows[i]['derm']},{kind}\n" for i, kind in enumerate(kinds)]
    table.write_text(head + "".join(rows), "utf-8")
    words = ["embed", runs.bare, "--data", f"manifest:{table}", "-o", "manifest.labels=kind"]
    words += ["-o", "manifest.reported="]
    for suffix in ("npz", "parquet"):
        result = sm3kit(*words, "--out", tmp_path / f"found.{suffix}")
        assert result.exit_code == 0, result.output
    with np.load(tmp_path / "found.npz", allow_pickle=False) as file:
        assert list(file["label/kind"]) == kinds
    found = pyarrow.parquet.read_table(tmp_path / "found.parquet")
    assert found["label/kind"].to_pylist() == [None, *kinds[1:]]


def test_a_space_that_the_run_does_not_have(runs, sm3kit, one_line, tmp_path):
    out = tmp_path / "found.npz"
    result = sm3kit("embed", runs.bare, "--space", "embedding", "--out", out)
    one_line(result, "needs a run with stage 2", "Use --space joint.")
    result = sm3kit("embed", runs.bare, "--space", "projection", "--out", out)
    one_line(result, "has the fusion none", "Use --space backbone.")
    assert not out.exists()


def test_another_ending(runs, sm3kit, one_line, tmp_path):
    one_line(sm3kit("embed", runs.bare, "--out", tmp_path / "a.csv"), ".npz or .parquet", "'a.csv'")


def test_without_pyarrow_the_answer_says_what_to_install(
    runs, sm3kit, one_line, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = sm3kit("embed", runs.bare, "--out", tmp_path / "a.parquet")
    one_line(result, "pip install 'sm3kit[parquet]'", ".npz")
    assert not (tmp_path / "a.parquet").exists()

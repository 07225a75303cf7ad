"""From the command line: derm, clinic and meta together, some of each missing."""

import csv
import json
import math

import pytest

from sm3kit.metrics.predictions import Predictions
from sm3kit_tabular.manifest import MetadataManifest
from sm3kit_tabular.metadata import Metadata

SMALL = (
    *("--backbone", "timm/test_resnet", "--weights", "none", "--image-size", 32),
    *("--batch-size", 16, "--workers", 0, "--epochs", 2),
)


def emptied(number, row):
    """Takes the metadata away from every sixth case."""
    if number % 6 == 0:
        row |= {"elevation": "", "location": "", "sex": ""}


@pytest.fixture
def release(drawn, edited):
    folder = drawn("derm7pt", 48)
    edited(folder / "meta" / "meta.csv", emptied)
    return folder


def test_three_modalities_are_trained_and_measured(release, sm3kit, tmp_path):
    run, data = tmp_path / "run", f"derm7pt-metadata:{release}"
    written = sm3kit("pretrain", "--data", data, *SMALL, "--mlssl-epochs", 1, "--out", run)
    assert "Studies without any value in these columns, and so without meta: 8." in written
    assert "meta: 1 x mlp/64" in written
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
    assert len(losses) == 3
    assert all(map(math.isfinite, losses))

    probe = ("--protocol", "probe", "--epochs", 2, "--batch-size", 8, "--json")
    sm3kit("evaluate", run, *probe)
    result = json.loads((run / "eval" / "probe-test.json").read_text(encoding="utf-8"))
    assert len(result["labels"]) == 8
    sm3kit("evaluate", run, "--protocol", "match")
    spaces = json.loads((run / "eval" / "match-test.json").read_text(encoding="utf-8"))["space"]
    pairs = {f"{a}->{b}" for a in ("derm", "clinic", "meta") for b in ("derm", "clinic", "meta")}
    assert set(spaces["projection"]) == pairs - {"derm->derm", "clinic->clinic", "meta->meta"}


def test_metadata_reach_the_second_stage(release, sm3kit, tmp_path):
    """Support vector machines on probabilities and metadata, in the evaluation and in a prediction."""
    run, data = tmp_path / "run", f"derm7pt-metadata:{release}"
    sm3kit("pretrain", "--data", data, *SMALL, "--stage", "mmssl", "--out", run)
    probe = ("--classifier", "f4m", "--epochs", 2, "--batch-size", 8, "--stack", "svm")
    sm3kit("evaluate", run, *probe)
    result = json.loads((run / "eval" / "probe-test.json").read_text(encoding="utf-8"))
    assert result["decision"]["stack"]["metadata"] == ["meta"]
    table = tmp_path / "predictions.csv"
    sm3kit("predict", run, "--split", "test", "--csv", table)
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = Predictions.load(run / "eval" / "probe-test.predictions.npz")
    assert [row["id"] for row in rows] == list(kept.ids)
    for name, label in kept.labels.items():
        for row, scores in zip(rows, label.scores, strict=True):
            given = [float(row[f"{name}:{value}"]) for value in label.classes]
            assert given == pytest.approx(list(scores), abs=1e-6)


def test_each_study_gets_its_own_row(drawn, edited, sm3kit, tmp_path):
    """A column that copies a label classifies it, once it went through training and features."""
    table, run = drawn("manifest", 60) / "manifest.csv", tmp_path / "run"
    edited(table, lambda number, row: row.update(dots=row["DaG"]))
    written = sm3kit(
        *("pretrain", "--data", f"metadata-manifest:{table}", "--modality", "meta", *SMALL),
        *("-o", "metadata-manifest.columns=dots", "--stage", "mmssl", "--fusion", "none"),
        *("--out", run),
    )
    assert "Warning: dots gives the label DaG away" in written
    assert "1 x mlp/64" in written
    # A dozen studies to measure on: one of each class has to do.
    few = ("-o", "evaluate.min_positives=1")
    sm3kit("evaluate", run, "--protocol", "knn", "--select", "last", "--k", 3, *few)
    result = json.loads((run / "eval" / "knn-test.json").read_text(encoding="utf-8"))
    assert result["labels"]["DaG"]["auc"] > 0.95


def test_a_word_that_comes_after_training_is_unknown_and_said(drawn, edited, sm3kit, tmp_path):
    folder, run = drawn("manifest", 48), tmp_path / "run"
    table = folder / "manifest.csv"
    edited(table, lambda number, row: row.update(arm=("left", "right")[number % 2]))
    columns = "metadata-manifest.columns=arm"
    data = f"metadata-manifest:{table}"
    out = ("--stage", "mmssl", "--out", run)
    sm3kit("pretrain", "--data", data, "-o", columns, *SMALL, *out)
    edited(table, lambda number, row: row.update(arm="both") if row["split"] == "test" else None)
    assert "arm: values that are not in its options, treated as unknown: 'both'" in sm3kit(
        "data", "check", data, "-o", columns
    )
    sm3kit("evaluate", run, "--protocol", "knn")
    dataset = MetadataManifest(str(table), columns=("arm",))
    reader = Metadata(**dataset.modalities["meta"].options)
    assert [column.values for column in reader.columns] == [("left", "right")]
    for study in dataset.studies():
        assert reader.read(study.images["meta"]).any() == (study.split != "test")
    # Also where another training split would be encoded otherwise: the run keeps its own.
    edited(table, lambda number, row: row.update(arm="both") if number % 3 == 0 else None)
    sm3kit("evaluate", run, "--protocol", "knn")
    record = (run / "variant.yaml").read_text(encoding="utf-8")
    assert "arm:left|right" in record

"""How an epoch is chosen, and that nobody looks at the test split in secret."""

import dataclasses
import json

import pytest

from sm3kit.core.errors import VariantError
from sm3kit.evaluation import learning
from sm3kit.evaluation.decisions import choosing
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.metrics.predictions import Predictions

# Validation is best in epoch 2, the test split in epoch 4.
CURVES = {"val": [0.5, 0.9, 0.6, 0.7], "test": [0.6, 0.5, 0.7, 0.8]}


@pytest.fixture
def curves(monkeypatch):
    """Fabricates the scores of the epochs; gives the splits that were looked at."""
    looks = []
    table = {split: list(values) for split, values in CURVES.items()}

    def fabricated(predictions):
        split = looks[-1]
        return table[split][looks.count(split) - 1]

    of = learning.predictions_of

    def watched(subject, cases, scores, least):
        ids = {case.study.id for case in cases}
        for split in ("train", "val", "test"):
            if ids == {case.study.id for case in subject.pool.cases[split]}:
                looks.append(split)
        return of(subject, cases, scores, least)

    monkeypatch.setattr(learning, "mean_auc", fabricated)
    monkeypatch.setattr(learning, "predictions_of", watched)
    monkeypatch.setattr(choosing, "predictions_of", watched)
    return looks, table


def test_val_best_never_sees_a_score_of_the_test_split(evaluated, runs, curves):
    looks, _ = curves
    record = evaluated(runs.stage1, epochs=4)
    assert record["chosen"] == {"epoch": 2}
    assert record["selection_auc"] == 0.9
    # Once for the result, when the epoch has been chosen.
    assert looks == ["val"] * 4 + ["test"]
    assert record["leaky"] is False


def test_test_best_chooses_another_epoch_and_says_so(evaluated, runs, curves):
    looks, _ = curves
    record = evaluated(runs.stage1, epochs=4, select="test_best")
    assert record["chosen"] == {"epoch": 4}
    assert record["selection_auc"] == 0.8
    assert looks == ["test"] * 5
    assert record["leaky"] is True


def test_a_leaky_result_never_replaces_an_honest_one(evaluated, runs):
    honest = evaluated(runs.stage1)
    kept = {file: file.read_bytes() for file in (runs.stage1 / "eval").glob("probe-test.*")}
    assert len(kept) == 3
    leaky = evaluated(runs.stage1, select="test_best")
    assert leaky["file"] != honest["file"]
    assert leaky["file"].endswith("probe-test-test_best.json")
    assert {file: file.read_bytes() for file in kept} == kept


def test_what_is_selected_on_the_measured_split_is_leaky_by_any_name(evaluated, runs):
    one = evaluated(runs.stage1, split="val")
    other = evaluated(runs.stage1, split="val", select="test_best")
    assert one["chosen"] == other["chosen"]
    assert one["mean"] == other["mean"]
    assert one["leaky"] is other["leaky"] is True
    assert evaluated(runs.stage1, split="val", select="last", label="last-one")["leaky"] is False


def test_the_earliest_of_equal_epochs_is_chosen(evaluated, runs, curves):
    _, table = curves
    table["val"] = [0.5, 0.8, 0.8, 0.8]
    assert evaluated(runs.stage1, epochs=4)["chosen"] == {"epoch": 2}


def test_last_looks_at_nothing(evaluated, runs, curves):
    looks, _ = curves
    record = evaluated(runs.stage1, epochs=4, select="last")
    assert (record["chosen"], record["selection_auc"]) == ({"epoch": 4}, None)
    assert looks == ["test"]


def test_the_weights_are_those_of_the_chosen_epoch(evaluated, runs, curves):
    """The second epoch of four is the last of two: nothing else depends on their number."""
    evaluated(runs.stage2, epochs=4)
    chosen = Predictions.load(runs.stage2 / "eval" / "probe-test.predictions.npz")
    evaluated(runs.stage2, epochs=2, select="last", label="two")
    last = Predictions.load(runs.stage2 / "eval" / "probe-test-two.predictions.npz")
    for name, label in chosen.labels.items():
        assert (label.scores == last.labels[name].scores).all()


@pytest.mark.parametrize("protocol", ["probe", "finetune", "knn"])
def test_a_validation_split_without_labels_cannot_choose(studies, opened, fast, runs, protocol):
    def change(i, row):
        blank = {"shape": "", "tone": "", "edge": ""}
        return {**row, **blank} if row["split"] == "val" else row

    spec = studies("val-blank", change)
    with pytest.raises(VariantError) as caught:
        evaluate(opened(runs.stage1, spec), dataclasses.replace(fast, protocol=protocol))
    assert str(caught.value) == (
        "--select val_best needs a label with two classes, the reported one among them, in the "
        f"split val, and {spec} has none among its 0 labelled studies there. Use --select last."
    )
    record = evaluate(
        opened(runs.stage1, spec), dataclasses.replace(fast, protocol=protocol, select="last")
    )
    assert record["mean"]["auc"] is not None


@pytest.mark.parametrize("select", ["val_best", "test_best"])
def test_a_split_that_leaves_every_auc_undefined_cannot_choose(studies, opened, fast, runs, select):
    """Two classes are not enough: one of them has to be the reported one."""

    def change(i, row):
        kept = {name: row[name] for name in ("id", "split", "derm", "clinic")}
        tone = row["tone"] if row["split"] == "train" else "xy"[i % 2]
        return {**kept, "tone": tone}

    spec = studies("no-z", change)
    subject = opened(runs.stage1, spec, options={"manifest": {"reported": ("tone:z",)}})
    with pytest.raises(VariantError, match="among its 8 labelled studies"):
        evaluate(subject, dataclasses.replace(fast, select=select))
    record = evaluate(subject, dataclasses.replace(fast, select="last"))
    assert record["mean"]["auc"] is None
    assert "Infinity" not in json.dumps(record)


@pytest.mark.parametrize("protocol", ["probe", "finetune", "knn"])
def test_the_selection_score_is_that_of_the_split_that_chooses(evaluated, runs, protocol):
    honest = evaluated(runs.stage1, protocol=protocol)
    ((name, value),) = honest["chosen"].items()
    again = {"epochs" if name == "epoch" else name: value}
    val = evaluated(runs.stage1, protocol=protocol, split="val", select="last", **again)
    assert honest["selection_auc"] == val["mean"]["auc"]
    leaky = evaluated(runs.stage1, protocol=protocol, select="test_best")
    assert leaky["selection_auc"] == leaky["mean"]["auc"]


@pytest.mark.parametrize("protocol", ["probe", "knn"])
def test_test_labels_change_nothing_that_is_chosen(studies, evaluated, runs, protocol):
    def change(i, row):
        turned = {"shape": "ba"["ab".index(row["shape"])], "edge": "nm"["mn".index(row["edge"])]}
        return {**row, **turned} if row["split"] == "test" else row

    one = evaluated(runs.stage2, protocol=protocol)
    other = evaluated(runs.stage2, studies("turned", change), protocol=protocol)
    for part in ("chosen", "selection_auc"):
        assert one[part] == other[part]
    for name in ("shape", "edge"):
        aucs = [record["labels"][name]["auc"] for record in (one, other)]
        assert sum(aucs) == pytest.approx(1, abs=1e-12)

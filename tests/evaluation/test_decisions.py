"""Decisions of an evaluation: chosen on validation, recorded, kept, and the same in a prediction."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_runs import quiet, read_table

from sm3kit.core.errors import DataError, VariantError
from sm3kit.deployment.predict import predict, write_csv
from sm3kit.deployment.predictor import find_classifier, open_predictor
from sm3kit.deployment.question import Question
from sm3kit.evaluation.classifier_file import read_classifier
from sm3kit.evaluation.decisions import stacking
from sm3kit.evaluation.labelling.classifier import ClassifierSpec
from sm3kit.metrics.predictions import Predictions
from sm3kit.metrics.thresholds import fit_thresholds
from sm3kit.results.evaluation_table import evaluation_table
from sm3kit.runs.folder import RunFolder


def wider(i, row):
    """16 studies each to train and to choose: every class has five patients in validation."""
    return {**row, "split": {1: "val"}.get(i % 5, row["split"])}


@pytest.fixture(scope="module")
def more(studies):
    """The drawn pairs with 16 studies in the split val."""
    return studies("wider", wider)


def kept(record):
    """The predictions of a record."""
    return Predictions.load(Path(record["file"]).with_suffix(".predictions.npz"))


def predicted(record, run, data, images, split="test"):
    """What `predict` says of a split, with the classifier of the record."""
    trained = RunFolder(run).trained()
    file = find_classifier(trained, name=Path(record["file"]).stem)
    question = Question(data=[data], split=split)
    return predict([open_predictor(trained, file)], question, images, quiet())


# Thresholds


def test_thresholds_are_fitted_on_validation_and_count(evaluated, runs, more):
    plain = evaluated(runs.stage1, more, epochs=10, lr=0.05)
    record = evaluated(runs.stage1, more, epochs=10, lr=0.05, threshold="youden", label="t")
    assert "decision" not in plain
    assert (record["decision"]["chosen_on"], record["decision"]["studies"]) == ("val", 16)
    predictions = kept(record)
    for name, row in record["labels"].items():
        assert row["auc"] == plain["labels"][name]["auc"]
        table = record["decision"]["thresholds"][name]
        label = predictions.labels[name]
        values = [np.nan if value is None else value for value in table["classes"].values()]
        assert np.array_equal(label.thresholds, values, equal_nan=True)
    # The very thresholds that the validation split gives by itself.
    there = evaluated(runs.stage1, more, epochs=10, lr=0.05, split="val", label="v")
    for name, label in kept(there).labels.items():
        fitted = fit_thresholds(label, kept(there).groups, "youden")
        table = record["decision"]["thresholds"][name]
        values = [np.nan if value is None else value for value in table["classes"].values()]
        np.testing.assert_allclose(values, fitted.values, atol=1e-12)
        assert table["nested"] == pytest.approx(fitted.nested)


def test_labels_of_the_test_split_choose_nothing(evaluated, runs, more, studies):
    def otherwise(i, row):
        row = wider(i, row)
        return {**row, "shape": "ba"[i % 2], "tone": "x"} if row["split"] == "test" else row

    other = studies("otherwise", otherwise)
    asked = {
        "threshold": "f1", "calibration": "temperature", "stream_weights": "auc",
        "classifier": "f4m", "test_views": 2,
    }  # fmt: skip
    first = evaluated(runs.stage1, more, **asked)
    second = evaluated(runs.stage1, other, **asked)
    assert first["decision"] == second["decision"]
    assert first["labels"] != second["labels"]


def test_no_validation_no_decision(evaluated, runs, studies):
    spec = studies("no-val", lambda i, row: row if row["split"] != "val" else None)
    with pytest.raises(VariantError) as caught:
        evaluated(runs.stage1, spec, select="last", threshold="f1", calibration="temperature")
    assert str(caught.value) == (
        "--threshold f1 and -o evaluate.calibration=temperature need labelled studies in the split "
        f"val, and {spec} has none there. Add some, or leave these out."
    )
    with pytest.raises(VariantError) as caught:
        evaluated(runs.stage1, spec, select="last", stack="svm")
    assert str(caught.value) == (
        f"--stack svm needs labelled studies in the split val, and {spec} has none there. Add some, "
        "or leave it out."
    )
    assert not list((runs.stage1 / "eval").glob("*"))


def test_what_is_chosen_on_what_is_measured_leaks(evaluated, runs):
    honest = evaluated(runs.stage1, select="last", threshold="f1")
    assert honest["leaky"] is False
    own = evaluated(runs.stage1, select="last", split="val", threshold="f1")
    assert own["leaky"] is True
    best = evaluated(runs.stage1, select="test_best", threshold="f1")
    assert (best["leaky"], best["decision"]["chosen_on"]) == (True, "test")


def test_rare_classes_keep_the_most_likely_one_and_it_is_said(evaluated, runs):
    """Eight studies to choose by: no class has five with it and five without."""
    plain = evaluated(runs.stage1)
    record = evaluated(runs.stage1, threshold="f1", label="t")
    assert record["labels"] == plain["labels"]
    assert any("have no threshold and are predicted" in note for note in record["notes"])


def test_notes_say_what_counts(evaluated, runs, more):
    record = evaluated(runs.stage1, more, threshold="f1")
    table = str(evaluation_table(record))
    assert "every class whose probability reaches its threshold is predicted" in " ".join(
        table.split()
    )
    assert "nested folds" in table


def test_neighbours_have_thresholds_and_temperatures(evaluated, runs, more):
    plain = evaluated(runs.stage1, more, protocol="knn")
    record = evaluated(
        runs.stage1, more, protocol="knn", threshold="f1", calibration="temperature", label="t"
    )
    assert set(record["decision"]) >= {"thresholds", "temperatures"}
    # The order of two classes stays.
    assert record["labels"]["shape"]["auc"] == pytest.approx(plain["labels"]["shape"]["auc"])


# Temperature


def test_a_temperature_moves_no_auc_of_two_classes(evaluated, runs, more):
    plain = evaluated(runs.stage1, more, epochs=10, lr=0.05)
    record = evaluated(runs.stage1, more, epochs=10, lr=0.05, calibration="temperature", label="t")
    for name, table in record["decision"]["temperatures"].items():
        before, after = table["nll"]
        assert after <= before + 1e-12
        if len(kept(record).labels[name].classes) == 2:
            assert record["labels"][name]["auc"] == plain["labels"][name]["auc"]
            assert record["labels"][name]["sens"] == plain["labels"][name]["sens"]
    assert record["mean"]["auc"] is not None


# Streams and views


def test_one_stream_has_no_weights_to_search(evaluated, runs):
    record = evaluated(runs.stage1, stream_weights="auc")
    assert record["decision"]["streams"] == ["joint"]
    assert "The classifier has one stream, joint: no weights to search." in record["notes"]


@pytest.mark.parametrize("changes", [{}, {"members": 2}], ids=["alone", "members"])
def test_searched_weights_are_kept_and_predict(evaluated, runs, more, changes):
    record = evaluated(
        runs.stage1, more, classifier="f4m", stream_weights="accuracy", epochs=4, **changes
    )
    weights = record["decision"]["weights"]
    assert sum(weights.values()) == pytest.approx(1)
    assert (record["decision"]["tried"], len(weights)) == (231, 3)
    file = read_classifier(Path(record["file"]).with_suffix(".safetensors"))
    assert file.decision.weights == weights


def test_test_views_are_averaged(evaluated, runs, opened, fast):
    record = evaluated(runs.stage1, test_views=6, label="six")
    subject = opened(runs.stage1)
    views = subject.views_of(subject.cases("test", labelled=True), 0)
    first = subject.encoder.evaluation(views).whole()
    turned = subject.encoder.evaluation(views, 4).whole()
    assert not np.allclose(first["derm"], turned["derm"])
    assert record["decision"] == {"test_views": 6}
    assert "Probabilities are means over 6 test views." in record["notes"]
    plain = evaluated(runs.stage1)
    for name, label in kept(record).labels.items():
        assert not np.array_equal(label.scores, kept(plain).labels[name].scores)


# What predict makes of it


@pytest.mark.parametrize("protocol", ["probe", "finetune"])
def test_a_prediction_follows_the_decision(evaluated, runs, more, images, tmp_path, protocol):
    record = evaluated(
        runs.stage1, more, protocol=protocol, classifier="f4m", stream_weights="auc",
        calibration="temperature", threshold="youden", test_views=3,
    )  # fmt: skip
    answer = predicted(record, runs.stage1, more, images)
    predictions = kept(record)
    assert [study["id"] for study in answer["studies"]] == list(predictions.ids)
    for name, label in predictions.labels.items():
        rows = [list(study["probabilities"][name].values()) for study in answer["studies"]]
        np.testing.assert_allclose(rows, label.scores, rtol=0, atol=1e-9)
        for study, called in zip(answer["studies"], label.called, strict=True):
            names = [c for c, reached in zip(label.classes, called, strict=True) if reached]
            assert study["called"][name] == names
    thresholds = record["decision"]["thresholds"]
    assert answer["thresholds"] == {name: row["classes"] for name, row in thresholds.items()}
    write_csv(answer, tmp_path / "p.csv")
    rows = read_table(tmp_path / "p.csv")
    first = answer["studies"][0]["called"]
    assert {name: rows[0][f"{name}:called"] for name in first} == {
        name: "; ".join(called) for name, called in first.items()
    }


def test_a_prediction_without_thresholds_says_nothing_of_them(evaluated, runs, more, images):
    record = evaluated(runs.stage1, more)
    answer = predicted(record, runs.stage1, more, images)
    assert "thresholds" not in answer
    assert not [study for study in answer["studies"] if "called" in study]


# The second stage


def test_a_second_stage_follows_into_a_prediction(evaluated, runs, more, images):
    """Without metadata it stands on the probabilities alone."""
    record = evaluated(runs.stage1, more, classifier="f4m", stack="svm", epochs=4, lr=0.02)
    stack = record["decision"]["stack"]
    assert (stack["metadata"], stack["goal"]) == ([], "accuracy")
    assert 0 <= stack["weight"] <= 1
    predictions = kept(record)
    answer = predicted(record, runs.stage1, more, images)
    for name, label in predictions.labels.items():
        np.testing.assert_allclose(label.scores.sum(1), 1, atol=1e-9)
        rows = [list(study["probabilities"][name].values()) for study in answer["studies"]]
        np.testing.assert_allclose(rows, label.scores, rtol=0, atol=1e-6)
    assert any("the run has no metadata" in note for note in record["notes"])


@pytest.mark.parametrize("changes", [{"protocol": "finetune"}, {"classifier": "logistic"}])
def test_every_protocol_has_a_second_stage(evaluated, runs, more, changes):
    record = evaluated(runs.stage1, more, stack="svm", epochs=1, **changes)
    assert "stack" in record["decision"]
    file = Path(record["file"])
    assert not list(file.with_suffix("").rglob("*.ckpt"))


def test_the_folds_leave_whole_patients_out(evaluated, runs, studies, monkeypatch):
    """The network that speaks of a study has not learned from any study of its patient."""
    spec = studies("twins", lambda i, row: {**row, "group": f"p{i // 2}"})
    seen = []
    of = stacking.group_folds

    def watched(groups, strata, folds, seed):
        fold = of(groups, strata, folds, seed)
        seen.append((groups, fold))
        return fold

    monkeypatch.setattr(stacking, "group_folds", watched)
    evaluated(runs.stage1, spec, stack="svm")
    groups, fold = seen[-1]
    assert len(groups) == 24 > len(set(groups))
    for name in set(groups):
        assert len(set(fold[groups == name])) == 1
    assert len(set(fold)) == 5


def test_one_patient_cannot_be_left_out(evaluated, runs, studies):
    spec = studies(
        "alone", lambda i, row: {**row, "group": "p" if row["split"] == "train" else f"p{i}"}
    )
    with pytest.raises(DataError) as caught:
        evaluated(runs.stage1, spec, stack="svm")
    assert str(caught.value) == (
        "--stack svm leaves patients or lesions out in turn, and all 24 labelled studies in the split "
        f"train of {spec} are of one. Leave out --stack, or give the data more groups."
    )
    assert not list((runs.stage1 / "eval").glob("*"))


@pytest.mark.parametrize("protocol", ["probe", "finetune"])
def test_a_network_knows_no_label_of_what_it_leaves_out(
    evaluated, runs, more, monkeypatch, protocol
):
    """Neither in its losses nor when it is built, where a classifier may look at labels."""
    known = []
    build = ClassifierSpec.build

    def watched(*args, **options):
        known.append((options["known"] >= 0).any(dim=1))
        return build(*args, **options)

    monkeypatch.setattr(ClassifierSpec, "build", watched)
    evaluated(runs.stage1, more, stack="svm", epochs=1, protocol=protocol)
    whole, *folds = known
    assert whole.all() and len(folds) == 5
    assert (~torch.stack(folds)).sum(dim=0).eq(1).all()


def test_left_out_studies_are_spoken_of_by_their_network():
    """Three networks that always say their own number, each for its own fold."""

    class Says:
        def __init__(self, number):
            self.rows = torch.eye(3, dtype=torch.float64)[number].expand(6, 3)

        def decide(self, streams):
            return [self.rows]

    ensemble = SimpleNamespace(of_members=lambda streams: [(Says(n), {}) for n in range(3)])
    fold = torch.tensor([0, 1, 2, 2, 1, 0])
    (rows,) = stacking._left_out(ensemble, [{}, {}], fold)
    assert rows.argmax(1).tolist() == fold.tolist()


def test_views_that_are_encoded_anew_are_the_same(evaluated, runs):
    """A probe keeps features of each test view, or encodes them in every epoch."""
    asked = {"test_views": 3, "select": "last", "epochs": 1, "lr": 1e-9}  # Nothing is learned.
    first = kept(evaluated(runs.stage1, **asked))
    second = kept(evaluated(runs.stage1, **asked, feature_views=0, label="anew"))
    for name, label in first.labels.items():
        np.testing.assert_allclose(label.scores, second.labels[name].scores, atol=1e-5)

"""The result on disk: its format, its name, and that labels alone decide what counts."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from sm3kit.core.errors import DataError, SM3Error
from sm3kit.evaluation.evaluate import _published_number, evaluate
from sm3kit.evaluation.record_text import interval_note
from sm3kit.evaluation.result_files import result_file
from sm3kit.metrics.predictions import Predictions

PROTOCOLS = ["probe", "finetune", "knn"]
LABELS = {"shape": ["a", "b"], "tone": ["x", "y", "z"], "edge": ["m", "n"]}


def strict(text):
    """JSON as the standard has it: neither NaN nor Infinity."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_record_has_the_agreed_form(evaluated, runs, protocol):
    record = evaluated(runs.stage2, protocol=protocol)
    file = runs.stage2 / "eval" / f"{protocol}-test.json"
    assert strict(file.read_text("utf-8")) == json.loads(json.dumps(record))
    assert record["file"] == str(file)
    told = [record[name] for name in ("protocol", "split", "select", "leaky")]
    assert told == [protocol, "test", "val_best", False]
    assert isinstance(record["trainable_parameters"], int)
    assert set(record["labels"]) == set(LABELS)
    for name, row in record["labels"].items():
        assert {"auc", "sens", "spec", "prec", "support", "ci95"} <= set(row)
        assert row["reported"] is None
        assert (row["classes"], row["left_out"]) == (LABELS[name], {})
        assert row["support"]["known"] == 8
        # Eight studies have fewer than five of a class.
        assert row["ci95"] == [None, None]
        assert row["interval_reason"].endswith(" negative groups, not 5 of each")
    assert {"auc", "sens", "spec", "prec", "std"} <= set(record["mean"])
    assert record["seeds"] == [0]
    assert record["studies"] == {"train": 24, "val": 8, "test": 8}
    assert record["trained_on"] == 24


def test_the_record_of_matching_has_the_agreed_form(evaluated, runs):
    record = evaluated(runs.stage1, protocol="match", select="last")
    file = runs.stage1 / "eval" / "match-test.json"
    assert strict(file.read_text("utf-8")) == json.loads(json.dumps(record))
    assert list(record["space"]) == ["backbone", "projection"]
    for directions in record["space"].values():
        assert list(directions) == ["derm->clinic", "clinic->derm"]
        for row in directions.values():
            assert {"mean_rank", "acc@1", "acc@5", "n"} <= set(row)
            assert row["n"] == 8
            assert row["chance"] == 4.5
            assert 1 <= row["mean_rank"] <= 8
    assert "labels" not in record
    assert "without_duplicates" not in record


def of_scikit_learn(label, place):
    """Four metrics of one class against the rest."""
    true, called = label.truth == place, label.scores.argmax(1) == place
    return {
        "auc": roc_auc_score(true, label.scores[:, place]),
        "sens": recall_score(true, called),
        "spec": recall_score(~true, ~called),
        "prec": precision_score(true, called, zero_division=0),
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_numbers_are_those_of_scikit_learn(evaluated, runs, protocol):
    record = evaluated(runs.stage1, protocol=protocol)
    kept = Predictions.load(runs.stage1 / "eval" / f"{protocol}-test.predictions.npz")
    assert len(kept.ids) == 8
    for name, label in kept.labels.items():
        row = record["labels"][name]
        each = [of_scikit_learn(label, one) for one in range(len(label.classes))]
        wanted = {metric: np.mean([one[metric] for one in each]) for metric in each[0]}
        # Sums of a few numbers in float64.
        assert {metric: row[metric] for metric in wanted} == pytest.approx(wanted, abs=1e-12)
        np.testing.assert_allclose(label.scores.sum(1), 1, atol=1e-9)
    aucs = [row["auc"] for row in record["labels"].values()]
    assert record["mean"]["auc"] == pytest.approx(np.mean(aucs), abs=1e-12)
    assert record["mean"]["std"] == pytest.approx(np.std(aucs, ddof=1), abs=1e-12)


def test_intervals_hold_their_number(evaluated, runs):
    record = evaluated(runs.stage1, protocol="knn", split="train")
    for row in [*record["labels"].values(), record["mean"]]:
        low, high = row["ci95"]
        assert 0 <= low <= row["auc"] <= high <= 1


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_each_split_has_a_file_of_its_own(evaluated, runs, split):
    record = evaluated(runs.stage1, protocol="knn", select="last", k=3, split=split)
    assert (record["cases"], record["file"].endswith(f"knn-{split}.json")) == (
        {"train": 24, "val": 8, "test": 8}[split],
        True,
    )


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "probe-test.json"),
        ({"scope": "heads"}, "probe-test-heads.json"),
        ({"seed": 3}, "probe-test-seed3.json"),
        (
            {"select": "test_best", "scope": "heads", "seed": 3},
            "probe-test-test_best-heads-seed3.json",
        ),
    ],
    ids=["plain", "scope", "seed", "all"],
)
def test_what_was_chosen_is_in_the_name(opened, fast, runs, changes, name):
    settings = dataclasses.replace(fast, **changes)
    assert result_file(opened(runs.stage1), settings) == runs.stage1 / "eval" / name


def test_a_result_says_what_it_was_made_of(evaluated, runs):
    record = evaluated(runs.stage2, protocol="knn")
    of = record["of"]
    assert (of["run"], of["stage"], of["seed"]) == (str(runs.stage2), "mlssl", 0)
    assert of["splits"] == ["train"]
    assert record["data"] == of["data"]
    assert record["data_hash"] == of["data_hash"]
    assert record["transfer"] is False
    assert record["settings"]["protocol"] == "knn"
    assert record["options"]["sep_sep"]["projection"] == 16
    assert {"machine", "versions", "notes", "map"} <= set(record)


class TestFewStudies:
    """What rests on too few studies is left out and said, or chosen and flagged."""

    def test_a_label_without_enough_of_any_class_has_no_number(self, evaluated, runs):
        record = evaluated(runs.stage1, protocol="knn", min_positives=4)
        # Eight test studies: shape and edge have four of each class, tone three, three and two.
        aucs = {name: row["auc"] is None for name, row in record["labels"].items()}
        assert aucs == {"shape": False, "tone": True, "edge": False}
        assert record["labels"]["tone"]["left_out"] == {"x": 3, "y": 3, "z": 2}
        assert record["mean"]["labels"] == 2
        assert record["notes"] == [
            "No result where no class has 4 studies and 4 of other classes: tone (x 3, y 3, z 2). To "
            "accept fewer: -o evaluate.min_positives=N."
        ]
        assert record["selection_min_positives"] == 4

    def test_classes_are_left_out_of_the_mean(self, evaluated, runs):
        record = evaluated(runs.stage1, protocol="knn", min_positives=3)
        row = record["labels"]["tone"]
        assert (row["classes"], row["left_out"]) == (["x", "y"], {"z": 2})
        kept = Predictions.load(runs.stage1 / "eval" / "knn-test.predictions.npz")
        each = [of_scikit_learn(kept.labels["tone"], place)["auc"] for place in (0, 1)]
        assert row["auc"] == pytest.approx(np.mean(each), abs=1e-12)
        assert record["notes"] == [
            "The mean of a label leaves out classes with fewer than 3 studies: tone (z 2)."
        ]

    def test_a_choice_goes_by_fewer_where_no_class_has_enough(self, evaluated, runs):
        record = evaluated(runs.stage1, protocol="knn", min_positives=5)
        assert record["mean"]["auc"] is None
        assert (record["selection_auc"] is None, record["selection_min_positives"]) == (False, 1)
        assert record["notes"][-1] == (
            "No class has 5 studies in the split used for selection; k was chosen by the AUC of "
            "rarer classes."
        )

    def test_a_chosen_class_is_flagged_and_counts(self, opened, fast, runs):
        subject = opened(runs.stage1, options={"manifest": {"reported": ("tone:z",)}})
        settings = dataclasses.replace(fast, protocol="knn", min_positives=3)
        record = evaluate(subject, settings)
        row = record["labels"]["tone"]
        assert (row["reported"], row["few"], row["support"]["positives"]) == ("z", True, 2)
        assert row["auc"] is not None
        assert row["rare"] == {"z": [2, 6]}
        # The warning that it has no interval says as much.
        assert record["notes"] == []
        assert interval_note(record) == (
            "No interval for shape, tone, edge, nor for a mean that includes them: fewer than 5 "
            "positive or 5 negative patients or lesions."
        )


class TestUnknownLabels:
    """-1 never counts, neither in training nor in any number."""

    @pytest.mark.parametrize("protocol", ["probe", "knn"])
    def test_studies_without_labels_change_nothing(self, studies, evaluated, runs, protocol):
        def cut(i, row):
            return None if i >= 30 else row

        def blank(i, row):
            return {**row, "shape": "", "tone": "", "edge": ""} if i >= 30 else row

        one = evaluated(runs.stage1, studies("cut", cut), protocol=protocol)
        other = evaluated(runs.stage1, studies("blank", blank), protocol=protocol)
        assert one["cases"] == other["cases"] == 6
        assert one["trained_on"] == other["trained_on"] == 18
        for part in ("labels", "mean", "chosen", "selection_auc"):
            assert one[part] == other[part]

    def test_a_label_that_is_unknown_in_the_split_is_null_and_not_zero(
        self, studies, evaluated, runs
    ):
        def change(i, row):
            return {**row, "edge": "" if row["split"] == "test" else row["edge"]}

        record = evaluated(runs.stage1, studies("no-edge", change), protocol="probe")
        row = record["labels"]["edge"]
        assert [row[metric] for metric in ("auc", "sens", "spec", "prec")] == [None] * 4
        assert row["support"]["known"] == 0
        assert row["ci95"] == [None, None]
        others = [record["labels"][name]["auc"] for name in ("shape", "tone")]
        assert record["mean"]["auc"] == pytest.approx(np.mean(others), abs=1e-12)
        assert record["mean"]["labels"] == 2
        strict(Path(record["file"]).read_text("utf-8"))

    def test_a_study_with_one_known_label_counts_for_that_label_alone(
        self, studies, evaluated, runs
    ):
        def change(i, row):
            return {**row, "tone": ""} if i == 4 else row

        record = evaluated(runs.stage1, studies("one-blank", change), protocol="knn")
        known = {name: row["support"]["known"] for name, row in record["labels"].items()}
        assert known == {"shape": 8, "tone": 7, "edge": 8}

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    @pytest.mark.parametrize("split", ["train", "test"])
    def test_no_label_at_all(self, studies, opened, fast, runs, protocol, split):
        def change(i, row):
            blank = {"shape": "", "tone": "", "edge": ""}
            return {**row, **blank} if row["split"] == split else row

        spec = studies(f"no-{split}", change)
        subject = opened(runs.stage1, spec)
        with pytest.raises(DataError) as caught:
            evaluate(subject, dataclasses.replace(fast, protocol=protocol, select="last"))
        remedy = {
            "train": "Classifiers learn from the split train; give labels.",
            "test": "Choose another --split, or give labels.",
        }
        assert str(caught.value) == (
            f"The split {split} of {spec} has no study with a known label. {remedy[split]}"
        )
        assert not (runs.stage1 / "eval").exists()


@pytest.mark.parametrize("protocol", ["probe", "finetune"])
def test_one_study_with_labels_is_too_few_to_train(studies, opened, fast, runs, protocol):
    def change(i, row):
        blank = {"shape": "", "tone": "", "edge": ""}
        return {**row, **blank} if row["split"] == "train" and i else row

    spec = studies("one-train", change)
    with pytest.raises(DataError) as caught:
        evaluate(opened(runs.stage1, spec), dataclasses.replace(fast, protocol=protocol))
    assert str(caught.value) == (
        "Training with labels needs at least two labelled studies in the split train, and "
        f"{spec} has 1."
    )


class TestPublishedNumbers:
    """They stand beside a result only if recipe, protocol, data set and split are theirs."""

    FITS = {
        "of": {"recipe": ["sm3", "sep_sep"], "data": ["derm7pt:folder"]},
        "data": ["derm7pt:folder"],
        "protocol": "probe",
        "split": "test",
    }

    def test_all_fit(self):
        found = _published_number(self.FITS)["published"]
        assert (found["row"], found["table"], found["mark"]) == ("sep_sep", "5", "79.5")
        assert found["auc"] == 79.5

    def test_ranks_on_the_training_split(self):
        """Table 6 ranks the pairs that the networks were trained on."""
        record = {**self.FITS, "protocol": "match"}
        found = _published_number({**record, "split": "train"})["published"]
        assert (found["row"], found["table"], found["mark"]) == ("sep_sep", "6", "7.23")
        assert found["mean_rank"] == 7.23
        assert "auc" not in found
        assert _published_number(record) == {}
        assert _published_number({**record, "split": "train", "data": ["milk10k:folder"]}) == {}

    @pytest.mark.parametrize(
        "change",
        [
            {"protocol": "finetune"},
            {"protocol": "knn"},
            {"split": "val"},
            {"data": ["milk10k:folder"]},
            {"data": ["derm7pt:folder", "milk10k:folder"]},
            {"of": {"recipe": ["quick"], "data": ["derm7pt:folder"]}},
            {"of": {"recipe": ["small", "sep_sep"], "data": ["derm7pt:folder"]}},
            {"of": {"recipe": [], "data": ["derm7pt:folder"]}},
            {"of": {"recipe": ["sm3", "sep_sep"], "data": ["milk10k:folder"]}},
        ],
        ids=[
            "finetune",
            "knn",
            "val",
            "milk10k",
            "pooled",
            "recipe",
            "reduced",
            "no-recipe",
            "pre-trained",
        ],
    )
    def test_one_does_not(self, change):
        assert _published_number({**self.FITS, **change}) == {}

    def test_a_supervised_system_is_fine_tuned(self):
        of = {"recipe": ["sm3", "amfam"], "data": ["derm7pt:folder"]}
        record = {**self.FITS, "of": of, "protocol": "finetune"}
        assert _published_number(record)["published"]["auc"] == 84.5
        assert _published_number({**record, "protocol": "probe"}) == {}

    def test_another_classifier_than_that_of_the_recipe_has_none(
        self, opened, fast, runs, monkeypatch, tmp_path
    ):
        number = {"published": {"auc": 78.2}}
        monkeypatch.setattr("sm3kit.evaluation.evaluate._published_number", lambda record: number)
        subject = opened(runs.stage1)
        usual = evaluate(subject, fast, tmp_path / "linear.json")
        assert usual["published"] == number["published"]
        other = dataclasses.replace(fast, classifier="logistic")
        assert "published" not in evaluate(subject, other, tmp_path / "logistic.json")

    def test_a_tiny_run_has_none(self, evaluated, runs):
        assert "published" not in evaluated(runs.stage1, protocol="knn")


def test_a_failed_evaluation_leaves_the_older_result(opened, evaluated, fast, runs, monkeypatch):
    before = evaluated(runs.stage1, protocol="knn")
    subject = opened(runs.stage1)

    def fail(*rest):
        raise DataError("no")

    monkeypatch.setattr("sm3kit.evaluation.evaluate.summarise", fail)
    with pytest.raises(DataError):
        evaluate(subject, dataclasses.replace(fast, protocol="knn"))
    assert json.loads(result_file(subject, fast).with_name("knn-test.json").read_text()) == before


def test_a_folder_that_cannot_be_written(opened, fast, runs):
    (runs.stage1 / "eval").write_text("no folder", "utf-8")
    with pytest.raises(SM3Error, match="Cannot write .*knn-test.predictions.npz"):
        evaluate(opened(runs.stage1), dataclasses.replace(fast, protocol="knn"))

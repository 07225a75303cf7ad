"""A modality that is missing at test: what is measured, what stands in for it, and what is refused."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch._subclasses.fake_tensor import FakeTensorMode

from sm3kit.core.errors import DataError, VariantError
from sm3kit.data.batches import Collate
from sm3kit.deployment.predictor import open_predictors
from sm3kit.deployment.question import Question, find_studies
from sm3kit.deployment.reading import read_and_predict
from sm3kit.evaluation.choices import check_choices
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.labelling.label_network import of_raw_views
from sm3kit.evaluation.missing.dropped import dropped_text, measure_name, protocol_and_drop
from sm3kit.evaluation.missing.filling import new_filling
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.predictions import Predictions
from sm3kit.networks.branches import Branches
from sm3kit.report.material import gather
from sm3kit.results.evaluation_table import evaluation_section
from sm3kit.runs.folder import RunFolder

EVALUATION = "eval"


def scores(record):
    """{label: probabilities} of a result, and its ids."""
    file = record["file"].removesuffix(".json") + ".predictions.npz"
    kept = Predictions.load(__import__("pathlib").Path(file))
    return {name: label.scores for name, label in kept.labels.items()}, list(kept.ids)


def test_dropping_is_as_if_the_images_had_never_been_there(runs, evaluated, studies):
    """The training is the same, and the measured studies have lost one image each."""

    def lose(i, row):
        return row | {"clinic": ""} if row["split"] == "test" else row

    whole = evaluated(runs.stage1, studies("whole", lambda i, row: row))
    dropped = evaluated(runs.stage1, studies("whole", lambda i, row: row), drop=("clinic",))
    without = evaluated(runs.stage1, studies("lost", lose))
    assert scores(dropped)[0]["tone"] == pytest.approx(scores(without)[0]["tone"])
    assert not np.allclose(scores(dropped)[0]["tone"], scores(whole)[0]["tone"])
    weights = [load_file(one["file"].replace(".json", ".safetensors")) for one in (whole, dropped)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_result_says_what_was_dropped(runs, evaluated):
    whole = evaluated(runs.stage1, protocol="knn")
    record = evaluated(runs.stage1, protocol="knn", drop=("0.5:clinic",))
    count = record["dropped"]["images"]["clinic"]
    assert 0 < count < 8
    assert record["dropped"] == {"images": {"clinic": count}, "studies": 8, "left_out": []}
    assert record["settings"]["drop"] == ["0.5:clinic"]
    assert record["data_hash"] == whole["data_hash"]
    assert record["notes"] == [
        f"Measured without images: clinic of {count} of the 8 studies. The training studies keep theirs."
    ]
    text = f"without clinic in {count} of 8"
    assert dropped_text(record) == text and dropped_text(whole) == ""
    assert evaluation_section(record).title == f"knn, {text}"
    titles = [result.title for result in gather(runs.stage1).results]
    assert titles == ["knn, split test", f"knn, split test, {text}"]
    names = {file.name for file in (runs.stage1 / EVALUATION).glob("*.json")}
    assert names == {"knn-test.json", "knn-test-without-0.5-clinic.json"}


def test_a_study_with_nothing_left_is_left_out_and_counted(runs, evaluated, studies):
    def only_clinic(i, row):
        return row | {"derm": ""} if i in (4, 9) else row  # Of the split test.

    data = studies("few", only_clinic)
    record = evaluated(runs.stage1, data, protocol="knn", drop=("clinic",))
    assert record["cases"] == 6
    assert len(record["dropped"]["left_out"]) == 2
    assert record["notes"][-1].startswith("2 studies have no other image and are left out: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"drop": ("clinik",)},
            "--drop clinik: No modality named 'clinik'. Did you mean 'clinic'?",
        ),
        ({"drop": ("clinic", "derm")}, "has an image left without clinic and derm. Drop fewer"),
        (
            {"protocol": "match", "drop": ("derm",)},
            "Drop a smaller share of the images, such as --drop 0.1:derm.",
        ),
        (
            {"protocol": "match", "drop": ("1:clinic",)},
            "Drop a smaller share of the images, such as --drop 0.1:clinic.",
        ),
        (
            {"drop": ("1e-9:derm",)},
            "has an image of derm to drop. Leave out --drop, or drop a larger",
        ),
    ],
)
def test_a_drop_that_leaves_nothing_to_measure(runs, evaluated, changes, message):
    with pytest.raises((VariantError, DataError)) as caught:
        evaluated(runs.stage1, **changes)
    assert message in str(caught.value)
    assert not (runs.stage1 / EVALUATION).exists()


def test_what_is_left_of_the_pairs_is_matched(runs, evaluated):
    record = evaluated(runs.stage1, protocol="match", select="last", drop=("0.5:clinic",))
    left = 8 - record["dropped"]["images"]["clinic"]
    assert all(way["n"] == left for ways in record["space"].values() for way in ways.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"protocol": "knn", "missing": "token"},
            "--missing token is learned with the labels, and",
        ),
        (
            {"classifier": "logistic", "missing": "token"},
            "--missing token is learned in steps, and",
        ),
        (
            {"protocol": "match", "missing": "mean"},
            "--missing mean has no effect on --protocol match.",
        ),
        (
            {"classifier": "f4m", "missing": "complete"},
            "--missing complete has no effect on --classifier f4m, which has its own rule for a "
            "missing modality. Leave it out, or use --classifier linear or logistic.",
        ),
        (
            {"classifier": "logistic", "modality_dropout": 0.5},
            "-o evaluate.modality_dropout=0.5 has no effect on --classifier logistic, which is",
        ),
    ],
)
def test_a_rule_that_has_no_effect_is_refused(fast, changes, message):
    with pytest.raises(VariantError) as caught:
        check_choices(dataclasses.replace(fast, **changes))
    assert str(caught.value).startswith(message)


CHOICES = [
    {"missing": "mean", "classifier": "logistic"},
    {"missing": "complete", "members": 2},
    {"missing": "token"},
    {"missing": "complete", "protocol": "finetune", "epochs": 1},
    {"missing": "token", "protocol": "finetune", "epochs": 1},
]


@pytest.mark.parametrize("changes", CHOICES, ids=lambda one: "-".join(map(str, one.values())))
def test_a_prediction_fills_in_what_the_evaluation_did(runs, opened, fast, images, changes):
    """Studies of the split test without their clinical images, by the classifier that was kept."""
    subject = opened(runs.stage1)
    record = evaluate(subject, dataclasses.replace(fast, drop=("clinic",), **changes))
    measured, ids = scores(record)
    (predictor,) = open_predictors([runs.stage1])
    question = Question(split="test", drop=("clinic",))
    studies = find_studies(predictor, question)
    assert [case.study.id for case in studies.cases] == ids
    _, tables = read_and_predict(predictor, studies, images, subject.reporter)
    for name, rows in zip(measured, tables, strict=True):
        assert rows.numpy() == pytest.approx(measured[name], abs=1e-6)
    zeros = evaluate(subject, dataclasses.replace(fast, drop=("clinic",)), label="zeros")
    assert not np.allclose(scores(zeros)[0]["tone"], measured["tone"])


def test_a_graph_fills_in_too(runs, opened, fast):
    """The path of an exported graph has no branch on what is present."""
    subject = opened(runs.stage1)
    evaluate(subject, dataclasses.replace(fast, missing="complete"))
    (predictor,) = open_predictors([runs.stage1])
    cases = subject.measured(dataclasses.replace(fast, drop=("clinic",)))
    views = subject.views_of(cases, 0)
    batch = Collate(predictor.streams)([views[-1, place] for place in range(len(cases))])
    raw = {"derm": batch.views["derm"][0], "clinic": batch.views["derm"][0]}  # Any values.
    ((branches, member),) = predictor.members
    with torch.no_grad():
        logits = of_raw_views(member, branches, raw, batch.present)
    (wanted,) = [predictor.probabilities([batch])]
    for rows, own in zip(logits["joint"], wanted, strict=True):
        assert rows.double().softmax(dim=1).numpy() == pytest.approx(own.numpy(), abs=1e-5)


@pytest.mark.parametrize("protocol", ["knn", "clusters"])
def test_protocols_without_a_training_fill_in(runs, evaluated, protocol):
    run = runs.stage1 if protocol == "knn" else runs.stage2
    select = {"select": "last"}
    part = "clusters" if protocol == "clusters" else "labels"
    zeros, complete = (
        evaluated(run, protocol=protocol, drop=("derm",), missing=rule, label=rule, **select)
        for rule in ("zeros", "complete")
    )
    assert zeros[part] != complete[part]


def test_what_is_fitted_knows_no_measured_study(runs, opened, fast):
    """The mean by hand: of the features of the training studies under the evaluation view."""
    subject = opened(runs.stage1)
    record = evaluate(subject, dataclasses.replace(fast, missing="mean"))
    weights = load_file(record["file"].replace(".json", ".safetensors"))
    features = subject.features(subject.cases("train", labelled=False)).whole()
    wanted = features["clinic"].double().mean(dim=0).float()
    assert torch.allclose(weights["filling.estimates.clinic.0.bias"], wanted, atol=1e-6)


def test_too_many_modalities_are_refused(fast):
    from sm3kit.evaluation.missing.fitting import check_count

    settings = dataclasses.replace(fast, missing="complete")
    check_count(settings, dict.fromkeys("abcde", 2))
    remedies = [
        ({}, "mean or token"),
        ({"protocol": "finetune"}, "mean or token"),
        ({"classifier": "logistic"}, "mean"),
        ({"protocol": "knn"}, "mean"),
        ({"protocol": "clusters"}, "mean"),
    ]
    for changes, others in remedies:
        with pytest.raises(VariantError) as caught:
            check_count(dataclasses.replace(settings, **changes), dict.fromkeys("abcdef", 2))
        assert str(caught.value).endswith(
            f"so it takes at most 5, and the run has 6. Use --missing {others}."
        )
        for rule in others.split(" or "):
            check_choices(dataclasses.replace(settings, **changes, missing=rule))


def test_what_is_fitted_needs_training_studies(runs, evaluated, studies):
    data = studies("tests", lambda i, row: row if row["split"] == "test" else None)
    with pytest.raises(DataError) as caught:
        evaluated(runs.stage2, data, protocol="clusters", select="last", missing="mean")
    assert str(caught.value) == (
        f"--missing mean is fitted to the split train, and {data} has no study in it. Use "
        "--missing zeros, or add data that have one."
    )
    evaluated(runs.stage2, data, protocol="clusters", select="last", missing="zeros")


# On a GPU, of which a fake has no values and refuses to compute with tensors of the CPU


@pytest.mark.parametrize("rule", ["zeros", "mean", "complete"])
def test_rows_are_filled_in_where_the_networks_are(runs, opened, monkeypatch, rule):
    subject = opened(runs.stage1)
    widths = subject.branches.widths

    class OnCPU:
        """Features of eight studies, as they come from the cache."""

        present = dict.fromkeys(widths, torch.ones(8, dtype=torch.bool))

        def __len__(self):
            return 8

        def rows(self, places):
            return {name: torch.ones(len(places), width) for name, width in widths.items()}

        def whole(self):
            return self.rows(range(8))

    def join(self, rows, present):
        assert {own.device.type for own in (*rows.values(), *present.values())} == {"cuda"}
        return torch.cat(list(rows.values()), dim=1)

    monkeypatch.setattr(Subject, "features", lambda self, cases: OnCPU())
    monkeypatch.setattr("sm3kit.evaluation.subject.ROWS", 3)
    move = "sm3kit.evaluation.missing.filling.to_device"
    monkeypatch.setattr(move, lambda mask, device: mask.to(device))
    monkeypatch.setattr("sm3kit.evaluation.subject.check_features", lambda *_: None)
    monkeypatch.setattr(Branches, "device", torch.device("cuda"))
    monkeypatch.setattr(Branches, "joint", join)
    with FakeTensorMode(allow_non_fake_inputs=True):
        joint = subject.joint([], new_filling(rule, widths).to("cuda"))
    assert (joint.shape, joint.device.type) == ((8, sum(widths.values())), "cpu")


def test_who_was_there_is_known_where_the_features_are():
    with FakeTensorMode():
        rows, mask = torch.ones(2, 3, device="cuda"), torch.ones(2, device="cuda") > 0
        networks = SimpleNamespace(streams=lambda *_: {"joint": [rows]})
        spaces = Branches.embed(networks, {"derm": rows}, {"derm": mask})
    tables = (spaces.features, spaces.streams, spaces.present)
    assert {own.device.type for table in tables for own in table.values()} == {"cpu"}


# What the record says of it


@pytest.mark.parametrize("members", [1, 2])
def test_the_score_is_that_of_the_network_that_is_kept(runs, evaluated, studies, members):
    """Of the split that chooses, whose studies all lack a modality."""

    def lose(i, row):
        return row | {"derm": ""} if row["split"] == "val" else row

    choices = {"protocol": "finetune", "split": "val", "epochs": 1, "members": members}
    record = evaluated(runs.stage1, studies("lost", lose), missing="complete", **choices)
    assert record["selection_auc"] == pytest.approx(record["mean"]["auc"])


def test_the_order_of_drops_has_no_meaning(runs, evaluated, fast):
    one, other = ("0.9:derm", "0.5:clinic"), ("0.5:clinic", "0.9:derm")
    assert dataclasses.replace(fast, drop=one) == dataclasses.replace(fast, drop=other)
    first = evaluated(runs.stage1, protocol="knn", drop=one)
    assert evaluated(runs.stage1, protocol="knn", drop=other)["settings"] == first["settings"]


def test_a_share_takes_the_same_studies_of_pooled_data(runs, opened, studies, fast):
    spec = studies("own")
    settings = dataclasses.replace(fast, drop=("0.5:clinic",))
    evaluate(opened(runs.stage1), fast)
    (predictor,) = open_predictors([runs.stage1])
    both = (spec, studies("again", lambda i, row: row))
    question = Question(data=both, split="test", drop=settings.drop)

    def taken(cases):
        return sorted(
            case.study.id.rpartition("/")[2] for case in cases if "clinic" not in case.images
        )

    alone = taken(opened(runs.stage1, spec).measured(settings))
    assert 0 < len(alone) < 8
    assert taken(opened(runs.stage1, *both).measured(settings)) == sorted(2 * alone)
    asked = find_studies(predictor, question).cases
    assert taken(asked) == sorted(2 * alone)
    assert {case.study.id.partition("/")[0] for case in asked} == {"manifest", "manifest2"}


def test_members_share_what_does_not_learn(runs, opened, fast, monkeypatch):
    """In memory; the file of the classifier has it for each."""
    kept = []
    monkeypatch.setattr("sm3kit.evaluation.evaluate.save_classifier", lambda network, *_: kept.append(network))  # fmt: skip
    for rule in ("complete", "token"):
        settings = dataclasses.replace(fast, missing=rule, members=2, epochs=1)
        evaluate(opened(runs.stage1), settings, label=rule)
    of_rules = [[member.filling for member in network.members] for network in kept]
    assert of_rules[0][0] is of_rules[0][1]
    assert of_rules[1][0] is not of_rules[1][1]


def test_names_of_measurements_are_read_as_they_are_written():
    assert protocol_and_drop(measure_name("probe", "0.5:a without b")) == (
        "probe",
        ("0.5:a without b",),
    )
    assert protocol_and_drop("probe") == ("probe", ())


def test_a_command_says_every_drop(runs, opened, fast):
    from sm3kit.evaluation.command import evaluate_command

    subject = opened(runs.stage1)
    settings = dataclasses.replace(fast, drop=("0.5:clinic", "derm"), missing="mean")
    words = evaluate_command([subject], settings)
    assert "--drop 0.5:clinic --drop derm --missing mean" in words
    assert RunFolder(runs.stage1).model.is_file()

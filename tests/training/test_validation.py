"""What validation studies tell during a training, against a second way to compute it."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score
from tiny_runs import altered

from sm3kit.cli.main import cli as main
from sm3kit.data.cases import Case
from sm3kit.datasets.base import LabelSpec
from sm3kit.networks.pair_spaces import PairSpaces
from sm3kit.python.run import open_run
from sm3kit.runs.epoch_rows import series
from sm3kit.training import stage1
from sm3kit.training.observing.validation import knn_row

LABELS = [LabelSpec("grade", ("low", "high"), "high"), LabelSpec("site", ("a", "b", "c"), "")]
COUNT = 40


def made_up(seed=0):
    """Studies whose grade shows in the first dimension; two of a patient, and some unlabelled."""
    draw = torch.Generator().manual_seed(seed)
    cases = [
        Case(None, 0, {}, (int(i % 3 == 0) if i % 10 else -1, i % 3 if i % 7 else -1), i // 2)
        for i in range(COUNT)
    ]
    features = {name: torch.randn(COUNT, 6, generator=draw) for name in ("derm", "clinic")}
    for i, case in enumerate(cases):
        features["derm"][i, 0] += 2 * (case.labels[0] == 1)
    present = {"derm": torch.ones(COUNT, dtype=torch.bool), "clinic": torch.arange(COUNT) % 4 > 0}
    return cases, PairSpaces(features, {}, present)


def auc_by_loops(rows, cases, neighbours):
    """Each study asks the nearest of other patients, one by one."""
    units = rows.double().numpy()
    units = units / np.linalg.norm(units, axis=1, keepdims=True)
    aucs = []
    for place, label in enumerate(LABELS):
        scores = []
        for i, case in enumerate(cases):
            others = [j for j, other in enumerate(cases) if other.group != case.group]
            near = sorted(others, key=lambda j: -units[i] @ units[j])[:neighbours]
            votes = np.full(len(label.classes), 1e-12)
            for j in near:
                if cases[j].labels[place] >= 0:
                    votes[cases[j].labels[place]] += math.exp(
                        units[i] @ (units[j] - units[near[0]]) / 0.07
                    )
            scores.append(votes / votes.sum())
        truth = np.array([case.labels[place] for case in cases])
        known, scores = truth >= 0, np.array(scores)
        classes = [1] if label.reported else range(len(label.classes))
        of_class = [roc_auc_score(truth[known] == c, scores[known, c]) for c in classes]
        aucs.append(np.mean(of_class))
    return np.mean(aucs)


def test_the_auc_of_neighbours_is_that_of_loops():
    cases, studies = made_up()
    joint = torch.cat([studies.features["derm"], studies.features["clinic"]], dim=1)
    row = knn_row(joint, studies, LABELS, cases)
    labelled = [i for i, case in enumerate(cases) if max(case.labels) >= 0]
    with_clinic = [i for i in labelled if studies.present["clinic"][i]]
    expected = {
        "knn_auc": (joint, labelled),
        "knn_auc/derm": (studies.features["derm"], labelled),
        "knn_auc/clinic": (studies.features["clinic"], with_clinic),
    }
    for column, (rows, places) in expected.items():
        some = [cases[i] for i in places]
        # Every tenth study votes.
        by_loops = auc_by_loops(rows[places], some, len(places) // 10)
        assert row[column] == pytest.approx(by_loops, abs=1e-6), column
    assert row["knn_auc_of"] == len(labelled)
    assert row["knn_auc/derm"] > row["knn_auc/clinic"] + 0.1


def test_its_error_is_what_other_studies_would_change():
    """The deviation over many draws of the studies is about the one that each draw tells."""
    rows = [knn_row(s.features["derm"], s, LABELS, c) for c, s in map(made_up, range(30))]
    spread = np.std([row["knn_auc"] for row in rows], ddof=1)
    told = np.mean([row["knn_auc_error"] for row in rows])
    assert 0.5 < told / spread < 2


def test_without_two_classes_there_is_no_auc():
    cases, studies = made_up()
    same = [dataclasses.replace(case, labels=(1, -1)) for case in cases]
    assert knn_row(studies.features["derm"], studies, LABELS, same) == {}
    unknown = [dataclasses.replace(case, labels=(-1, -1)) for case in cases]
    assert knn_row(studies.features["derm"], studies, LABELS, unknown) == {}


def test_a_run_knows_its_start(tiny, train, monkeypatch):
    """Epoch 0 has the numbers of the untrained networks: those of a run without any epoch."""
    outcome, said = train(tiny)
    start, *epochs = outcome.run.history()
    assert [start["epoch"], *(row["epoch"] for row in epochs)] == ["0", "1", "2"]
    assert epochs == outcome.run.metrics()
    assert [line for line in said.splitlines() if line.startswith("start    rank ")]
    for column in ("rank/derm->clinic", "knn_auc", "knn_auc/derm", "knn_auc/clinic"):
        assert [epoch for epoch, _ in series([start, *epochs], column)] == [0, 1, 2]
    assert all(1 < float(epochs[-1][f"lidar/{name}"]) <= 8 for name in ("derm", "clinic"))
    untrained, _ = train(altered(tiny, stage1={"epochs": 0}), "untrained")
    rank = untrained.ranks["val"]["backbone"]["derm->clinic"][0]
    assert float(start["rank/derm->clinic"]) == pytest.approx(rank)


def test_no_look_costs_nothing(tiny, train, monkeypatch):
    def never(*arguments):
        raise AssertionError("a look")

    monkeypatch.setattr(stage1, "discrimination", never)
    monkeypatch.setattr("sm3kit.training.observing.validation.validation_row", never)
    off = altered(tiny, stage1={"monitor_every": 0, "epochs": 1})
    outcome, _ = train(off)
    assert not outcome.run.start_file.exists()
    assert not [name for name in outcome.run.metrics()[0] if name.startswith(("knn", "lidar"))]


def test_looks_change_no_weight(tiny, train):
    """Nothing is trained by what is looked at, labels included."""
    weights = []
    for every in (0, 1):
        outcome, _ = train(altered(tiny, stage1={"monitor_every": every}), f"every{every}")
        weights.append(outcome.run.trained().weights)
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_start_of_an_earlier_try_does_not_stay(tiny, train, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "start.csv").write_text("stage,epoch,knn_auc\nmmssl,0,0.9\n")
    outcome, _ = train(altered(tiny, stage1={"monitor_every": 0, "epochs": 1}))
    assert not outcome.run.start_file.exists()


def test_the_command_ends_with_a_verdict(tmp_path):
    """As text, as JSON and in Python."""
    run = tmp_path / "run"
    words = ["pretrain", "--data", "synthetic:40", "--stage", "mmssl", "--epochs", "1"]
    words += ["--image-size", "32", "-o", "synthetic.size=32", "--out", str(run), "--json"]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    verdict = json.loads(done.stdout)["verdict"]
    assert verdict["collapsed"] is False
    assert verdict["improving"] is None
    assert f"verdict  {verdict['sentences'][0]}" in done.stderr
    assert f"advice   {verdict['advice'][0]}" in done.stderr
    assert list(open_run(run).verdict.sentences) == verdict["sentences"]

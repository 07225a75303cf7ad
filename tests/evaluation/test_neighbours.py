"""kNN: votes counted by hand, and who may vote."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from sm3kit.core.errors import DataError
from sm3kit.evaluation import neighbours
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.predictions import Predictions
from sm3kit.nn import neighbours as nn_neighbours
from sm3kit.nn.neighbours import votes

# Four directions in a plane, and what is known of them.
BANK = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]])
TRUTH = torch.tensor([[0, 1], [1, -1], [1, 0], [0, 0]])
QUERY = torch.tensor([[1.0, 0.0]])
NOBODY = torch.arange(4)  # Groups of one each.


def test_votes_by_hand():
    """Similarities 1, 0.6, 0, -1; with temperature 0.5 votes weigh e^2 times as much per 1."""
    (one, three), weight = votes(QUERY, BANK, TRUTH, [2, 2], [1, 3], 0.5), lambda s: math.exp(2 * s)
    assert one[0].tolist() == [pytest.approx([1, 0])]
    total = weight(1) + weight(0.6) + weight(0)
    # Similarities are in float32.
    assert three[0][0].tolist() == pytest.approx(
        [weight(1) / total, (weight(0.6) + weight(0)) / total], abs=1e-6
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["queries", "bank"])
def test_who_is_not_finite_has_no_neighbours(where, value):
    given = {"queries": QUERY.clone(), "bank": BANK.clone()}
    given[where][0, 1] = value
    with pytest.raises(DataError) as caught:
        votes(given["queries"], given["bank"], TRUTH, [2, 2], [1], 0.5)
    assert str(caught.value) == (
        f"Neighbours need finite features, and the {where} hold NaN or infinity. Lower the learning "
        "rate of the training that made them."
    )


def test_an_unknown_neighbour_does_not_vote():
    (found,) = votes(QUERY, BANK, TRUTH, [2, 2], [3], 0.5)
    total = math.exp(2) + 1
    assert found[1][0].tolist() == pytest.approx([1 / total, math.exp(2) / total], abs=1e-6)


def test_where_no_neighbour_knows_the_label_all_classes_are_equal():
    (found,) = votes(BANK[1:2], BANK, TRUTH, [2, 3], [1], 0.07)
    assert found[1][0].tolist() == pytest.approx([1 / 3] * 3)


def test_who_is_the_same_takes_no_part_in_the_vote():
    (found,) = votes(BANK, BANK, TRUTH, [2, 2], [1], 0.07, groups=(NOBODY, NOBODY))
    # The nearest others are rows 1, 2, 1 and 2, all of class 1.
    assert found[0].argmax(1).tolist() == [1, 1, 1, 1]
    (found,) = votes(BANK, BANK, TRUTH, [2, 2], [1], 0.07)
    assert found[0].argmax(1).tolist() == [0, 1, 1, 0]


def test_a_whole_group_takes_no_part_in_the_vote():
    """Rows 1 and 2 are of one patient: the nearest other of both is row 0."""
    groups = torch.tensor([0, 1, 1, 2])
    (found,) = votes(BANK, BANK, TRUTH, [2, 2], [1], 0.07, groups=(groups, groups))
    assert found[0].argmax(1).tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("k", [1, 3])
def test_where_all_are_the_same_all_classes_are_equal(k):
    groups = torch.tensor([0, 1, 9, 2]), torch.full((4,), 9)
    (found,) = votes(BANK, BANK, TRUTH, [2, 3], [k], 0.07, groups=groups)
    assert found[0][2].tolist() == pytest.approx([1 / 2] * 2)
    assert found[1][2].tolist() == pytest.approx([1 / 3] * 3)
    (alone,) = votes(BANK, BANK, TRUTH, [2, 3], [k], 0.07)
    others = [0, 1, 3]
    for one, other in zip(found, alone, strict=True):
        assert torch.equal(one[others], other[others])


def test_more_neighbours_than_others_count_the_others_alone():
    groups = torch.tensor([0]), torch.tensor([0, 0, 1, 1])
    (found,) = votes(QUERY, BANK, TRUTH, [2, 2], [4], 0.5, groups=groups)
    # Row 2 (class 1, similarity 0) and row 3 (class 0, similarity -1).
    total = 1 + math.exp(-2)
    assert found[0][0].tolist() == pytest.approx([math.exp(-2) / total, 1 / total], abs=1e-6)


def test_far_neighbours_and_small_temperatures_stay_finite():
    (found,) = votes(-QUERY, BANK[:1], TRUTH[:1], [2, 2], [1], 1e-3)
    assert torch.isfinite(found[0]).all()
    assert found[0][0].tolist() == pytest.approx([1, 0])


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize(("chunk", "most"), [(7, 2**26), (1024, 100), (1024, 1)])
def test_chunks_do_not_matter(grouped, chunk, most, monkeypatch):
    torch.manual_seed(0)
    bank = F.normalize(torch.randn(23, 6), dim=1)
    truth = torch.randint(-1, 3, (23, 2))
    own = torch.arange(23) // 2
    groups = (own, own) if grouped else None
    whole = votes(bank, bank, truth, [3, 3], [1, 5], 0.07, groups)
    monkeypatch.setattr(nn_neighbours, "MOST", most)
    parts = votes(bank, bank, truth, [3, 3], [1, 5], 0.07, groups, chunk)
    for one, other in zip(whole, parts, strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_fewer_neighbours_are_the_nearest_of_more():
    together = votes(QUERY, BANK, TRUTH, [2, 2], [1, 2, 4], 0.07)
    for number, k in enumerate((1, 2, 4)):
        alone = votes(QUERY, BANK, TRUTH, [2, 2], [k], 0.07)[0]
        assert torch.equal(together[number][0], alone[0])


@pytest.fixture
def known(monkeypatch):
    """Joint features that are the first label; queries equal to a bank row find it first."""

    def joint(subject, cases, filling=None):
        rows = torch.zeros(len(cases), 2)
        rows[torch.arange(len(cases)), torch.tensor([case.labels[0] for case in cases])] = 1
        return rows

    monkeypatch.setattr(Subject, "joint", joint)


def test_neighbours_that_tell_the_label_give_a_perfect_score(evaluated, runs, known):
    record = evaluated(runs.stage1, protocol="knn")
    assert record["labels"]["shape"]["auc"] == 1
    assert record["trainable_parameters"] == 0
    assert set(record["chosen"]) == {"k"}


def test_the_train_split_leaves_each_study_out(evaluated, runs, monkeypatch):
    seen = []
    real = neighbours.votes

    def watched(*rest):
        seen.append(rest[-1])
        return real(*rest)

    monkeypatch.setattr(neighbours, "votes", watched)
    record = evaluated(runs.stage1, protocol="knn", split="train")
    # Validation studies choose k: they are no rows of the bank.
    val, train = ((own.unsqueeze(1) == bank) for own, bank in seen)
    assert val.shape == (8, 24)
    assert not val.any()
    assert torch.equal(train, torch.eye(24, dtype=torch.bool))
    assert record["cases"] == 24
    # With itself in the bank each study would find its own label.
    alone = evaluated(runs.stage1, protocol="knn", split="train", select="last", k=1, label="near")
    assert alone["mean"]["accuracy"] < 1
    seen.clear()
    evaluated(runs.stage1, protocol="knn", split="train", select="test_best")
    assert [torch.equal(own.unsqueeze(1) == bank, train) for own, bank in seen] == [True, True]


def test_the_train_split_leaves_each_patient_out(studies, evaluated, runs, monkeypatch):
    """Each patient has two studies, and no other patient a label like theirs."""

    def change(i, row):
        # Rows 0 to 2 of five are for training.
        place = i // 5 * 3 + i % 5
        patient = place // 2 if row["split"] == "train" else 100 + i
        shape = "abcdefghijkl"[place // 2] if row["split"] == "train" else "ab"[i // 5 % 2]
        return {**row, "group": f"p{patient}", "shape": shape}

    def joint(subject, cases, filling=None):
        rows = torch.zeros(len(cases), 12)
        rows[torch.arange(len(cases)), torch.tensor([case.labels[0] for case in cases])] = 1
        return rows

    monkeypatch.setattr(Subject, "joint", joint)
    spec = studies("patients", change)
    chosen = {"protocol": "knn", "split": "train", "select": "last", "k": 1}
    record = evaluated(runs.stage1, spec, **chosen)
    assert (record["cases"], record["groups"]) == (24, 12)
    kept = Predictions.load(Path(record["file"]).with_suffix(".predictions.npz"))
    label = kept.labels["shape"]
    # The partner, whose features are the same, would have told the label.
    assert not (label.scores.argmax(1) == label.truth).any()


@pytest.mark.parametrize(("split", "most"), [("test", 24), ("train", 23)])
def test_a_k_above_the_bank_is_cut_and_said(opened, fast, runs, split, most):
    subject = opened(runs.stage1)
    settings = dataclasses.replace(fast, protocol="knn", select="last", k=500, split=split)
    record = evaluate(subject, settings)
    assert record["chosen"] == {"k": most}
    assert f"k        {most}: there are no more training studies\n" in subject.reporter.said()


def test_a_k_that_is_chosen_is_not_spoken_of(opened, fast, runs):
    subject = opened(runs.stage1)
    record = evaluate(subject, dataclasses.replace(fast, protocol="knn", k=500))
    assert record["chosen"]["k"] in (1, 3, 5, 10, 20)
    assert "no more training studies" not in subject.reporter.said()


def test_the_smallest_of_equal_k_is_chosen(evaluated, runs, known, monkeypatch):
    monkeypatch.setattr(neighbours, "mean_auc", lambda predictions: 0.5)
    assert evaluated(runs.stage1, protocol="knn")["chosen"] == {"k": 1}

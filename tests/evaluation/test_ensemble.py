"""Ensembles: members that learn as if each were alone, balanced subsets, and what is kept of them."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sm3kit.classifiers.base import Classifier, ClassifierInputs
from sm3kit.core.errors import VariantError
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.labelling.ensemble import Ensemble, balanced_subsets, merged_streams
from sm3kit.evaluation.labelling.label_network import FromFeatures
from sm3kit.losses.ce import CrossEntropy
from sm3kit.metrics.predictions import Predictions
from sm3kit.networks.joint_batches import JointBatch
from sm3kit.training.label_cost import LabelCost

LABELS = {"shape": ("a", "b"), "tone": ("x", "y", "z")}


class TwoStreams(Classifier):
    """Two streams of the joint feature, of which the second counts half."""

    on = "joint"

    def __init__(self, inputs):
        super().__init__(inputs)
        self.heads = nn.ModuleList(nn.Linear(4, count) for count in (*self.classes, *self.classes))
        self.stream_weights = {"two": 0.5}

    def forward(self, features, present):
        rows = [head(features["joint"]) for head in self.heads]
        return {"one": rows[:2], "two": rows[2:]}

    def extra_terms(self):
        return {"size": sum(head.weight.square().sum() for head in self.heads)}


def network(seed):
    torch.manual_seed(seed)
    return FromFeatures(TwoStreams(ClassifierInputs({"joint": 4}, LABELS)))


def batch(count=6):
    joint = torch.randn(count, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, 2], [1, -1], [1, 0], [-1, 1], [0, 0], [1, 2]])[:count]
    return JointBatch(joint, labels, torch.arange(count))


def test_the_probabilities_are_the_mean_of_those_of_the_members():
    members = [network(seed) for seed in range(3)]
    ensemble = Ensemble(members)
    streams = ensemble(batch())
    assert list(streams) == ["0/one", "0/two", "1/one", "1/two", "2/one", "2/two"]
    assert ensemble.names_of(streams) == members[0].names_of(members[0](batch())) == ["one", "two"]
    # A modality may be called so.
    assert ensemble.names_of(["0/a/b", "1/a/b"]) == members[0].names_of(["a/b"]) == ["a/b"]
    alone = [member.decide(member(batch())) for member in members]
    for label, rows in enumerate(ensemble.decide(streams)):
        wanted = sum(tables[label] for tables in alone) / 3
        torch.testing.assert_close(rows, wanted, rtol=0, atol=1e-7)
    same = merged_streams(ensemble, [member(batch()) for member in members])
    assert all(torch.equal(a, b) for n in streams for a, b in zip(streams[n], same[n], strict=True))
    assert merged_streams(members[0], [members[0](batch())]).keys() == {"one", "two"}


def test_a_member_learns_as_if_it_were_alone():
    ensemble = Ensemble([network(seed) for seed in range(11)])
    assert [ensemble.weight_of(name) for name in ("0/one", "10/two")] == [1.0, 0.5]
    assert list(ensemble.extra_terms()) == [f"{number}/size" for number in range(11)]
    assert ensemble.labels_of("3/one", batch()) is not None
    # "1/" is not the start of "10/one".
    pairs = list(ensemble.of_members(ensemble(batch())))
    assert [member for member, _ in pairs] == list(ensemble.members)
    for member, own in pairs:
        wanted = member(batch())
        assert list(own) == list(wanted)
        for name, logits in wanted.items():
            assert all(torch.equal(a, b) for a, b in zip(own[name], logits, strict=True))


def test_a_member_sees_the_labels_of_its_subset_alone():
    subsets = torch.tensor([[True, False, True, False, True, False], [False] * 5 + [True]])
    ensemble = Ensemble([network(0), network(1)], subsets)
    whole = batch()
    assert ensemble.labels_of("0/one", whole).tolist() == [
        [0, 2], [-1, -1], [1, 0], [-1, -1], [0, 0], [-1, -1],
    ]  # fmt: skip
    # By the position among the studies, not in the batch.
    part = JointBatch(whole.joint[4:], whole.labels[4:], torch.tensor([4, 5]))
    assert ensemble.labels_of("1/two", part).tolist() == [[-1, -1], [1, 2]]


def test_the_loss_knows_the_classes_of_the_subset():
    whole = batch()
    subsets = torch.tensor([[True, False, True, False, True, False], [True] * 6])
    ensemble = Ensemble([network(0), network(1)], subsets)
    cost = LabelCost("ce", CrossEntropy(), {"shape": 2, "tone": 3}, whole.labels)
    counts = [[rows.tolist() for rows in cost.counts(ensemble, f"{n}/two")] for n in (0, 1)]
    assert counts == [[[2, 1], [2, 0, 1]], [[2, 3], [2, 1, 2]]]
    assert [rows.tolist() for rows in cost.counts(network(0), "two")] == counts[1]


@pytest.mark.parametrize("subsets", ["seeds", "balanced"])
@pytest.mark.parametrize("classifier", ["linear", "logistic"])
def test_folds_and_subsets_may_lack_a_class(opened, fast, runs, classifier, subsets):
    """One of a label's classes has a single study, which one fold and some subsets leave out."""
    subject = opened(runs.stage1)
    cases = subject.pool.cases["train"]
    subject.pool.cases["train"] = [
        dataclasses.replace(case, labels=(int(number == 0), *case.labels[1:]))
        for number, case in enumerate(cases)
    ]
    changes = {"classifier": classifier, "stack": "svm", "subsets": subsets, "epochs": 1}
    record = evaluate(subject, dataclasses.replace(fast, **changes))
    assert "stack" in record["decision"]


def test_subsets_of_one_label_have_equally_many_of_each_class():
    labels = torch.tensor([0] * 40 + [1] * 7 + [2] * 12 + [-1] * 5)[:, None]
    subsets = balanced_subsets(labels, 4, seed=0)
    assert subsets.shape == (4, 64)
    for chosen in subsets:
        drawn = labels[chosen, 0]
        assert torch.bincount(drawn, minlength=3).tolist() == [7, 7, 7] and (drawn >= 0).all()
        assert chosen[40:47].all()  # All of the rarest class.
    assert len({tuple(row.tolist()) for row in subsets}) == 4
    assert torch.equal(subsets, balanced_subsets(labels, 4, seed=0))
    assert not torch.equal(subsets, balanced_subsets(labels, 4, seed=1))


def test_subsets_of_several_labels_prefer_rare_classes():
    rng = np.random.default_rng(0)
    table = np.stack([rng.random(200) < 0.1, rng.random(200) < 0.4], axis=1).astype(int)
    table[0] = -1
    subsets = balanced_subsets(torch.from_numpy(table), 200, seed=0).float()
    assert (subsets.sum(dim=1) == 100).all()
    often = subsets.mean(dim=0).numpy()
    assert often[0] == 0  # Nothing is known of it.
    assert often[table[:, 0] == 1].mean() > 0.9 > 0.6 > often[table[:, 0] == 0].mean()


def test_members_of_a_probe_are_those_of_the_single_seeds(opened, fast, runs):
    whole = evaluate(
        opened(runs.stage1), dataclasses.replace(fast, members=2, select="last"), label="both"
    )
    assert (
        whole["trainable_parameters"]
        == 2 * evaluate(opened(runs.stage1), fast)["trainable_parameters"]
    )
    first = runs.stage1 / "eval" / "probe-test-both.safetensors"
    weights = load_file(first)
    evaluate(opened(runs.stage1), dataclasses.replace(fast, select="last"), label="one")
    alone = load_file(runs.stage1 / "eval" / "probe-test-one.safetensors")
    # The first member has the seed of the run, and the batches are the same.
    for name, value in alone.items():
        torch.testing.assert_close(weights[f"members.0.{name}"], value, rtol=0, atol=1e-6)
        assert not torch.equal(weights[f"members.1.{name}"], value)


@pytest.mark.parametrize("subsets", ["seeds", "balanced"])
def test_a_fine_tuned_ensemble_is_the_mean_of_its_members(opened, fast, runs, subsets):
    changes = {"protocol": "finetune", "epochs": 1, "members": 2, "subsets": subsets}
    record = evaluate(opened(runs.stage2), dataclasses.replace(fast, **changes))
    assert list(record["chosen"]) == ["member 1 epoch", "member 2 epoch"]
    assert record["settings"]["subsets"] == subsets
    weights = load_file(runs.stage2 / "eval" / "finetune-test.safetensors")
    starts = {".".join(name.split(".")[:2]) for name in weights}
    assert starts == {"members.0", "members.1"}
    assert not list((runs.stage2 / "eval").rglob("*.ckpt"))
    kept = Predictions.load(runs.stage2 / "eval" / "finetune-test.predictions.npz")
    assert all(np.allclose(one.scores.sum(1), 1) for one in kept.labels.values())


def test_members_that_would_all_be_the_same_are_refused(opened, fast, runs):
    settings = dataclasses.replace(fast, members=3, classifier="logistic")
    with pytest.raises(VariantError) as caught:
        evaluate(opened(runs.stage1), settings)
    assert str(caught.value) == (
        "--members 3: --classifier logistic does not depend on a seed, so all members would be the "
        "same. Add -o evaluate.subsets=balanced."
    )
    assert not list((runs.stage1 / "eval").glob("*.json"))

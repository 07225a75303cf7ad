"""The probe: heads, with or without the relation, on features that stay as they are."""

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from sm3kit.core.errors import VariantError
from sm3kit.evaluation import learning, probe
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.labelling.label_network import FromFeatures
from sm3kit.evaluation.predicting import scores
from sm3kit.metrics.predictions import Predictions
from sm3kit.networks.extraction import Features

CLASSES = 2 + 3 + 2
EMBEDDING = 16


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def count(module):
    return sum(weight.numel() for weight in module.parameters())


def network(record):
    return load_file(record["file"].replace(".json", ".safetensors"))


def embedding(record):
    """What was saved of the relation, with the names that it has in the classifier."""
    start = "classifier.embedding."
    return {n[len(start) :]: w for n, w in network(record).items() if n.startswith(start)}


def test_labels_reach_the_heads_alone(opened, fast, runs):
    subject = opened(runs.stage1)
    before = state(subject.branches)
    record = evaluate(subject, fast)
    width = subject.branches.joint_width
    assert record["scope"] == "heads"
    assert record["trainable_parameters"] == (width + 1) * CLASSES
    # Parameters and the running statistics of batch norm.
    assert same(before, state(subject.branches))
    assert not subject.branches.training


def test_labels_reach_heads_and_relation_after_stage_2(opened, fast, runs):
    subject = opened(runs.stage2)
    networks, relation = state(subject.branches), state(subject.embedding.relation)
    record = evaluate(subject, fast)
    assert record["scope"] == "relation"
    wanted = count(subject.embedding.relation) + (EMBEDDING + 1) * CLASSES
    assert record["trainable_parameters"] == wanted
    assert same(networks, state(subject.branches))
    after = embedding(record)
    assert [n for n, old in relation.items() if torch.equal(old, after[f"relation.{n}"])] == []
    assert same(relation, state(subject.embedding.relation))


def test_scope_heads_leaves_the_relation_as_it_is(opened, fast, runs, monkeypatch):
    subject = opened(runs.stage2)
    before, modes = state(subject.embedding), set()
    step = learning.Supervised.training_step

    def watched(self, *batch):
        modes.add(self.network.classifier.embedding.relation.layer.training)
        return step(self, *batch)

    monkeypatch.setattr(learning.Supervised, "training_step", watched)
    record = evaluate(subject, dataclasses.replace(fast, scope="heads"))
    assert record["scope"] == "heads"
    assert record["trainable_parameters"] == (EMBEDDING + 1) * CLASSES
    assert same(before, embedding(record))
    assert modes == {False}


def test_heads_start_as_the_prototypes_where_these_fit(opened, studies, runs):
    subject = opened(runs.stage2)
    heads = subject.classifier(relation=True, prototypes=True, seed=0).heads.heads
    kept = load_file(runs.stage2 / "model.safetensors")
    for number, head in enumerate(heads):
        assert torch.equal(head.weight.cpu(), kept[f"prototypes.heads.{number}.weight"])
        assert not head.bias.any()
    plain = subject.classifier(relation=True, prototypes=False, seed=0).heads.heads
    assert not any(torch.equal(a.weight, b.weight) for a, b in zip(heads, plain, strict=True))

    # A class more than there were clusters: this label starts anew, the others do not.
    def change(i, row):
        return {**row, "shape": "c" if i < 5 else row["shape"]}

    other = opened(runs.stage2, studies("three-shapes", change))
    assert [weight is None for weight in other.prototypes] == [True, False, False]
    heads = other.classifier(relation=True, prototypes=True, seed=0).heads.heads
    assert [len(head.weight) for head in heads] == [3, 3, 2]


def test_heads_on_the_joint_feature_take_no_prototypes(opened, runs):
    subject = opened(runs.stage2)
    heads = subject.classifier(relation=False, prototypes=True, seed=0).heads.heads
    assert {head.in_features for head in heads} == {subject.branches.joint_width}


class Separable:
    """An encoder whose features are the labels, with a little noise."""

    def __init__(self, encoder):
        self.precision, self.workers, self.cache = "32-true", 0, encoder.cache
        self.branches = encoder.branches
        self.widths = encoder.branches.widths

    def evaluation(self, shown, number=0):
        return self.random_views(shown, 1, {})

    def random_views(self, shown, views, changes):
        labels = torch.tensor([case.labels for case in shown.cases])
        drawn = torch.Generator().manual_seed(len(shown))
        tables = {}
        for name, width in self.widths.items():
            rows = 0.1 * torch.randn(len(labels), width, generator=drawn)
            for number in range(labels.shape[1]):
                rows[torch.arange(len(labels)), 3 * number + labels[:, number]] += 1
            tables[name] = [rows.numpy()] * views
        return Features(
            tables,
            {name: torch.ones(len(labels), dtype=torch.bool) for name in self.widths},
            labels,
            [case.study.id for case in shown.cases],
            torch.tensor([case.group for case in shown.cases]),
        )


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_probe_learns_what_features_hold(opened, fast, runs, split):
    subject = opened(runs.stage1)
    subject = dataclasses.replace(subject, encoder=Separable(subject.encoder))
    record = evaluate(subject, dataclasses.replace(fast, epochs=40, lr=0.01, split=split))
    assert record["mean"]["auc"] == 1


def test_a_seed_gives_one_result(evaluated, runs):
    one = network(evaluated(runs.stage1, seed=3))
    again = network(evaluated(runs.stage1, seed=3))
    other = network(evaluated(runs.stage1, seed=4))
    assert same(one, again)
    assert not same(one, other)


def test_views_that_are_encoded_in_every_epoch(opened, evaluated, fast, runs):
    cached = evaluated(runs.stage1, epochs=8)
    subject = opened(runs.stage1)
    before = state(subject.branches)
    fresh = evaluate(subject, dataclasses.replace(fast, epochs=8, feature_views=0), label="fresh")
    assert same(before, state(subject.branches))
    assert fresh["trainable_parameters"] == cached["trainable_parameters"]
    # Other views of 24 studies move the mean of three labels a little.
    assert fresh["mean"]["auc"] == pytest.approx(cached["mean"]["auc"], abs=0.25)


def test_without_augmentation_both_ways_of_encoding_agree(evaluated, runs):
    still = {"views": 1, "jitter": 0.0, "grayscale": 0.0, "blur": 0.0}
    still |= {"crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": 0.0}
    cached = network(evaluated(runs.stage1, views=still))
    fresh = network(evaluated(runs.stage1, views=still, feature_views=0, label="fresh"))
    for name, value in cached.items():
        # The same sums in other batches.
        torch.testing.assert_close(fresh[name], value, atol=1e-4, rtol=0)


def test_what_a_probe_cannot_train(opened, fast, runs):
    with pytest.raises(VariantError) as caught:
        evaluate(opened(runs.stage1), dataclasses.replace(fast, scope="relation"))
    assert str(caught.value) == (
        f"--scope relation needs a run that finished stage 2 for these labels, and {runs.stage1} "
        "did not. Use --scope heads."
    )
    with pytest.raises(VariantError) as caught:
        evaluate(opened(runs.stage1), dataclasses.replace(fast, scope="all"))
    assert str(caught.value) == (
        "--protocol probe needs --scope heads or relation, not all. To train the networks, use "
        "--protocol finetune."
    )


def test_the_saved_network_makes_the_saved_predictions(opened, fast, runs):
    record = evaluate(opened(runs.stage2), fast)
    subject = opened(runs.stage2)
    fresh = FromFeatures(subject.classifier(relation=True, prototypes=False, seed=9))
    fresh.load_state_dict(network(record))
    cases = subject.cases("test", labelled=True)
    source = probe._source(subject, fast, cases, augmented=False)
    found = scores(fresh, source.in_order(-1))
    kept = Predictions.load(runs.stage2 / "eval" / "probe-test.predictions.npz")
    for rows, label in zip(found, kept.labels.values(), strict=True):
        assert torch.equal(rows, torch.from_numpy(label.scores))

"""Classifiers, losses and samplers by name: what is refused, and that every one goes all the way."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_runs import altered

from sm3kit.core.errors import DataError, OptionError, UnknownName, VariantError
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.data.batches import eval_loader
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.deployment.predictor import find_classifier, open_predictor
from sm3kit.evaluation.choices import DECISIVE
from sm3kit.evaluation.command import FLAGS
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.labelling.order import order_of_training
from sm3kit.evaluation.settings import UNUSED, settings_of
from sm3kit.metrics.predictions import Predictions
from sm3kit.runs.folder import RunFolder

CLASSIFIERS = registry("classifiers").names()


def protocol_of(name):
    """One that the classifier goes with."""
    component = registry("classifiers").get(name)
    return "finetune" if component.wants_maps or component.wants_views else "probe"


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_is_trained_kept_and_predicts_the_same(opened, fast, runs, name):
    protocol = protocol_of(name)
    subject = opened(runs.stage1)
    settings = dataclasses.replace(fast, classifier=name, protocol=protocol, epochs=1)
    record = evaluate(subject, settings)
    assert record["settings"]["classifier"] == name
    assert record["trainable_parameters"] > 0
    trained = RunFolder(runs.stage1).trained()
    predictor = open_predictor(trained, find_classifier(trained, protocol))
    kept = Predictions.load(runs.stage1 / "eval" / f"{protocol}-test.predictions.npz")
    cases = subject.cases("test", labelled=True)
    size = trained.variant.stage1.batch_size
    batches = list(eval_loader(subject.views_of(cases, 0), size, predictor.streams))
    for rows, label in zip(predictor.probabilities(batches), kept.labels.values(), strict=True):
        assert np.array_equal(rows.numpy(), label.scores)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_with_a_protocol_that_it_cannot_have_is_refused(opened, fast, runs, name):
    component = registry("classifiers").get(name)
    refused = {
        "probe": component.wants_maps or component.wants_views,
        "finetune": component.learns == "fit",
    }
    for protocol in [protocol for protocol, cannot in refused.items() if cannot]:
        settings = dataclasses.replace(fast, classifier=name, protocol=protocol)
        with pytest.raises(VariantError, match=f"--classifier {name} .* Use --protocol "):
            evaluate(opened(runs.stage1), settings)
    assert not (runs.stage1 / "eval").exists()


@pytest.mark.parametrize("family", ["losses", "samplers"])
def test_every_loss_and_sampler_trains(opened, fast, runs, family):
    noun = registry(family).kind.noun
    for name in registry(family).names():
        settings = dataclasses.replace(fast, **{noun: name, "epochs": 1})
        record = evaluate(opened(runs.stage1), settings, label=name)
        assert record["settings"][noun] == name
        assert record["mean"]["auc"] is not None


def test_batches_are_those_of_the_sampler(opened, fast, runs, registered):
    """The shuffled ones are a plain permutation; clusters are of directions, whatever the length."""
    subject, count = opened(runs.stage1), len(opened(runs.stage1).cases("train", labelled=True))
    plain, shuffled = EpochBatches(count, 7, 3), dataclasses.replace(fast, batch_size=7, seed=3)
    assert list(order_of_training(subject, shuffled)) == list(plain)
    by_clusters = dataclasses.replace(shuffled, sampler="cluster_balanced")
    drawn = order_of_training(subject, by_clusters).draw
    assert drawn.labels.shape == (count, len(subject.pool.labels))
    seen = []

    class Looks(registry("clusterers").get("torch")):
        def fit(self, embeddings, k, seed):
            seen.append((embeddings, k))
            return super().fit(embeddings, k, seed)

    class Refuses(Looks):
        def fit(self, embeddings, k, seed):
            raise DataError("Nothing to be seen.")

    registered("clusterers", "looks", Looks)
    registered("clusterers", "refuses", Refuses)
    looks = dataclasses.replace(subject, variant=altered(subject.variant, clusterer="looks"))
    order_of_training(looks, by_clusters)
    assert [k for _, k in seen] == [len(label.classes) for label in subject.pool.labels]
    lengths = seen[0][0].norm(dim=1)
    assert torch.allclose(lengths, lengths[:1].expand(count))
    refuses = dataclasses.replace(subject, variant=altered(subject.variant, clusterer="refuses"))
    with pytest.raises(DataError, match="^--sampler cluster_balanced, clusters for shape: Nothing"):
        order_of_training(refuses, by_clusters)


OTHER = {
    "classifier": "f4m", "loss": "focal", "sampler": "label_balanced", "members": 2,
    "subsets": "balanced", "stack": "svm", "stream_weights": "auc", "test_views": 4,
    "threshold": "f1", "calibration": "temperature",
    "missing": "complete", "modality_dropout": 0.25,
}  # fmt: skip


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        (word, name)
        for word in ("knn", "match", "clusters")
        for name in DECISIVE
        if name in UNUSED[word]
    ],
)
def test_what_a_protocol_would_leave_out_is_refused(opened, fast, runs, protocol, name):
    settings = dataclasses.replace(fast, protocol=protocol, **{name: OTHER[name]})
    words = f"--{name}" if name in FLAGS else f"-o evaluate.{name}="
    with pytest.raises(VariantError) as caught:
        evaluate(opened(runs.stage1), settings)
    assert str(caught.value).startswith(words)
    assert str(caught.value).endswith(
        f"{OTHER[name]} has no effect on --protocol {protocol}. Leave it out, or use --protocol "
        "probe or finetune."
    )
    assert not list((runs.stage1 / "eval").glob("*"))


@pytest.mark.parametrize("name", ["loss", "sampler"])
def test_what_is_fitted_at_once_takes_no_loss_and_no_sampler(opened, fast, runs, name):
    settings = dataclasses.replace(fast, classifier="logistic", **{name: OTHER[name]})
    with pytest.raises(VariantError) as caught:
        evaluate(opened(runs.stage1), settings)
    assert str(caught.value) == (
        f"--{name} {OTHER[name]} has no effect on --classifier logistic, which is fitted at once. "
        "Leave it out, or use another --classifier."
    )
    assert not list((runs.stage1 / "eval").glob("*"))


@pytest.mark.parametrize("noun", ["classifier", "loss", "sampler"])
def test_an_unknown_name_is_refused(noun):
    with pytest.raises(UnknownName, match=f"--{noun} lineer: No {noun} named 'lineer'. "):
        settings_of(Variant(), "probe", {noun: "lineer"}, relation=False)
    # Before a training, if its recipe says so.
    variant = Variant(evaluate={"probe": {noun: "lineer"}})
    with pytest.raises(UnknownName):
        settings_of(variant, "probe", {}, relation=False)


def test_options_of_a_plugin_are_its_own():
    options = {"f4m": {"dropout": "0.1"}, "simclr": {"temperature": 0.2}}
    variant = Variant(options=options)
    settings = settings_of(variant, "finetune", {"classifier": "f4m"}, relation=False)
    assert settings.options == {"f4m": {"dropout": 0.1}}
    assert settings_of(variant, "finetune", {}, relation=False).options == {}
    with pytest.raises(OptionError, match="classifier 'f4m'"):
        settings_of(
            Variant(options={"f4m": {"droput": 1}}),
            "finetune",
            {"classifier": "f4m"},
            relation=False,
        )


def test_a_classifier_without_label_embeddings_has_the_settings_of_stage_1():
    plain = settings_of(Variant(), "probe", {"classifier": "f4m"}, relation=False)
    assert settings_of(Variant(), "probe", {"classifier": "f4m"}, relation=True) == plain
    assert settings_of(Variant(), "probe", {}, relation=True).eps == 1e-8


@pytest.mark.parametrize("protocol", ["probe", "finetune"])
def test_a_label_with_one_class_in_training_is_refused(studies, opened, fast, runs, protocol):
    def change(i, row):
        return {**row, "tone": "low"} if row["split"] == "train" else row

    spec = studies("one-class", change)
    with pytest.raises(DataError) as caught:
        evaluate(opened(runs.stage1, spec), dataclasses.replace(fast, protocol=protocol))
    assert str(caught.value).startswith(
        "The label tone needs training studies of two classes to learn from, and of its "
    )
    assert "in the split train all are low." in str(caught.value)
    assert not (runs.stage1 / "eval").exists()


def test_scope_relation_needs_a_classifier_on_label_embeddings(opened, fast, runs):
    settings = dataclasses.replace(fast, classifier="logistic", scope="relation")
    with pytest.raises(
        VariantError, match="--scope relation needs a classifier on label embeddings"
    ):
        evaluate(opened(runs.stage2), settings)

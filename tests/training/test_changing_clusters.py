"""Runs whose clusterer finds its own number of clusters, or leaves studies out."""

import math

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import altered, quiet, read_table

import sm3kit
from sm3kit.data.image_cache import ImageCache
from sm3kit.evaluation.opening import open_subject
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.report.clusters import nmi_picture, size_picture

# The drawn studies are few: groups of two, and nothing at all.
FINDING = {"hdbscan": {"smallest": 2, "most_clusters": 3}, "auto": {"most_clusters": 4}}
NOTHING = {"hdbscan": {"smallest": 1000}}
LABELS = ["shape", "tone", "edge"]


def choosing(second, clusterer, options, **changes):
    options = {**second.options, clusterer: options[clusterer]}
    return altered(second, clusterer=clusterer, options=options, **changes)


def stage2(folder):
    return [row for row in read_table(folder / "metrics.csv") if row["stage"] == "mlssl"]


def same_networks(first, second):
    own, other = load_file(first.run.model), load_file(second.run.model)
    return own.keys() == other.keys() and all(torch.equal(own[name], other[name]) for name in own)


@pytest.mark.parametrize("clusterer", FINDING)
def test_a_resumed_run_is_the_same_bit_for_bit(second, train, clusterer):
    """Its sampler draws by clusters that come and go."""
    changes = {"sampler": "cluster_balanced", "stage2": {"epochs": 3}}
    variant = choosing(second, clusterer, FINDING, **changes)
    whole, _ = train(variant, "whole")
    train(altered(variant, stage2={"epochs": 1}), "parts")
    parts, _ = train(variant, "parts", resume=True)
    assert same_networks(whole, parts)
    clusters = [torch.load(run.run.mlssl, weights_only=True)["assigned"] for run in (whole, parts)]
    assert torch.equal(*clusters)
    facts = whole.run.trained().facts
    for number, (name, count) in enumerate(facts.labels.items()):
        sizes = stage2(whole.run.folder)[-1][f"sizes/{name}"].split("+")
        weight = load_file(whole.run.model)[f"prototypes.heads.{number}.weight"]
        assert len(sizes) == len(weight) == count
    again, _ = train(altered(variant, stage2={"epochs": 3}), "parts", resume=True)
    assert again.run.trained().facts.labels == facts.labels


def test_what_follows_takes_the_run(second, train, tmp_path):
    """Evaluation, embeddings, export and figures; heads start at prototypes that are as many."""
    outcome, _ = train(choosing(second, "auto", FINDING))
    run = sm3kit.open_run(outcome.run.folder)
    counts = outcome.run.trained().facts.labels
    subject = open_subject(run.folder, [], ImageCache(None), FeatureCache(None), quiet())
    classes = {label.name: len(label.classes) for label in subject.pool.labels}
    assert counts != classes
    for name, start in zip(classes, subject.prototypes, strict=True):
        assert (start is not None) == (counts[name] == classes[name])
    assert set(run.evaluate("probe", epochs=1, quiet=True).labels) == set(LABELS)
    embeddings = run.embed("test", space="embedding", quiet=True)
    assert len(embeddings.ids) == 8
    assert run.export("safetensors", tmp_path / "exported").exists()
    rows = read_table(run.folder / "metrics.csv")
    for draw in (size_picture, nmi_picture):
        assert all(f">{name}" in draw(rows).svg().decode() for name in LABELS)


def test_where_nothing_is_found_a_run_ends_well(second, train):
    """No study counts: the loss is zero, with a gradient, and the row says so."""
    variant = choosing(second, "hdbscan", NOTHING, sampler="cluster_balanced")
    outcome, said = train(variant)
    first, last = stage2(outcome.run.folder)
    for row in (first, last):
        assert float(row["loss"]) == 0
        assert [row[f"sizes/{name}"] for name in LABELS] == ["0"] * 3
        assert [row[f"left_out/{name}"] for name in LABELS] == ["24"] * 3
        assert [float(row[f"weight/{name}"]) for name in LABELS] == [0] * 3
        assert math.isnan(float(row["nmi_labels"]))
    assert math.isnan(float(last["nmi_before/shape"]))
    assert "nan" not in said
    assert list(outcome.run.trained().facts.labels.values()) == [1] * 3

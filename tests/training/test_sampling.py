"""Samplers of both stages: they see clusters of features, never labels."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import altered

from sm3kit.clusterers.base import Clusterer
from sm3kit.core.errors import DataError, OptionError, UnknownName, VariantError
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.grids.planning import for_stage1
from sm3kit.samplers.cluster_balanced import ClusterBalanced
from sm3kit.training.pseudo_labels.clusters import StudyClusters

BALANCED = {"sampler": "cluster_balanced"}


@pytest.fixture
def noted(monkeypatch, registered):
    """What a sampler like `cluster_balanced` was given in each epoch, and what it drew."""
    calls = []

    class Noting(ClusterBalanced):
        """Tells what it draws."""

        def order(self, labels, groups, batch_size, rng):
            batches = super().order(labels, groups, batch_size, rng)
            calls.append((labels.copy(), [batch.tolist() for batch in batches]))
            return batches

    registered("samplers", "noting", Noting)
    return calls


@pytest.fixture
def drawn(monkeypatch):
    """The places of every batch that was asked for, epoch by epoch."""
    epochs = []
    plain = EpochBatches.__iter__

    def iterate(self):
        epochs.append([])
        for batch in plain(self):
            epochs[-1].append(batch)
            yield batch

    monkeypatch.setattr(EpochBatches, "__iter__", iterate)
    return epochs


def weights(outcome):
    return load_file(outcome.run.model)


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def test_shuffle_is_what_it_was(tiny2, train, drawn):
    """Every study once, by seed and epoch alone."""
    train(altered(tiny2, data=("synthetic:20",)))
    for epoch, batches in zip((0, 0, 1), drawn[-3:], strict=True):
        count = sum(map(len, batches))
        order = np.random.default_rng([0, epoch]).permutation(count).tolist()
        assert [place for batch in batches for place in batch] == [(epoch, i, 0) for i in order]


@pytest.mark.parametrize("stage", ["mmssl", "both"])
def test_no_label_is_read(stage, tiny2, train, studies, drawn):
    """Other labels give the same batches and the same weights."""

    def other(i, row):
        edge = "mn"[i % 3 % 2] if i % 4 else ""
        return {**row, "shape": "ba"[i % 2], "tone": "zxy"[i % 3], "edge": edge}

    runs = []
    for name, change in (("own", None), ("relabelled", other)):
        variant = altered(tiny2, data=(studies(name, change),), stage=stage, **BALANCED)
        drawn.clear()
        outcome, _ = train(variant, folder=name)
        runs.append((weights(outcome), list(drawn)))
    (first, batches), (second, batches_again) = runs
    assert batches == batches_again
    assert same(first, second)
    studies_drawn = Counter(i for batch in batches[0] for _, i, _ in batch)
    assert max(studies_drawn.values()) > 1, "some come several times"
    assert len({place for batch in batches[0] for place in batch}) == 24


def test_stage_1_draws_by_clusters_of_what_it_has_come_to(tiny2, train, noted, studies):
    """Into as many as stage 2 would make, anew in each epoch, of all studies."""
    variant = altered(
        tiny2, data=(studies("own"),), stage="mmssl", sampler="noting", stage1={"epochs": 3}
    )
    train(variant)
    epochs = list({labels.tobytes(): labels for labels, _ in noted}.values())
    stand_in, *clusters = epochs
    assert stand_in.tolist() == [[i % 2, i % 3, i % 2] for i in range(24)]
    assert 2 <= len(clusters) <= 3
    for table in clusters:
        assert [len(set(column)) for column in table.T.tolist()] == [2, 3, 2]


def test_clusters_are_made_as_often_as_asked(tiny2, train, studies, registered, monkeypatch):
    made = []
    plain = StudyClusters._joint

    def joint(self):
        made.append(self.module.epoch)
        assert self.module.training
        rows = plain(self)
        assert self.module.training
        return rows

    monkeypatch.setattr(StudyClusters, "_joint", joint)
    for every, wanted in ((1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (9, [0])):
        made.clear()
        stage1 = {"epochs": 5, "cluster_every": every}
        variant = altered(tiny2, data=(studies("own"),), stage="mmssl", stage1=stage1, **BALANCED)
        train(variant, folder=f"every{every}")
        assert made == wanted


def test_stage_2_draws_by_its_pseudo_labels(second, train, noted):
    """Those of the epoch under way."""
    outcome, said = train(dataclasses.replace(second, sampler="noting"))
    assert "fusion sep_sep, sampler noting" in said
    kept = torch.load(outcome.run.mlssl, weights_only=True)
    last = noted[-1][0]
    assert torch.equal(torch.from_numpy(last).T, kept["assigned"])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("views", [0, 2])
def test_workers_ask_ahead_and_change_nothing(workers, views, second, train):
    """New views in each epoch, or cached ones; a worker prepares batches before an epoch begins."""
    machine = {"workers": workers}
    variant = altered(second, stage2={"feature_views": views}, machine=machine, **BALANCED)
    outcome, _ = train(variant)
    plain, _ = train(altered(variant, machine={"workers": 0}), folder="plain")
    assert same(weights(outcome), weights(plain))


@pytest.mark.parametrize(("every", "workers"), [(1, 0), (2, 2)])
def test_a_run_that_goes_on_is_bit_for_bit_the_same(every, workers, tiny2, train, studies):
    """Also where the clusters of an epoch were made before it was stopped, and with a gap."""

    def gap(i, row):
        return {**row, "clinic": "" if i % 3 == 0 else row["clinic"]}

    variant = altered(
        tiny2,
        data=(studies("gaps", gap),),
        stage1={"epochs": 4, "cluster_every": every},
        stage2={"epochs": 3},
        machine={"workers": workers},
        **BALANCED,
    )
    whole, _ = train(variant, folder="whole")
    for stopped in ({"stage": "mmssl", "stage1": {"epochs": 3}}, {"stage2": {"epochs": 1}}):
        train(altered(variant, **stopped), folder="parts", resume="stage" not in stopped)
    resumed, _ = train(variant, folder="parts", resume=True)
    assert same(weights(resumed), weights(whole))


# What cannot be


def test_labels_are_for_evaluation(tiny2, train, tmp_path):
    with pytest.raises(VariantError) as error:
        train(altered(tiny2, sampler="label_balanced"))
    assert str(error.value) == (
        "--sampler label_balanced draws by labels, and pre-training uses none. Use it in sm3kit "
        "evaluate, and here a sampler that draws by clusters, or leave it out."
    )
    assert not (tmp_path / "run").exists()


def test_wrong_names_and_options(tiny2, train, tmp_path):
    with pytest.raises(UnknownName, match="No sampler named 'cluster_balance'. Did you mean"):
        train(altered(tiny2, sampler="cluster_balance"))
    wrong = {**tiny2.options, "cluster_balanced": {"clip": 0.5}}
    with pytest.raises(OptionError, match="'clip' must be a number from 1 to 1000000, not 0"):
        train(altered(tiny2, options=wrong, **BALANCED))
    assert not (tmp_path / "run").exists()


def test_clusters_need_a_number(tiny2, train, studies, tmp_path):
    def bare(i, row):
        return {column: row[column] for column in ("id", "derm", "clinic", "split")}

    variant = altered(tiny2, data=(studies("bare", bare),), stage="mmssl", **BALANCED)
    said = (
        r"has no labels, and --sampler cluster_balanced makes clusters for each. Leave it out, or "
        r"say how many: -o stage2.pseudo_labels=8 -o stage2.clusters=3\."
    )
    with pytest.raises(VariantError, match=said):
        train(variant)
    with pytest.raises(DataError, match="--sampler cluster_balanced cannot make 25 clusters for"):
        train(altered(variant, stage2={"pseudo_labels": 2, "clusters": 25}))
    assert not (tmp_path / "run").exists()
    train(altered(variant, stage2={"pseudo_labels": 2, "clusters": 3}))


def test_features_that_cannot_be_clustered(tiny2, train, registered):
    class Refusing(Clusterer):
        """Clusters nothing."""

        def fit(self, embeddings, k, seed):
            raise DataError("Nothing to be seen.")

    registered("clusterers", "refusing", Refusing)
    variant = altered(tiny2, stage="mmssl", clusterer="refusing", **BALANCED)
    said = (
        "--sampler cluster_balanced in epoch 1 of stage 1, clusters for DIAG: Nothing to be seen."
    )
    with pytest.raises(DataError, match=said):
        train(variant)


# What stage 1 depends on


def test_stage_1_keeps_what_its_clusters_depend_on():
    changes = {"clusterer": "torch", "relation": "msa", "stage2": {"clusters": 4, "lr": 1}}
    plain = Variant().changed(changes, "here")
    by_clusters = plain.changed(BALANCED, "here")
    assert plain.of_stage1() == Variant().changed({"stage": "mmssl"}, "here")
    kept = {"clusterer": "torch", "stage2": {"clusters": 4}, "stage": "mmssl", **BALANCED}
    assert by_clusters.of_stage1() == Variant().changed(kept, "here")
    assert plain.only_stage2_reads("clusterer")
    assert plain.only_stage2_reads("stage2.clusters")
    assert not by_clusters.only_stage2_reads("clusterer")
    assert not by_clusters.only_stage2_reads("stage2.clusters")
    assert by_clusters.only_stage2_reads("stage2.lr")
    assert for_stage1(plain).options.keys().isdisjoint({"torch", "cluster_balanced"})
    assert {"torch", "cluster_balanced"} <= for_stage1(by_clusters).options.keys()


def test_a_run_goes_on_to_stage_2_with_its_clusterer(tiny2, train):
    first = altered(tiny2, stage="mmssl", **BALANCED)
    train(first)
    other = altered(first, stage="both", clusterer="torch")
    with pytest.raises(Exception, match="its clusterer is 'faiss', not 'torch'"):
        train(other, resume=True)
    more = altered(first, stage="both", relation="msa", stage2={"lr": 1e-3})
    outcome, _ = train(more, resume=True)
    assert outcome.run.mlssl.is_file()


def test_all_samplers_say_what_they_draw_on():
    by = {name: registry("samplers").get(name).on for name in registry("samplers").names()}
    assert by["shuffle"] == "nothing"
    assert by["label_balanced"] == "labels"
    assert by["cluster_balanced"] == "clusters"

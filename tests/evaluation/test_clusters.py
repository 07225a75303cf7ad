"""The pseudo-labels of stage 2 against the true labels."""

import dataclasses
import shutil

import pytest
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from sm3kit.core.errors import CheckpointError, DataError, VariantError
from sm3kit.core.registry import registry
from sm3kit.evaluation.comparison import compare_runs
from sm3kit.results.evaluation_table import evaluation_table
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.model import read_model


@pytest.fixture
def cluster(evaluated):
    """cluster(run, *data, ...) -> record"""

    def measure(run, *data, **changes):
        return evaluated(run, *data, protocol="clusters", select="last", **changes)

    return measure


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_study_belongs_to_the_prototype_that_it_is_nearest_to(cluster, opened, runs, split):
    """A second way, from the weights in the file alone: probabilities of the prototypes."""
    record = cluster(runs.stage2, split=split)
    subject = opened(runs.stage2)
    cases = subject.pool.cases[split]
    model = read_model(RunFolder(runs.stage2).model)
    width = subject.branches.joint_width
    relation = registry("relations").get("tel")(width, 3, embedding=16)
    relation.load_state_dict(model.of("relation"))
    with torch.no_grad():
        embeddings = relation.eval()(subject.joint(cases))
    assert list(record["clusters"]["labels"]) == ["shape", "tone", "edge"]
    for number, row in enumerate(record["clusters"]["labels"].values()):
        logits = embeddings[:, number] @ model.weights[f"prototypes.heads.{number}.weight"].T
        nearest = logits.softmax(1).argmax(1).tolist()
        truth = [case.labels[number] for case in cases]
        assert row["nmi"] == pytest.approx(normalized_mutual_info_score(truth, nearest))
        assert row["ari"] == pytest.approx(adjusted_rand_score(truth, nearest))
        assert row["known"] == len(cases)
        assert max(map(max, row["counts"].values())) <= len(cases) * row["accuracy"]


def test_the_record_has_the_agreed_form(cluster, runs):
    record = cluster(runs.stage2, split="train", resamples=50)
    assert record["select"] == "last"
    assert not record["leaky"]
    assert record["trainable_parameters"] == 0
    assert (record["cases"], record["resamples"]) == (24, 50)
    assert "labels" not in record
    mean = record["clusters"]["mean"]
    assert mean["labels"] == 3
    rows = record["clusters"]["labels"].values()
    for metric in ("nmi", "ari", "accuracy"):
        assert mean[metric] == pytest.approx(sum(row[metric] for row in rows) / 3)
        for row in [*rows, mean]:
            low, high = row["intervals"][metric]
            assert low <= high
    assert sorted(file.name for file in (runs.stage2 / "eval").iterdir()) == ["clusters-train.json"]
    text = str(evaluation_table(record))
    assert "NMI" in text
    assert "For diagnosis only" in text


def test_clusters_need_not_be_as_many_as_classes(cluster, shared_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(shared_run("four-clusters", stage2={"epochs": 1, "clusters": 4}), run)
    row = cluster(run, resamples=2)["clusters"]["labels"]["shape"]
    assert [len(counts) for counts in row["counts"].values()] == [4, 4]


def test_labels_that_only_the_run_or_the_data_know_are_left_out(cluster, studies, runs):
    """The heads of a probe would fall back to the joint feature; clusters are of each label."""

    def change(i, row):
        return {**{("hue" if name == "tone" else name): value for name, value in row.items()}}

    own = cluster(runs.stage2)
    other = cluster(runs.stage2, studies("hue", change))
    assert list(other["clusters"]["labels"]) == ["shape", "edge"]
    for name, row in other["clusters"]["labels"].items():
        assert row == own["clusters"]["labels"][name]


def test_what_has_no_clusters_says_so(cluster, studies, runs, shared_run):
    with pytest.raises(CheckpointError) as caught:
        cluster(runs.stage1)
    assert str(caught.value) == (
        f"{runs.stage1} has no pseudo-labels, which stage 2 makes. Train it: sm3kit pretrain --stage "
        f"mlssl --init {runs.stage1}"
    )
    unnamed = shared_run("unnamed", stage2={"epochs": 1, "clusters": 2, "pseudo_labels": 2})
    with pytest.raises(DataError) as caught:
        cluster(unnamed)
    assert str(caught.value) == (
        f"Stage 2 of {unnamed} has clusters for pseudo1, pseudo2, and the labels of the data are "
        "shape, tone, edge: none to compare them with. Give data with these labels, or a run without "
        "stage2.pseudo_labels."
    )
    assert not list((runs.stage1 / "eval").glob("*"))


def test_no_comparison(opened, fast, runs):
    settings = dataclasses.replace(fast, protocol="clusters", select="last")
    task = (opened(runs.stage2), settings)
    with pytest.raises(VariantError, match="probe, finetune or knn, not clusters. Give --protocol"):
        compare_runs(task, task)


def test_planted_clusters_agree_whatever_their_numbers(opened, cluster, runs, monkeypatch):
    """Embeddings that say the class, and prototypes of the classes in another order."""
    subject = opened(runs.stage2)
    truth = torch.tensor([case.labels for case in subject.pool.cases["test"]])
    axes = torch.eye(3)

    class Planted(torch.nn.Module):
        def forward(self, joint):
            return axes[truth]

    prototypes = {"shape": axes[[1, 0]], "tone": axes[[2, 0, 1]], "edge": axes[[1, 0]]}
    address = "sm3kit.evaluation.clusters.open_clusters"
    monkeypatch.setattr(address, lambda *_: (Planted(), prototypes))
    for row in cluster(runs.stage2)["clusters"]["labels"].values():
        assert (row["nmi"], row["ari"], row["accuracy"]) == pytest.approx((1, 1, 1))

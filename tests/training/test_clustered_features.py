"""What stage 2 clusters: own embeddings, frozen features of a teacher, or both."""

import gc
import weakref

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_stage2 import but, checkpoint, rows, same_runs
from tiny_runs import altered

from sm3kit.clusterers.base import Clustering
from sm3kit.core.errors import CheckpointError, SM3Error
from sm3kit.runs.folder import FineTuned, RunFolder
from sm3kit.runs.frozen_network import Source
from sm3kit.training.pseudo_labels import features
from sm3kit.training.pseudo_labels.features import own_centroids, rows_to_cluster, side_by_side
from sm3kit.training.stage2 import MultiLabelSSL

# Functions of tensors


def test_blocks_stand_side_by_side_at_unit_length():
    table = {"derm": torch.tensor([[3.0, 4.0], [0, 2]]), "clinic": torch.tensor([[5.0], [7]])}
    present = {"derm": torch.tensor([True, True]), "clinic": torch.tensor([True, False])}
    half = 0.5**0.5
    wanted = torch.tensor([[0.6 * half, 0.8 * half, half], [0, 1, 0]])
    torch.testing.assert_close(side_by_side(table, present), wanted)


def test_what_is_clustered():
    own, teacher = torch.tensor([[0.0, 2], [3, 4]]), torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    assert rows_to_cluster(own, None, both=False) is own
    assert rows_to_cluster(own, teacher, both=False) is teacher
    wanted = torch.tensor([[0, 1, 1, 0, 0], [0.6, 0.8, 0, 1, 0]])
    torch.testing.assert_close(rows_to_cluster(own, teacher, both=True), wanted)


def test_centroids_are_weighted_means_of_those_that_count():
    """Cluster 0 has weights, 1 weighs nothing, 2 is empty; the last study is left out."""
    own = torch.tensor([[1.0, 0], [4, 3], [2, 2], [4, 4], [90, 90]])
    assignments, weights = torch.tensor([0, 0, 1, 1, -1]), torch.tensor([1, 0.5, 0, 0, 1.0])
    clustering = Clustering(assignments, torch.zeros(3, 7), 0.0, weights=weights)
    before = torch.tensor([[0.0, 0], [0, 0], [5, 6]])
    wanted = torch.tensor([[2.0, 1], [3, 3], [5, 6]])
    torch.testing.assert_close(own_centroids(own, clustering, before), wanted)


# Runs


@pytest.fixture
def taught(second):
    """taught(features="teacher", teacher="stage1", **changes): an epoch of stage 2, or two."""

    def variant(what="teacher", teacher="stage1", **changes):
        settings = {"features": what, "teacher": str(teacher), **changes.pop("stage2", {})}
        return but(second, stage2=settings, **changes)

    return variant


def clusters_of(folder):
    return checkpoint(RunFolder(folder).mlssl)["assigned"]


def test_a_run_teaches_itself_as_another_would(taught, train, stage1_run, tmp_path):
    """The networks of stage 1 are those of the run that it started from."""
    words = {"own": "stage1", "run": stage1_run}
    said = [train(taught(teacher=word), name)[1] for name, word in words.items()]
    assert torch.equal(clusters_of(tmp_path / "own"), clusters_of(tmp_path / "run"))
    assert "teacher  of stage 2: stage1" in said[0]
    own, other = (rows(tmp_path / name) for name in ("own", "run"))
    assert own == other


def test_clusters_are_those_of_the_features(taught, train, monkeypatch):
    """The clusterer sees the teacher's rows in every epoch; with "both" its own beside them."""
    seen = []

    def watch(own, teacher, both):
        seen.append(rows_to_cluster(own, teacher, both=both))
        return seen[-1]

    monkeypatch.setattr("sm3kit.training.stage2.rows_to_cluster", watch)
    train(taught(), "teacher")
    assert all(torch.equal(table, seen[0]) for table in seen)
    lengths = torch.linalg.vector_norm(seen[0], dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    first, count = seen[0], len(seen)
    train(taught("both"), "both")
    table = seen[count]
    assert torch.equal(table[:, -first.shape[1] :], first)
    assert table.shape[1] == first.shape[1] + 16
    assert not torch.equal(table, seen[-1])


def test_prototypes_are_the_mean_embeddings_of_the_clusters(taught, train, monkeypatch):
    embeddings = []

    def watch(own, teacher, both):
        embeddings.append(own.clone())
        return rows_to_cluster(own, teacher, both=both)

    monkeypatch.setattr("sm3kit.training.stage2.rows_to_cluster", watch)
    outcome, _ = train(taught(stage2={"epochs": 1, "freeze_prototypes": True}))
    assigned, weights = clusters_of(outcome.run.folder), load_file(outcome.run.model)
    for number, own in enumerate(embeddings):
        prototypes = weights[f"prototypes.heads.{number}.weight"]
        for cluster, prototype in enumerate(prototypes):
            mean = own[assigned[number] == cluster].mean(0)
            torch.testing.assert_close(prototype, mean / mean.norm())


@pytest.mark.parametrize("what", ["teacher", "both"])
def test_a_resumed_run_is_the_straight_run_bit_for_bit(taught, train, tmp_path, what):
    one = taught(what)
    train(one, "straight")
    train(altered(one, stage2={"epochs": 1}), "broken")
    train(one, "broken", resume=True)
    assert same_runs(tmp_path / "straight", tmp_path / "broken")


def test_a_teacher_that_has_changed(taught, train, weight_file, tmp_path):
    one = taught(teacher=weight_file)
    train(altered(one, stage2={"epochs": 1}))
    save_file({n: w + 1 for n, w in load_file(weight_file).items()}, weight_file)
    with pytest.raises(CheckpointError, match="The teacher .* has changed since stage 2 of"):
        train(one, resume=True)


def test_nothing_of_the_teacher_stays(taught, train, weight_file, monkeypatch):
    opened, open_network = [], features.open_network

    def watch(*arguments, **more):
        network = open_network(*arguments, **more)
        opened.append(weakref.ref(network.backbone))
        return network

    monkeypatch.setattr(features, "open_network", watch)
    alive = []
    monkeypatch.setattr(
        MultiLabelSSL,
        "on_fit_start",
        lambda self: alive.extend([gc.collect() >= 0, *(r() is not None for r in opened)]),
    )
    outcome, _ = train(taught(teacher=weight_file, stage2={"epochs": 1}))
    assert len(opened) == 4  # Tried before anything is written, and opened again for stage 2.
    assert alive == [True, False, False, False, False]
    kept = checkpoint(outcome.run.last)["model"]
    assert {n.split(".")[0] for n in kept} == {"bank", "assigned", "relation", "prototypes"}


def test_studies_without_an_image(taught, train, studies):
    def change(i, row):
        return {**row, "clinic": "" if i % 3 else row["clinic"]}

    spec = studies("gaps", change)
    outcome, _ = train(taught(data=(spec,), init="", stage="both"))
    assert outcome.run.finished


def test_features_are_encoded_once(taught, train, weight_file, tmp_path):
    kept, counts = tmp_path / "features", []
    for clusterer in ("torch", "sinkhorn"):
        one = taught(teacher=weight_file, clusterer=clusterer, stage2={"epochs": 1})
        train(one, clusterer, features=kept)
        counts.append(len(list(kept.rglob("*.npy"))))
    # Two random views of the run's networks and the evaluation view of the teacher, of each.
    assert counts == [6, 6]


def test_fine_tuned_networks_are_told(monkeypatch):
    class Tuned:
        leaky = True

        def run(self):
            return None

    monkeypatch.setattr(FineTuned, "read", classmethod(lambda cls, file: Tuned()))
    said = features.feature_caveats(Source("tuned", "", ""))
    assert said == [
        "tuned was chosen on the split that it was measured on; so is stage 2",
        "tuned learned from labels, and the pseudo-labels know of them",
    ]


# What is refused, before anything is written


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"features": "teacher"}, "stage2.features=teacher clusters features of a teacher. Give"),
        ({"features": "both"}, "stage2.features=both clusters features of a teacher. Give one"),
        ({"teacher": "stage1"}, "-o stage2.teacher=stage1 has no effect with stage2.features=own"),
        ({"teacher_backbone": "resnet50"}, "-o stage2.teacher_backbone=resnet50 has no effect"),
        (
            {"features": "both", "teacher": "stage1", "teacher_backbone": "resnet50"},
            "only a weight file does not tell its model. Leave it out.",
        ),
        ({"features": "teacher", "teacher": "nowhere/run"}, "there is no such run or file. No ba"),
        ({"features": "teacher", "teacher": "resnt18"}, "No timm model named 'resnt18'"),
        ({"features": "teacher", "teacher": "{empty}"}, "holds no run: there is no model.safete"),
        ({"features": "teacher", "teacher": "{text}"}, "is not a plain state_dict|cannot be read"),
    ],
)
def test_what_cannot_be_clustered(tiny2, train, tmp_path, settings, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no weights")
    places = {"empty": tmp_path / "empty", "text": tmp_path / "notes.txt"}
    settings = {name: value.format(**places) for name, value in settings.items()}
    with pytest.raises(SM3Error, match=said) as caught:
        train(altered(tiny2, stage2=settings))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_networks_that_do_not_fit(taught, train, tmp_path, stage1_run):
    one = taught(teacher=stage1_run, map={"hand": "clinic"}, init="", stage="both")
    with pytest.raises(SM3Error, match="has networks for derm, clinic, and the data have derm, ha"):
        train(one)
    with pytest.raises(SM3Error, match="have 3 channels, and those of the data 1"):
        one = taught(teacher=stage1_run, init="", stage="both")
        train(altered(one, options={**one.options, "photo": {"channels": 1}}))
    assert not (tmp_path / "run").exists()


def test_weights_that_cannot_be_fetched(tiny2, train, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    settings = {"features": "teacher", "teacher": "timm/test_vit"}
    with pytest.raises(CheckpointError, match="ImageNet weights of timm model 'test_vit' cannot"):
        train(altered(tiny2, stage2=settings))
    assert not (tmp_path / "run").exists()


def test_a_stage_1_alone_needs_no_teacher(tiny2):
    one = altered(tiny2, stage="mmssl", stage2={"features": "teacher"})
    assert features.feature_source(one) is None
    assert features.feature_source(tiny2) is None

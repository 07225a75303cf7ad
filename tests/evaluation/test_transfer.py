"""A run on other data than its own: labels, modalities and channels by name."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import altered

from sm3kit.core.errors import DataError, VariantError
from sm3kit.datasets.base import ModalitySpec
from sm3kit.datasets.manifest import Manifest
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.metrics.predictions import Predictions
from sm3kit.runs.folder import RunFolder
from sm3kit.training.pretrain import pretrain

ORDER = ("id", "derm", "clinic", "split", "edge", "shape", "tone")


def predictions(record):
    return Predictions.load(Path(record["file"]).with_suffix(".predictions.npz"))


def permuted(i, row):
    return {name: row[name] for name in ORDER}


def test_labels_in_another_order_change_nothing(studies, opened, evaluated, runs):
    own = evaluated(runs.stage2)
    one = Predictions.load(runs.stage2 / "eval" / "probe-test.predictions.npz")
    spec = studies("permuted", permuted)
    assert opened(runs.stage2, spec).embedding.order == [2, 0, 1]
    record = evaluated(runs.stage2, spec)
    other = predictions(record)
    assert list(record["labels"]) == ["edge", "shape", "tone"]
    assert record["scope"] == own["scope"] == "relation"
    for name, label in one.labels.items():
        # The losses of the labels are added in another order, in float32.
        np.testing.assert_allclose(other.labels[name].scores, label.scores, atol=1e-5)
        for metric in ("auc", "sens", "spec", "prec", "ci95"):
            assert record["labels"][name][metric] == pytest.approx(own["labels"][name][metric])


def test_some_of_the_labels_keep_the_relation(studies, opened, evaluated, runs):
    def change(i, row):
        return {name: value for name, value in row.items() if name != "shape"}

    spec = studies("two-labels", change)
    subject = opened(runs.stage2, spec)
    assert subject.embedding.order == [1, 2]
    joint = torch.randn(5, subject.branches.joint_width)
    whole = opened(runs.stage2).embedding(joint)
    assert torch.equal(subject.embedding(joint), whole[:, [1, 2]])
    assert evaluated(runs.stage2, spec)["scope"] == "relation"


def test_other_labels_drop_the_relation_and_say_so(studies, evaluated, runs):
    def change(i, row):
        return {**{n: v for n, v in row.items() if n != "tone"}, "size": "sl"[i % 2]}

    record = evaluated(runs.stage2, studies("other-labels", change))
    assert record["notes"] == [
        "Stage 2 of the run was trained for the labels shape, tone, edge, and the data have others: "
        "the heads use the joint feature."
    ]
    assert record["scope"] == "heads"


def test_scope_relation_wants_the_labels_of_stage_2(studies, opened, fast, runs):
    def change(i, row):
        return {**{n: v for n, v in row.items() if n != "tone"}, "size": "sl"[i % 2]}

    subject = opened(runs.stage2, studies("other-labels", change))
    with pytest.raises(VariantError, match="--scope relation needs a run that finished stage 2"):
        evaluate(subject, dataclasses.replace(fast, scope="relation"))


def test_the_record_tells_both_data_apart(studies, evaluated, runs):
    spec = studies("half", lambda i, row: row if i < 20 else None)
    own = evaluated(runs.stage1, protocol="knn")
    record = evaluated(runs.stage1, spec, protocol="knn")
    assert record["transfer"] is True
    assert record["data"] == [spec]
    assert record["of"]["data"] == own["data"]
    assert record["data_hash"] != record["of"]["data_hash"] == own["data_hash"]
    assert record["file"] != own["file"]
    assert Path(record["file"]).name == f"knn-test-manifest-{record['data_hash'][:8]}.json"
    assert record["studies"] == {"train": 12, "val": 4, "test": 4}


def test_two_tables_of_one_kind_have_a_file_each(studies, evaluated, runs):
    def third(i, row):
        return row if i < 30 else None

    specs = studies("half", lambda i, row: row if i < 20 else None), studies("third", third)
    records = [evaluated(runs.stage1, spec, protocol="knn", select="last", k=3) for spec in specs]
    assert [record["cases"] for record in records] == [4, 6]
    for spec, record in zip(specs, records, strict=True):
        file = runs.stage1 / "eval" / f"knn-test-manifest-{record['data_hash'][:8]}.json"
        assert json.loads(file.read_text("utf-8"))["data"] == [spec]
        assert len(predictions(record).ids) == record["cases"]
    assert len({record["file"] for record in records}) == 2


@pytest.mark.parametrize(
    ("protocol", "feature_views"),
    [
        ("probe", 1),
        ("probe", 0),
        ("finetune", 1),
        ("knn", 1),
    ],
)
def test_data_without_a_modality(studies, evaluated, runs, protocol, feature_views):
    def change(i, row):
        return {name: value for name, value in row.items() if name != "clinic"}

    record = evaluated(
        runs.stage2, studies("derm-alone", change), protocol=protocol, feature_views=feature_views
    )
    assert record["notes"] == [
        "The data have no clinic: its features are zeros, as for a missing image."
    ]
    assert record["mean"]["auc"] is not None


def test_data_without_partners_cannot_be_matched(studies, opened, fast, runs):
    def change(i, row):
        return {name: value for name, value in row.items() if name != "clinic"}

    subject = opened(runs.stage1, studies("derm-alone", change))
    with pytest.raises(DataError, match="has 0 studies with images of two modalities"):
        evaluate(subject, dataclasses.replace(fast, protocol="match", select="last"))


def test_a_modality_that_the_run_does_not_know_is_not_used(studies, opened, evaluated, runs):
    def change(i, row):
        return {**row, "ultrasound": row["clinic"]}

    spec = studies("extra", change)
    assert list(opened(runs.stage1, spec).pool.modalities) == ["derm", "clinic"]
    own = evaluated(runs.stage1, protocol="knn")
    assert evaluated(runs.stage1, spec, protocol="knn")["labels"] == own["labels"]


def test_no_common_modality(studies, opened, runs):
    def change(i, row):
        return {
            "id": row["id"],
            "ct": row["derm"],
            "pet": row["clinic"],
            "split": row["split"],
            "tone": row["tone"],
        }

    spec = studies("strangers", change)
    with pytest.raises(DataError) as caught:
        opened(runs.stage1, spec)
    assert str(caught.value) == (
        f"{spec} has the modalities ct, pet, and none of derm, clinic. Rename one with --map."
    )
    renamed = {"derm": "ct", "clinic": "pet"}
    assert list(opened(runs.stage1, spec, rename=renamed).pool.modalities) == ["derm", "clinic"]


def test_other_channels_are_refused(studies, opened, runs, registered):
    class Grey(Manifest):
        """Grey images."""

        def __init__(self, argument: str) -> None:
            super().__init__(argument)
            self.modalities = {
                name: ModalitySpec("photo", {"channels": 1}) for name in self.modalities
            }

    registered("datasets", "grey", Grey)
    with pytest.raises(DataError) as caught:
        opened(runs.stage1, studies("own").replace("manifest:", "grey:"))
    assert str(caught.value) == (
        f"Modality 'derm' of the data has 1 channels, and the networks of {runs.stage1} take 3."
    )


def test_a_changed_listing_is_noted(studies, evaluated, stage1_run, train):
    variant = RunFolder(stage1_run).record().variant
    variant = altered(variant, data=(studies("listing"),), stage1={"epochs": 0})
    run = train(variant)[0].run.folder
    studies("listing", lambda i, row: {**row, "split": "train"} if i == 3 else row)
    record = evaluated(run, protocol="knn")
    studies("listing")
    assert record["notes"] == [
        "The listing of the data has changed since the run was trained; its splits may differ."
    ]
    assert evaluated(run, protocol="knn")["notes"] == []


def test_images_seen_in_pre_training_are_noted_for_the_runs_own_data(
    opened, studies, stage1_run, images, tmp_path
):
    variant = RunFolder(stage1_run).record().variant
    variant = altered(variant, splits=("train", "test"), stage1={"epochs": 0})
    pretrain(variant, tmp_path / "seen", opened(stage1_run).reporter, images)
    note = "Pre-training saw the images of the test split."
    assert note in opened(tmp_path / "seen").notes
    assert note in opened(tmp_path / "seen", studies("own")).notes
    assert note not in opened(tmp_path / "seen", studies("permuted", permuted)).notes


def test_pooled_data_name_their_labels(evaluated, runs, studies, registered):
    class Ward(Manifest):
        """The same table under another name."""

    registered("datasets", "ward", Ward)
    spec = studies("own")
    both = (spec, spec.replace("manifest:", "ward:"))
    record = evaluated(runs.stage2, *both, protocol="knn")
    assert list(record["labels"]) == [
        f"{data}/{label}" for data in ("manifest", "ward") for label in ("shape", "tone", "edge")
    ]
    assert record["cases"] == 16
    assert {row["support"]["known"] for row in record["labels"].values()} == {8}
    assert Path(record["file"]).name == f"knn-test-manifest-ward-{record['data_hash'][:8]}.json"
    kept = predictions(record)
    assert {name.partition("/")[0] for name in kept.ids} == {"manifest", "ward"}


@pytest.mark.parametrize("protocol", ["probe", "knn"])
@pytest.mark.parametrize("ids", ["own", "same"])
def test_two_tables_of_one_kind_are_told_apart(studies, evaluated, runs, protocol, ids):
    """The second manifest is manifest2, in labels and in ids."""

    def change(i, row):
        kept = {name: row[name] for name in ("id", "derm", "clinic", "split")}
        other = {**kept, "shape": row["shape"]}
        return other if ids == "same" else {**other, "id": f"other-{i}"}

    specs = studies("own"), studies(f"{ids}-ids", change)
    record = evaluated(runs.stage1, *specs, protocol=protocol)
    assert list(record["labels"]) == [
        "manifest/shape",
        "manifest/tone",
        "manifest/edge",
        "manifest2/shape",
    ]
    assert record["cases"] == 16
    assert {row["support"]["known"] for row in record["labels"].values()} == {8}
    assert all(row["auc"] is not None for row in record["labels"].values())
    kept = predictions(record)
    assert set(kept.labels) == set(record["labels"])
    assert [name.partition("/")[0] for name in kept.ids] == ["manifest"] * 8 + ["manifest2"] * 8


def test_two_tables_of_one_kind_are_matched_together(studies, opened, fast, runs):
    other = studies("renamed", lambda i, row: {**row, "id": f"other-{i}"})
    subject = opened(runs.stage1, studies("own"), other)
    settings = dataclasses.replace(fast, protocol="match", select="last")
    assert evaluate(subject, settings)["space"]["backbone"]["derm->clinic"]["n"] == 16


def test_two_tables_of_one_kind_keep_the_relation(opened, runs, studies):
    other = studies("renamed", lambda i, row: {**row, "id": f"other-{i}"})
    subject = opened(runs.stage2, studies("own"), other)
    assert subject.embedding.order == [0, 1, 2, 0, 1, 2]


def test_a_pool_of_labels_that_stage_2_knows_by_their_own_names(opened, runs, studies, registered):
    """A pool of two data sets calls a label manifest/shape; each is the run's label shape."""

    class Ward(Manifest):
        """The same table under another name."""

    registered("datasets", "ward", Ward)
    spec = studies("own")
    subject = opened(runs.stage2, spec, spec.replace("manifest:", "ward:"))
    assert subject.embedding.order == [0, 1, 2, 0, 1, 2]

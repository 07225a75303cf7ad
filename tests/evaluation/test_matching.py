"""Pair matching: identity, chance, duplicates and missing partners."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from tiny_runs import altered

from sm3kit.core.errors import DataError
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.networks.extraction import Features
from sm3kit.nn.monitors import partner_ranks
from sm3kit.runs.folder import RunFolder
from sm3kit.training.pretrain import pretrain


class Fixed:
    """An encoder whose features of each modality come from a function of (study number, width)."""

    def __init__(self, encoder, rows):
        self.precision, self.rows = encoder.precision, rows
        self.branches = encoder.branches
        self.widths = encoder.branches.widths

    def evaluation(self, shown, number=0):
        numbers = torch.arange(len(shown))
        return Features(
            {name: [self.rows(numbers, width).numpy()] for name, width in self.widths.items()},
            {
                name: torch.tensor([name in case.images for case in shown.cases])
                for name in self.widths
            },
            torch.tensor([case.labels for case in shown.cases]),
            [case.study.id for case in shown.cases],
            torch.tensor([case.group for case in shown.cases]),
        )


def identity(numbers, width):
    return torch.eye(len(numbers), width)


def constant(numbers, width):
    return torch.ones(len(numbers), width)


@pytest.fixture
def matched(opened, fast):
    """matched(run, *data, rows=None, split="train") -> record"""

    def matching(run, *data, rows=None, split="train"):
        subject = opened(run, *data)
        if rows is not None:
            subject = dataclasses.replace(subject, encoder=Fixed(subject.encoder, rows))
        settings = dataclasses.replace(fast, protocol="match", select="last", split=split)
        return evaluate(subject, settings)

    return matching


def test_identical_features_find_their_partner(matched, runs):
    for row in matched(runs.stage1, rows=identity)["space"]["backbone"].values():
        assert (row["mean_rank"], row["acc@1"], row["acc@5"], row["n"]) == (1, 1, 1, 24)


def test_constant_features_are_at_chance(matched, runs):
    for space in matched(runs.stage1, rows=constant)["space"].values():
        for row in space.values():
            assert row["mean_rank"] == row["median_rank"] == row["chance"] == 12.5
            assert row["acc@1"] == row["acc@5"] == 0


def test_the_networks_decide_and_stay_where_they_are(opened, matched, runs):
    """The record is what partner_ranks says of the features of the run."""
    subject = opened(runs.stage1)
    rows = subject.features(subject.cases("train", labelled=False)).whole()
    ranks = partner_ranks(rows["derm"], rows["clinic"])[0]
    found = matched(runs.stage1)["space"]["backbone"]["derm->clinic"]
    assert found["mean_rank"] == pytest.approx(float(ranks.mean()), abs=1e-12)


def test_studies_that_share_a_file_are_left_out(studies, matched, runs):
    def change(i, row):
        # Studies 1 and 2 show the clinical image of study 0.
        return {**row, "clinic": "images/lesion-00000_clinic.jpg"} if i in (1, 2) else row

    record = matched(runs.stage1, studies("shared", change))
    less = record["without_duplicates"]
    assert less["left_out"] == 2
    for directions in less["space"].values():
        assert {row["n"] for row in directions.values()} == {22}
    assert record["space"]["backbone"]["derm->clinic"]["n"] == 24
    assert "without_duplicates" not in matched(runs.stage1)


def test_a_copy_under_another_name_is_a_duplicate(studies, matched, runs):
    spec = studies("copied")
    folder = Path(spec.partition(":")[2]).parent
    copy = folder / "images" / "a-copy.jpg"
    copy.write_bytes((folder / "images" / "lesion-00000_clinic.jpg").read_bytes())

    def change(i, row):
        return {**row, "clinic": "images/a-copy.jpg"} if i == 1 else row

    record = matched(runs.stage1, studies("copied", change))
    assert record["without_duplicates"]["left_out"] == 1


def test_a_study_without_its_partner_does_not_count(studies, matched, runs):
    def change(i, row):
        return {**row, "clinic": ""} if i < 5 else row

    record = matched(runs.stage1, studies("missing", change))
    for directions in record["space"].values():
        assert {row["n"] for row in directions.values()} == {21}
    assert record["studies"]["train"] == 24


@pytest.mark.parametrize("pairs", [0, 1])
def test_fewer_than_two_pairs(studies, matched, runs, pairs):
    def change(i, row):
        return {**row, "clinic": ""} if row["split"] == "test" and i // 5 >= pairs else row

    spec = studies(f"{pairs}-pairs", change)
    with pytest.raises(DataError) as caught:
        matched(runs.stage1, spec, split="test")
    assert str(caught.value) == (
        f"The split test of {spec} has {pairs} studies with images of two modalities; matching "
        "needs at least two, and features of equal width. Choose another --split."
    )


def test_labels_are_not_needed(studies, matched, runs):
    def change(i, row):
        return {name: row[name] for name in ("id", "derm", "clinic", "split")}

    assert matched(runs.stage1, studies("bare", change))["space"]["backbone"]


@pytest.fixture
def three(studies, opened, images, stage1_run, tmp_path):
    """A run with networks for three modalities, of which the third shows other lesions."""

    def change(i, row):
        return {**row, "close": f"images/lesion-{39 - i:05d}_clinic.jpg"}

    variant = RunFolder(stage1_run).record().variant
    variant = altered(variant, data=(studies("three", change),), stage1={"epochs": 0})
    pretrain(variant, tmp_path / "three", opened(stage1_run).reporter, images)
    return tmp_path / "three"


def test_three_modalities_give_six_directions(matched, three):
    record = matched(three)
    names = ("derm", "clinic", "close")
    for space in record["space"].values():
        assert set(space) == {f"{one}->{other}" for one in names for other in names if one != other}
    assert json.loads((three / "eval" / "match-train.json").read_text("utf-8")) == record


def test_each_direction_has_its_own_pairs_and_chance(studies, matched, three):
    """Of 24 training studies four have no clinical and six no close image; no study lacks both."""

    def change(i, row):
        close = "" if i % 5 == 1 and i // 5 < 6 else f"images/lesion-{39 - i:05d}_clinic.jpg"
        clinic = "" if i % 5 == 0 and i // 5 < 4 else row["clinic"]
        return {**row, "clinic": clinic, "close": close}

    pairs = {"derm clinic": 20, "derm close": 18, "clinic close": 14}
    for space in matched(three, studies("unequal", change))["space"].values():
        assert len(space) == 6
        for direction, row in space.items():
            one, _, other = direction.partition("->")
            count = pairs.get(f"{one} {other}") or pairs[f"{other} {one}"]
            assert (row["n"], row["chance"]) == (count, (count + 1) / 2)


def test_data_that_lack_a_modality_are_matched_by_the_others(studies, matched, three):
    record = matched(three, studies("own"))
    for space in record["space"].values():
        assert list(space) == ["derm->clinic", "clinic->derm"]
        assert {row["n"] for row in space.values()} == {24}
    assert record["notes"] == [
        "The data have no close: its features are zeros, as for a missing image."
    ]


def test_a_fusion_without_streams_of_its_own_has_no_projection(
    opened, matched, images, stage1_run, tmp_path
):
    variant = RunFolder(stage1_run).record().variant
    variant = altered(variant, fusion="concat", options={}, stage1={"epochs": 0})
    pretrain(variant, tmp_path / "concat", opened(stage1_run).reporter, images)
    assert list(matched(tmp_path / "concat")["space"]) == ["backbone"]

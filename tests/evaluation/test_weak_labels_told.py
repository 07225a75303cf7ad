"""A run that weak labels or seeds have guided says so wherever its results are shown."""

import csv
import shutil
from pathlib import Path

import pytest

from sm3kit.core.errors import VariantError
from sm3kit.datasets.base import WeakScores
from sm3kit.datasets.manifest import Manifest
from sm3kit.deployment.model_card import model_card
from sm3kit.evaluation.comparison import compare_runs
from sm3kit.results.evaluation_table import evaluation_table
from sm3kit.results.legend import sentences
from sm3kit.runs.supervision import supervision_notes

TOLD = (
    "SEMI-SUPERVISED: in stage 2, the clusters of tone (24 studies) began with up to 3 studies of "
    "each class that a table named."
)


@pytest.fixture(scope="session")
def seeded_run(shared_run, studies, tmp_path_factory):
    """The folder of a run of both stages with seeds of one label. It must not be changed."""
    file = tmp_path_factory.mktemp("weak") / "seeds.csv"
    with (
        Path(studies("own").partition(":")[2]).open(newline="") as own,
        file.open("w", newline="") as lines,
    ):
        writer = csv.writer(lines)
        writer.writerow(["id", "tone:x", "tone:y", "tone:z"])
        for row in csv.DictReader(own):
            writer.writerow([row["id"], *(int(row["tone"] == name) for name in "xyz")])
    weak = {"weak": str(file), "weak_seeds": 3}
    return shared_run("seeded", clusterer="torch", stage2=weak)


@pytest.fixture
def seeded(seeded_run, tmp_path):
    return shutil.copytree(seeded_run, tmp_path / "seeded")


@pytest.mark.parametrize("protocol", ["probe", "knn", "match"])
def test_results_say_that_a_run_is_semi_supervised(evaluated, seeded, protocol):
    record = evaluated(seeded, protocol=protocol)
    assert record["notes"][0] == TOLD
    assert (record["of"]["weak"], record["of"]["weak_seeds"]) == ({"tone": 24}, 3)
    (section,) = evaluation_table(record).sections
    assert TOLD in sentences(section)


def test_a_comparison_says_which_run_it_is(opened, fast, seeded, runs):
    tasks = [(opened(run), fast) for run in (runs.stage2, seeded)]
    record = compare_runs(*tasks)
    assert record["notes"][0] == f"{seeded}: {TOLD}"


def test_the_card_of_an_export_says_so(opened, seeded, runs):
    guided, plain = (
        model_card(opened(run).trained, "x", "pass", None, None, [])
        for run in (seeded, runs.stage2)
    )
    assert f"- {TOLD}" in guided
    assert "without labels" not in guided
    assert "- Pre-trained without labels by sm3kit" in plain


def test_notes_on_several_runs_name_them():
    guided, seeds = {"weak": {"x": 5}, "weak_seeds": 0}, {"weak": {"x": 5}, "weak_seeds": 2}
    notes = supervision_notes([("a", [{}]), ("b", [guided]), ("c", [seeds]), ("d", [guided])])
    assert [note.partition(":")[0] for note in notes] == ["b, d", "c"]
    assert "Weakly supervised: stage 2 learned from weak labels of x (5 studies)." in notes[0]


def test_labels_that_are_made_from_what_guided_a_run_are_not_measured(
    opened, seeded, studies, registered
):
    """Whatever labels the data had in training: they are chosen anew for an evaluation."""

    class Scored(Manifest):
        def weak_scores(self):
            return {"tone": WeakScores(("x", "y", "z"), {}, makes_label=True)}

    registered("datasets", "scored", Scored)
    data = f"scored:{studies('own').partition(':')[2]}"
    with pytest.raises(VariantError) as caught:
        opened(seeded, data)
    assert f"The labels tone of {data} are made from its weak labels" in str(caught.value)
    assert str(caught.value).endswith("-o scored.labels=shape,edge")
    opened(seeded, data, options={"scored": {"labels": ("shape", "edge")}})

"""Studies that were trained on before, and images that were replaced, are told of everywhere."""

import dataclasses
import io
import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from sm3kit.cli.main import cli
from sm3kit.data.progress import Reporter
from sm3kit.evaluation.comparison import compare_runs
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.record_text import caveats
from sm3kit.runs.folder import RunFolder
from sm3kit.synthesis.layouts import write
from sm3kit.training.pretrain import pretrain

MOVED = ("lesion-00000", "lesion-00001")


def moved(number, row):
    """Two studies go from the split train to test."""
    return {**row, "split": "test"} if row["id"] in MOVED else row


@pytest.fixture
def own_copy(studies, runs, tmp_path):
    """A run, and a copy of its table and images that a test may change: (run, folder, spec)."""
    table = Path(studies("own").partition(":")[2])
    shutil.copytree(table.parent, tmp_path / "data")
    return runs.stage1, tmp_path / "data", f"manifest:{tmp_path / 'data' / 'own.csv'}"


def quiet():
    return Reporter(Console(file=io.StringIO()))


def marks(record):
    return record["seen"], record["replaced"]


@pytest.mark.parametrize("protocol", ["probe", "finetune", "knn", "match"])
def test_a_study_that_moved_to_the_measured_split_is_told(evaluated, runs, studies, protocol):
    honest = evaluated(runs.stage1, protocol=protocol)
    assert marks(honest) == ([], [])
    assert caveats(honest) == []
    record = evaluated(runs.stage1, studies("moved", moved), protocol=protocol)
    assert marks(record) == (list(MOVED), [])
    assert caveats(record) == [
        "SEEN: 2 of these studies, or others of the same patients or lesions, were used in training: "
        "lesion-00000, lesion-00001."
    ]
    kept = json.loads(Path(record["file"]).read_text("utf-8"))
    assert kept["seen"] == list(MOVED)


def test_a_study_of_a_patient_who_was_trained_on_is_seen(evaluated, runs, studies):
    def regrouped(number, row):
        if row["id"] == MOVED[0]:
            return None
        test = row["id"] == "lesion-00004"
        return {**row, "group": MOVED[0] if test else row["id"]}

    record = evaluated(runs.stage1, studies("regrouped", regrouped), protocol="match")
    assert marks(record) == (["lesion-00004"], [])


def test_a_renamed_study_is_known_by_its_images(evaluated, runs, studies):
    def renamed(number, row):
        row = moved(number, row)
        return {**row, "id": f"new-{number}"} if row["id"] in MOVED else row

    record = evaluated(runs.stage1, studies("renamed", renamed), protocol="match")
    assert marks(record) == (["new-0", "new-1"], [])


def test_other_studies_of_the_same_ids_are_others(evaluated, runs, tmp_path):
    write("manifest", tmp_path / "others", 40, 32, 1)
    spec = f"manifest:{tmp_path / 'others' / 'manifest.csv'}"
    assert marks(evaluated(runs.stage1, spec, protocol="match")) == ([], [])


def test_a_split_that_is_trained_on_by_choice_is_not_warned_of(evaluated, runs, studies):
    assert marks(evaluated(runs.stage1, protocol="match", split="train")) == ([], [])
    spec = studies("moved", moved)
    assert marks(evaluated(runs.stage1, spec, protocol="match", split="train")) == ([], [])


def test_so_is_a_split_that_the_run_was_told_to_train_on(evaluated, runs, images, tmp_path):
    variant = RunFolder(runs.stage1).record().variant
    both = dataclasses.replace(variant, splits=("train", "test"))
    pretrain(both, tmp_path / "both", quiet(), images)
    record = evaluated(tmp_path / "both", protocol="match")
    assert record["seen"] == []
    assert "Pre-training saw the images of the test split." in record["notes"]


def test_a_replaced_image_is_told_and_a_touched_one_is_not(own_copy, evaluated):
    run, folder, spec = own_copy
    pictures = sorted((folder / "images").glob("*_derm.jpg"))
    for picture in pictures:
        os.utime(picture, (1, 1))
    assert marks(evaluated(run, spec, protocol="match")) == ([], [])
    shutil.copy(pictures[0], pictures[4])
    record = evaluated(run, spec, protocol="match")
    assert marks(record) == ([], ["lesion-00004"])
    assert caveats(record) == [
        "REPLACED: the images of 1 studies have changed since the run was trained: lesion-00004."
    ]


def test_a_change_of_the_same_size_is_found(own_copy, evaluated):
    run, folder, spec = own_copy
    picture = folder / "images" / "lesion-00004_derm.jpg"
    content = bytearray(picture.read_bytes())
    content[-3] ^= 1
    picture.write_bytes(content)
    assert evaluated(run, spec, protocol="match")["replaced"] == ["lesion-00004"]


def test_a_run_without_a_record_says_so_and_is_measured(evaluated, runs):
    RunFolder(runs.stage1).studies_file.unlink()
    record = evaluated(runs.stage1, protocol="match")
    assert marks(record) == (None, None)
    assert caveats(record) == []
    assert record["notes"] == [
        "The run keeps no record of its studies, so studies that were trained on cannot be "
        "detected."
    ]


def test_a_run_that_was_stopped_in_stage_2_says_so(evaluated, runs):
    run = RunFolder(runs.stage1)
    model = run.trained()
    both = dataclasses.replace(model.variant, stage="both")
    dataclasses.replace(model.facts, variant=both).write(run.model, model.weights)
    assert evaluated(run.folder, protocol="match")["notes"] == [
        "Stage 2 of the run is not finished: this evaluates the networks of stage 1. To finish it: "
        f"sm3kit pretrain --resume --out {run.folder}"
    ]


def test_what_the_run_before_was_trained_on_counts_too(evaluated, runs, studies, images, tmp_path):
    variant = RunFolder(runs.stage1).record().variant
    data = (studies("moved", moved),)
    later = dataclasses.replace(variant, data=data, init=str(runs.stage1))
    pretrain(later, tmp_path / "later", quiet(), images)
    again = dataclasses.replace(later, init=str(tmp_path / "later"))
    pretrain(again, tmp_path / "again", quiet(), images)
    shutil.rmtree(runs.stage1)
    shutil.rmtree(tmp_path / "later")
    assert evaluated(tmp_path / "again", protocol="match")["seen"] == list(MOVED)


def test_a_comparison_says_what_holds_for_either_run(opened, runs, studies, fast, own_copy):
    settings = dataclasses.replace(fast, protocol="knn")
    spec = studies("moved", moved)
    RunFolder(runs.stage2).studies_file.unlink()
    pair = [(opened(run, spec), settings) for run in (runs.stage1, runs.stage2)]
    record = compare_runs(*pair)
    assert marks(record) == (list(MOVED), [])


def test_a_result_is_made_anew_once_images_were_replaced(own_copy, opened, fast):
    run, folder, spec = own_copy
    settings = dataclasses.replace(fast, protocol="knn")
    assert marks(evaluate(opened(run, spec), settings)) == ([], [])
    shutil.copy(folder / "images/lesion-00003_derm.jpg", folder / "images/lesion-00004_derm.jpg")
    record = compare_runs(*[(opened(run, spec), settings)] * 2)
    assert marks(record) == ([], ["lesion-00004"])


class TestCommands:
    @pytest.fixture
    def spec(self, studies):
        return studies("moved", moved)

    def test_evaluate_warns_in_one_line_even_if_quiet(self, runs, spec):
        words = ["evaluate", str(runs.stage1), "--data", spec, "--protocol", "match", "-q"]
        lines = CliRunner().invoke(cli, words).output.splitlines()
        assert lines[0].startswith("warning  SEEN: 2 of these studies, or others of the same")
        assert [line.partition(" ")[0] for line in lines] == ["warning", "written"]

    def test_embed_warns_and_keeps_the_names(self, runs, spec, tmp_path):
        out = str(tmp_path / "features.npz")
        words = ["embed", str(runs.stage1), "--data", spec, "--out", out, "--json"]
        result = CliRunner().invoke(cli, words)
        assert "SEEN: 2 of these studies" in result.stderr
        assert json.loads(result.stdout)["seen"] == list(MOVED)

    def test_predict_notes_it_for_a_split_that_was_held_out(self, runs, spec, evaluated):
        evaluated(runs.stage1)
        words = ["predict", str(runs.stage1), "--data", spec, "--json", "--split"]
        told = json.loads(CliRunner().invoke(cli, [*words, "test"]).stdout)["notes"]
        assert [note for note in told if note.startswith("SEEN: 2 of these studies")]
        told = json.loads(CliRunner().invoke(cli, [*words, "train"]).stdout)["notes"]
        assert not [note for note in told if "SEEN" in note]

    def test_the_report_marks_it(self, runs, spec, evaluated, tmp_path):
        evaluated(runs.stage1, spec, protocol="match")
        assert CliRunner().invoke(cli, ["report", str(runs.stage1)]).exit_code == 0
        page = (runs.stage1 / "report.html").read_text("utf-8")
        assert 'class="leaky"' in page
        assert "SEEN: 2 of the studies were used in training" in page
        assert "lesion-00000, lesion-00001." in page

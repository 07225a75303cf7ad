"""Named evaluations: a result with other settings never takes the place of the first."""

import dataclasses
import json
import shlex

import pytest
from click.testing import CliRunner

from sm3kit.cli.main import cli
from sm3kit.core.errors import VariantError
from sm3kit.deployment.predictor import find_classifier
from sm3kit.evaluation.result_files import label_of, result_file
from sm3kit.report.material import gather
from sm3kit.report.repeating import evaluation
from sm3kit.runs.folder import RunFolder

TINY = ["--epochs", "1", "-o", "evaluate.resamples=10"]


@pytest.fixture
def run(runs):
    return runs.stage1


def evaluate(*words, code=0):
    result = CliRunner().invoke(cli, ["evaluate", *map(str, words)])
    assert result.exit_code == code, result.output
    return result


def contents(run):
    return {file: file.read_bytes() for file in (run / "eval").rglob("*") if file.is_file()}


# Refused, and the command that keeps both


def test_other_settings_are_refused_with_a_command_that_works(run):
    evaluate(run, *TINY)
    before = contents(run)
    (line,) = evaluate(run, *TINY, "--lr", "0.1", "--batch-size", "16", code=1).output.splitlines()
    file = run / "eval" / "probe-test.json"
    assert line == (
        f"Error: {file} holds an evaluation with other settings (batch_size 128, not 16; lr 0.001, "
        f"not 0.1). Delete it, or give this one a name to keep both: sm3kit evaluate {run} "
        "--epochs 1 --batch-size 16 --lr 0.1 -o evaluate.resamples=10 --label batch_size-16-lr-0.1"
    )
    assert contents(run) == before
    command = shlex.split(line.partition("both: ")[2])
    record = json.loads(evaluate(*command[2:], "--json").stdout)
    assert record["file"] == str(run / "eval" / "probe-test-batch_size-16-lr-0.1.json")
    assert record["label"] == "batch_size-16-lr-0.1"
    assert record["notes"][0] == (
        "Evaluation batch_size-16-lr-0.1: epochs 1, batch_size 16, lr 0.1, resamples 10."
    )
    after = contents(run)
    assert {file: after[file] for file in before} == before
    names = {file.name for file in set(after) - set(before)}
    ends = ("json", "predictions.npz", "safetensors")
    assert names == {f"probe-test-{record['label']}.{end}" for end in ends} | {"metrics.csv"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--select", "last"], "select val_best, not last"),
        (["-o", "photo.border=2"], "photo.border unset, not 2"),
        (["-o", "evaluate.temperature=0.1"], "temperature 0.07, not 0.1"),
        (["-o", "evaluate.resamples=20"], "resamples 10, not 20"),
    ],
    ids=["select", "option", "temperature", "resamples"],
)
def test_every_setting_that_counts_is_told(run, words, told):
    knn = ["--protocol", "knn", "-o", "evaluate.resamples=10"]
    evaluate(run, *knn)
    (line,) = evaluate(run, *knn, *words, code=1).output.splitlines()
    assert f"other settings ({told}" in line
    command = shlex.split(line.partition("both: ")[2])
    evaluate(*command[2:])
    assert len(list((run / "eval").glob("*.json"))) == 2


def test_the_same_settings_again_are_no_mistake(run):
    first = json.loads(evaluate(run, *TINY, "--json").stdout)
    assert json.loads(evaluate(run, *TINY, "--json").stdout)["mean"] == first["mean"]
    # The neighbours look at no learning rate.
    evaluate(run, "--protocol", "knn")
    evaluate(run, "--protocol", "knn", "--lr", "0.1")


def test_a_name_is_kept_for_its_settings(run):
    evaluate(run, *TINY, "--label", "mine")
    evaluate(run, *TINY, "--label", "mine")
    (line,) = evaluate(run, *TINY, "--lr", "0.1", "--label", "mine", code=1).output.splitlines()
    assert "probe-test-mine.json holds an evaluation with other settings (lr 0.001" in line
    assert line.endswith("--label lr-0.1")


def test_a_record_from_before_a_setting_was_made_with_its_default(run):
    evaluate(run, *TINY)
    file = run / "eval" / "probe-test.json"
    record = json.loads(file.read_text("utf-8"))
    for name in ("missing", "modality_dropout", "drop", "threshold", "test_views", "schedule"):
        del record["settings"][name]
    file.write_text(json.dumps(record), "utf-8")
    for words, told in [
        (["--missing", "complete"], "missing zeros, not complete"),
        (["--threshold", "f1"], "threshold argmax, not f1"),
        (["-o", "evaluate.schedule=cosine"], "schedule constant, not cosine"),
    ]:
        (line,) = evaluate(run, *TINY, *words, code=1).output.splitlines()
        assert f"other settings ({told})" in line
    evaluate(run, *TINY)


@pytest.mark.parametrize("harm", ["{", "[]"])
def test_a_damaged_result_is_replaced(run, harm):
    evaluate(run, "--protocol", "knn")
    (run / "eval" / "knn-test.json").write_text(harm, "utf-8")
    evaluate(run, "--protocol", "knn", "--select", "last")


def test_so_is_one_of_networks_that_are_gone(runs):
    evaluate(runs.stage1, "--protocol", "knn")
    (runs.stage1 / "model.safetensors").write_bytes(
        (runs.stage2 / "model.safetensors").read_bytes()
    )
    evaluate(runs.stage1, "--protocol", "knn", "--select", "last")


def test_a_comparison_replaces_nothing_and_prints_its_own_command(runs):
    knn = ["--protocol", "knn", "-o", "evaluate.resamples=10"]
    evaluate(runs.stage2, *knn)
    words = [runs.stage1, runs.stage2, "--compare", *knn, "-o", "evaluate.temperature=0.1"]
    (line,) = evaluate(*words, code=1).output.splitlines()
    assert not (runs.stage1 / "eval").exists()
    command = shlex.split(line.partition("both: ")[2])
    assert command[2:5] == [str(runs.stage1), str(runs.stage2), "--compare"]
    record = json.loads(evaluate(*command[2:], "--json").stdout)
    assert record["label"] == "temperature-0.1"
    assert record["files"] == [
        str(run / "eval" / "knn-test-temperature-0.1.json") for run in (runs.stage1, runs.stage2)
    ]


# Names


@pytest.mark.parametrize("label", ["a b", "../up", ".hidden", "a/b", "é", "-x", "x" * 61])
def test_what_cannot_be_a_name_is_refused_before_any_work(run, evaluated, label):
    with pytest.raises(VariantError) as caught:
        evaluated(run, label=label)
    assert str(caught.value).startswith(
        "--label takes a name of up to 60 letters, digits and . _ - + =, such as lr-0.1, not "
    )
    assert not (run / "eval").exists()


@pytest.mark.parametrize(
    "label", ["test_best", "last", "heads", "seed3", "probe-test", "knn-val-x"]
)
def test_words_of_file_names_are_no_labels(run, evaluated, label):
    with pytest.raises(VariantError) as caught:
        evaluated(run, label=label)
    assert str(caught.value) == (
        f"--label {label} is reserved for files made with this setting. Choose another name, such "
        f"as my-{label}."
    )


def test_the_label_comes_last(opened, fast, run):
    settings = dataclasses.replace(fast, scope="heads", seed=3)
    file = result_file(opened(run), settings, "a.b")
    assert file == run / "eval" / "probe-test-heads-seed3-a.b.json"


def test_a_name_is_made_of_what_is_new():
    assert label_of({"lr": (0.001, 0.1)}) == "lr-0.1"
    assert label_of({"map": ({}, {"clinic": "close up"})}) == "map-clinic-close-up"
    assert label_of({"lr": (1, "x" * 80)}) == "second"


# Who reads them


def test_the_unlabelled_classifier_is_taken_unless_one_is_named(run, evaluated):
    evaluated(run, label="first")
    trained = RunFolder(run).trained()
    assert find_classifier(trained).label == "first"
    evaluated(run, select="test_best")
    evaluated(run, protocol="finetune", epochs=1, label="tuned")
    # A leaky one is no better for having no name.
    assert find_classifier(trained).label == "first"
    evaluated(run, epochs=2)
    assert find_classifier(trained).path.stem == "probe-test"
    evaluated(run, epochs=1, label="tuned")
    assert find_classifier(trained, name="first").path.stem == "probe-test-first"
    assert find_classifier(trained, name="probe-test-first").label == "first"
    # Of two with one label, the run's own protocol comes first.
    assert find_classifier(trained, name="tuned").protocol == "probe"
    assert find_classifier(trained, "finetune", name="tuned").protocol == "finetune"
    with pytest.raises(VariantError) as caught:
        find_classifier(trained, name="firts")
    assert str(caught.value) == (
        "--classifier: No classifier named 'firts'. Did you mean 'first'? Known: "
        "finetune-test-tuned, first, probe-test, probe-test-first, probe-test-test_best, "
        "probe-test-tuned, tuned."
    )


def test_the_report_shows_a_named_result_after_the_others(run, evaluated):
    evaluated(run, protocol="knn", temperature=0.1, label="warm")
    evaluated(run, protocol="match", select="last")
    evaluated(run)
    material = gather(run)
    titles = [result.title for result in material.results]
    assert titles == ["probe, split test", "match, split test", "knn, split test, warm"]
    assert material.main.title == "probe, split test"
    command = evaluation(material.results[2].record, material.record.variant, "here")
    assert command.words == (
        "sm3kit", "evaluate", "here", "--protocol", "knn", "-o", "evaluate.temperature=0.1", "-o",
        "evaluate.min_positives=1", "-o", "evaluate.resamples=20", "--label", "warm",
    )  # fmt: skip


def test_a_classifier_of_before_has_no_label(run, evaluated):
    evaluated(run)
    file = find_classifier(RunFolder(run).trained())
    assert (file.label, file.path.stem) == ("", "probe-test")

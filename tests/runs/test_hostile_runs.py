"""Run folders in which a file was replaced by a damaged or hostile one: one line for each."""

import json
import shutil
import warnings

import pytest
import torch
from hostile_weights import MARK, hostile_files
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sm3kit.core.errors import CheckpointError, SM3Error
from sm3kit.runs.folder import RunFolder
from sm3kit.training.checkpoints import read_checkpoint


@pytest.fixture(scope="module")
def files(stage1_run, tmp_path_factory):
    state = load_file(RunFolder(stage1_run).model)
    name = next(name for name, value in state.items() if value.ndim == 4)
    # The tensor that the lies are about comes first.
    return hostile_files(tmp_path_factory.mktemp("hostile"), {name: state.pop(name), **state})


@pytest.fixture
def run(stage1_run, tmp_path):
    shutil.copytree(stage1_run, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def put(file, source):
    """A file of a run replaced by another, or by a link to what is no file."""
    file.unlink()
    file.symlink_to(source)


def refusal(read, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointError) as caught:
            read(*arguments)
    said = str(caught.value)
    assert "\n" not in said and len(said) < 1000 and "weights_only" not in said
    return said


def test_the_model_of_a_run(run, files, capfd):
    for source in files.values():
        put(run.model, source)
        assert str(run.folder) in refusal(run.trained)
        assert not run.finished
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["last", "mmssl"])
def test_the_checkpoints_of_a_run(run, files, name, capfd):
    path = getattr(run, name)
    for source in files.values():
        path.unlink(missing_ok=True)
        path.symlink_to(source)
        assert refusal(read_checkpoint, path).startswith(f"The checkpoint {path} ")
    assert not (files["empty"].parent / MARK).exists(), "the code in a file has run"
    assert capfd.readouterr() == ("", "")


def test_a_checkpoint_that_has_changed(run):
    whole = read_checkpoint(run.mmssl)
    loop = {}
    loop["loop"] = loop
    deep = {"a": 1}
    for _ in range(200):
        deep = {"a": deep}
    changes = {
        "format": ["1", None, 99, torch.ones(3)],
        "stage": [5, None],
        "epochs_done": ["many", torch.ones(3)],
        "variant": [[], "x"],
        "data_hash": [5],
        "model": [[], None, loop],
        "optimiser": [[]],
    }
    for name, values in changes.items():
        for value in values:
            torch.save({**whole, name: value}, run.mmssl)
            refusal(read_checkpoint, run.mmssl)
    for name in ("format", "stage", "epochs_done", "variant", "data_hash", "model"):
        torch.save({key: value for key, value in whole.items() if key != name}, run.mmssl)
        assert f"it has no {name}." in refusal(read_checkpoint, run.mmssl)
    torch.save({**whole, "more": deep}, run.mmssl)
    assert read_checkpoint(run.mmssl)["stage"] == "mmssl"


def changed_model(run, change):
    """The model of a run with other facts about itself or other tensors."""
    with safe_open(run.model, "pt") as file:
        facts = json.loads(file.metadata()["sm3kit"])
    tensors = load_file(run.model)
    text = change(facts, tensors) or json.dumps(facts)
    save_file(tensors, run.model, metadata={"format": "pt", "sm3kit": text})


def renamed(facts, tensors):
    name = next(iter(tensors))
    tensors[f"{name}x"] = tensors.pop(name)


def reshaped(facts, tensors):
    name = next(iter(tensors))
    tensors[name] = torch.zeros(3, 3, 3)


CHANGES = {
    "deep": lambda facts, tensors: "[" * 100_000,
    "deep-closed": lambda facts, tensors: "[" * 500 + "]" * 500,
    "list": lambda facts, tensors: "[]",
    "number": lambda facts, tensors: "5",
    "digits": lambda facts, tensors: "9" * 5000,
    "cut": lambda facts, tensors: json.dumps(facts)[:40],
    "no-variant": lambda facts, tensors: facts.pop("variant") and None,
    "variant-list": lambda facts, tensors: facts.update(variant=[]),
    "variant-other": lambda facts, tensors: facts["variant"].update(speed=3),
    "variant-value": lambda facts, tensors: facts["variant"].update(epochs="many"),
    "stage-number": lambda facts, tensors: facts.update(stage=5),
    "channels-list": lambda facts, tensors: facts.update(channels=["derm"]),
    "channels-text": lambda facts, tensors: facts.update(channels={"derm": "three"}),
    "labels-text": lambda facts, tensors: facts.update(labels={"DIAG": "five"}),
    "no-tensors": lambda facts, tensors: tensors.clear(),
    "renamed": renamed,
    "reshaped": reshaped,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_model_that_has_changed(run, name):
    changed_model(run, CHANGES[name])
    said = refusal(lambda: run.trained().branches({}))
    assert str(run.folder) in said


@pytest.mark.parametrize(
    "content", [b"", b"\0\n\0\n", b"\xff\xfe", b"a,b\n1,2\n", b"stage,epoch\nmmssl,x\n", b'"open']
)
def test_a_damaged_history(run, content):
    """An empty file has no rows, which is no damage."""
    run.metrics_file.write_bytes(content)
    if not content:
        assert run.metrics() == []
        return
    with pytest.raises(SM3Error, match=r"metrics\.csv is damaged\. Delete it"):
        run.metrics()

"""--init: a run starts from the networks of an earlier one, and says so."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from tiny_runs import altered

from sm3kit.core.errors import CheckpointError, Interrupted
from sm3kit.runs.folder import RunFolder
from sm3kit.training import fitting

change = dataclasses.replace


def weights(folder, *parts):
    found = load_file(RunFolder(Path(folder)).model)
    return {name: value for name, value in found.items() if not parts or name.startswith(parts)}


def same(one, two):
    assert one
    return one.keys() == two.keys() and all(torch.equal(one[n], two[n]) for n in one)


def record(folder):
    return yaml.safe_load((folder / "variant.yaml").read_text())


def manifest(folder, *modalities, channels=3):
    """Twelve studies of noise, each with a picture of every modality."""
    folder.mkdir()
    lines = [",".join(["id", "split", "group", *modalities])]
    for i in range(12):
        for m, name in enumerate(modalities):
            generator = torch.Generator().manual_seed(10 * i + m)
            shape = (32, 32, 3) if channels == 3 else (32, 32)
            noise = torch.randint(0, 255, shape, generator=generator, dtype=torch.uint8)
            Image.fromarray(noise.numpy()).save(folder / f"{name}{i}.png")
        lines.append(",".join([f"s{i}", "train", f"g{i}", *[f"{n}{i}.png" for n in modalities]]))
    (folder / "m.csv").write_text("\n".join(lines) + "\n")
    return f"manifest:{folder / 'm.csv'}"


@pytest.fixture
def copied(stage1_run, tmp_path):
    """A run of stage 1 that may be deleted."""
    return Path(shutil.copytree(stage1_run, tmp_path / "copied"))


def test_networks_start_from_the_earlier_run(tiny, stage1_run, studies, train, tmp_path):
    _, said = train(altered(tiny, init=str(stage1_run), seed=5, stage1={"epochs": 0}))
    assert f"init {stage1_run}, trained on {studies('own')}" in " ".join(said.split())
    assert same(weights(tmp_path / "run"), weights(stage1_run))


def test_training_goes_on_from_there(tiny, stage1_run, train, tmp_path):
    train(altered(tiny, init=str(stage1_run), stage1={"epochs": 1}), "from")
    train(altered(tiny, stage1={"epochs": 1}), "anew")
    assert not same(weights(tmp_path / "from"), weights(stage1_run))
    assert not same(weights(tmp_path / "from"), weights(tmp_path / "anew"))


def test_stage_2_leaves_the_networks_of_the_earlier_run(second, stage1_run, train, tmp_path):
    outcome, _ = train(second)
    networks = ("backbones.", "fusion.")
    assert same(weights(tmp_path / "run", *networks), weights(stage1_run))
    assert outcome.ranks == {}
    # So does stage 2 on a run that has one already.
    train(altered(second, init=str(tmp_path / "run"), relation="proj"), "third")
    assert same(weights(tmp_path / "third", *networks), weights(stage1_run))
    assert record(tmp_path / "third")["started_from"]["stage"] == "mlssl"


def test_the_record_says_where_a_run_comes_from(second, stage1_run, train, tmp_path):
    train(altered(second, stage2={"epochs": 1}))
    wanted = {
        "run": str(stage1_run),
        "model": RunFolder(stage1_run).trained().file_hash,
        "recipe": [],
        "data": list(second.data),
        "data_hash": record(stage1_run)["data_hash"],
        "stage": "mmssl",
        "splits": ["train"],
        "init": "",
        "seed": 0,
    }
    assert record(tmp_path / "run")["started_from"] == wanted
    # And still says so when it went on.
    train(second, resume=True)
    assert record(tmp_path / "run")["started_from"] == wanted
    assert RunFolder(tmp_path / "run").record().variant.init == str(stage1_run)
    assert "started_from" not in record(stage1_run)


def test_a_run_goes_on_when_the_earlier_one_has_gone(second, copied, train, tmp_path):
    one = altered(second, init=str(copied))
    train(altered(one, stage2={"epochs": 1}))
    train(one, "straight")
    shutil.rmtree(copied)
    train(one, resume=True)
    assert same(weights(tmp_path / "run"), weights(tmp_path / "straight"))


def test_even_if_it_was_stopped_in_its_first_epoch(second, copied, train, tmp_path, monkeypatch):
    one = altered(second, init=str(copied))
    train(one, "straight")

    def stop(*_):
        raise Interrupted("Stopped.")

    with monkeypatch.context() as patch:
        patch.setattr(fitting.StopBetweenSteps, "on_train_batch_end", stop)
        with pytest.raises(Interrupted, match="Stopped in the first epoch. Start again with"):
            train(one)
    shutil.rmtree(copied)
    train(one, resume=True)
    assert same(weights(tmp_path / "run"), weights(tmp_path / "straight"))
    assert record(tmp_path / "run")["started_from"]["run"] == str(copied)


def test_stage_1_goes_on_when_the_earlier_run_has_gone(tiny, copied, train, tmp_path):
    one = altered(tiny, init=str(copied))
    train(altered(one, stage1={"epochs": 1}))
    train(one, "straight")
    shutil.rmtree(copied)
    train(one, resume=True)
    assert same(weights(tmp_path / "run"), weights(tmp_path / "straight"))


# What does not fit


def test_another_backbone(tiny, stage1_run, train, tmp_path):
    with pytest.raises(CheckpointError) as caught:
        train(altered(tiny, init=str(stage1_run), backbone="timm/test_convnext"))
    assert str(caught.value) == (
        f"--init {stage1_run} was trained with --backbone timm/test_resnet for derm, "
        "not timm/test_convnext. Give the same backbone, or another run."
    )
    assert not (tmp_path / "run").exists()


def test_no_modality_in_common(tiny, stage1_run, train, tmp_path):
    spec = manifest(tmp_path / "d", "ct", "pet")
    with pytest.raises(CheckpointError) as caught:
        train(altered(tiny, init=str(stage1_run), data=(spec,)))
    assert str(caught.value) == (
        f"--init {stage1_run} has networks for derm, clinic, and the data have ct, pet. "
        "Rename a modality with --map."
    )


def test_a_modality_that_the_earlier_run_lacks(tiny, stage1_run, train, tmp_path):
    spec = manifest(tmp_path / "d", "derm", "mr")
    one = altered(tiny, data=(spec,), stage1={"epochs": 0})
    _, said = train(altered(one, init=str(stage1_run)))
    words = " ".join(said.split())
    assert f"warning: mr has no network in {stage1_run} and starts from new weights" in words
    assert (
        f"warning: the fusion of {stage1_run} is different: this one starts from new weights"
        in words
    )
    train(one, "anew")
    found, anew = weights(tmp_path / "run"), weights(tmp_path / "anew")
    assert same(weights(tmp_path / "run", "backbones.derm"), weights(stage1_run, "backbones.derm"))
    # "Anew" is the whole truth: no projector of the earlier run, although one is called alike.
    assert same(
        {n: v for n, v in found.items() if not n.startswith("backbones.derm")},
        {n: v for n, v in anew.items() if not n.startswith("backbones.derm")},
    )


def test_other_channels(tiny, stage1_run, train, tmp_path):
    spec = manifest(tmp_path / "d", "derm", "clinic", channels=1)
    options = {**tiny.options, "photo": {"channels": 1}}
    with pytest.raises(CheckpointError) as caught:
        train(altered(tiny, init=str(stage1_run), data=(spec,), options=options))
    assert str(caught.value).startswith(
        f"The weights of derm in {stage1_run} do not fit this network: Error(s) in loading state_dict"
    )


def test_a_folder_without_a_run(tiny, train, tmp_path):
    with pytest.raises(CheckpointError) as caught:
        train(altered(tiny, init=str(tmp_path)))
    assert str(caught.value) == (
        f"{tmp_path} holds no run: there is no model.safetensors in it. Give the folder that "
        "`sm3kit pretrain` wrote."
    )


def test_a_run_without_a_model(tiny, copied, train):
    RunFolder(copied).model.unlink()
    with pytest.raises(CheckpointError) as caught:
        train(altered(tiny, init=str(copied)))
    assert str(caught.value) == (
        f"The run {copied} has no model yet. Finish it with: sm3kit pretrain --resume --out {copied}"
    )


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_a_damaged_model(tiny, copied, train, keep):
    model = RunFolder(copied).model
    model.write_bytes(model.read_bytes()[:keep])
    with pytest.raises(CheckpointError) as caught:
        train(altered(tiny, init=str(copied)))
    text = str(caught.value)
    assert text.startswith(f"{model} is not a model written by sm3kit, or it is damaged: ")
    assert text.endswith("Train the run again.")

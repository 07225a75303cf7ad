"""Pre-training end to end, on tiny studies."""

import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import warm_processes
import yaml
from safetensors.torch import load_file
from tiny_runs import altered

from sm3kit.core.errors import (
    CheckpointError,
    DataError,
    OptionError,
    TrainingError,
    VariantError,
)
from sm3kit.runs.folder import RunFolder
from sm3kit.synthesis.layouts import write


def weights(folder):
    return load_file(RunFolder(folder).model)


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[n], two[n]) for n in one)


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_holds_all_that_a_run_holds(tiny, train, tmp_path):
    outcome, said = train(tiny)
    folder = tmp_path / "run"
    record = yaml.safe_load((folder / "variant.yaml").read_text())
    assert record["backbone"] == "timm/test_resnet"
    assert set(record["versions"]) >= {"sm3kit", "torch", "timm", "lightly"}
    assert len(record["data_hash"]) == 16
    assert record["hardware"]["precision"] == "32-true"
    found = rows(folder)
    assert [row["epoch"] for row in found] == ["1", "2"]
    assert {
        "loss",
        "simclr/derm",
        "simclr/clinic",
        "crossmodal/derm-clinic",
        "std/derm",
        "rankme/clinic",
        "alignment/derm",
        "uniformity/clinic",
        "alignment/derm-clinic",
        "rank/derm->clinic",
        "rank/clinic->derm*",
        "lr",
        "images_per_second",
    } <= set(found[0])
    terms = sum(float(found[0][t]) for t in found[0] if t.startswith(("simclr", "crossmodal")))
    assert float(found[0]["loss"]) == pytest.approx(terms)
    assert (folder / "checkpoints" / "mmssl.ckpt").is_file()
    assert {name.split(".")[0] for name in weights(folder)} == {"backbones", "fusion"}
    assert set(outcome.ranks) == {"train", "val"}
    assert "epoch 2/2  loss" in said
    assert not list(folder.rglob("*.part"))


@pytest.mark.parametrize("objective", ["simclr", "byol", "swav"])
@pytest.mark.parametrize("fusion", ["none", "concat", "sum", "sep_shared", "sep_sep"])
def test_every_objective_trains_with_every_fusion(tiny, train, objective, fusion):
    options = {**tiny.options, "byol": {"hidden": 32}, "swav": {"prototypes": 5, "queue": 8}}
    one = altered(
        tiny,
        objective=(objective,),
        fusion=fusion,
        options=options,
        stage1={"epochs": 1, "monitor_every": 0},
    )
    outcome, said = train(one)
    assert outcome.run.finished
    assert objective in said


def slow(**changes):
    """Changes that are tried in the whole suite alone."""
    return pytest.param(changes, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": ("simclr",)},
        slow(objective=("byol",), options={"byol": {"hidden": 32}}),
        slow(
            objective=("swav", "dino"),
            options={
                "swav": {"prototypes": 5, "queue": 8},
                "dino": {"prototypes": 9, "hidden": 32},
                "photo": {"local_views": 2, "local_size": 16},
            },
        ),
        slow(
            objective=("simclr",),
            options={"timm": {"drop_path": 0.2}},
            backbone="test_convnext",
        ),
    ],
    ids=["simclr", "byol", "multi-crop", "random-depth"],
)
def test_a_resumed_run_is_the_straight_run_bit_for_bit(tiny, train, tmp_path, changes):
    changes = {**changes, "options": {**tiny.options, **changes.get("options", {})}}
    one = altered(tiny, stage1={"epochs": 4}, **changes)
    train(one, "straight")

    class Crash(Exception):
        pass

    import pytorch_lightning as pl

    from sm3kit.training import callbacks

    stop = callbacks.StopBetweenSteps.on_train_batch_end
    try:
        # The power fails in the middle of the third epoch.
        def fail(self, trainer: pl.Trainer, *rest):
            if trainer.current_epoch == 2:
                raise Crash

        callbacks.StopBetweenSteps.on_train_batch_end = fail
        with pytest.raises(Crash):
            train(one, "broken")
    finally:
        callbacks.StopBetweenSteps.on_train_batch_end = stop
    assert not RunFolder(tmp_path / "broken").finished
    _, said = train(one, "broken", resume=True)
    assert "resume   after epoch 2 of 4" in said or "resume   after epoch 1 of 4" in said
    assert same(weights(tmp_path / "straight"), weights(tmp_path / "broken"))
    numbers = [
        [{k: v for k, v in row.items() if k != "images_per_second"} for row in rows(tmp_path / one)]
        for one in ("straight", "broken")
    ]
    assert numbers[0] == numbers[1]


def test_the_seed_decides_and_workers_do_not(tiny, train, tmp_path):
    one = altered(tiny, stage1={"epochs": 1})
    train(one, "a")
    train(altered(one, machine={"workers": 2}), "b")
    train(dataclasses.replace(one, seed=1), "c")
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_a_resumed_run_needs_its_first_weights_no_more(tiny, train, tmp_path):
    from safetensors.torch import save_file

    from sm3kit.backbones.timm import Timm

    first = tmp_path / "first.safetensors"
    save_file(Timm("test_resnet", 3).model.state_dict(), first)
    one = altered(tiny, weights=str(first), stage1={"epochs": 1})
    train(one)
    first.unlink()
    outcome, said = train(altered(one, stage1={"epochs": 2}), resume=True)
    assert "resume   after epoch 1 of 2" in said
    assert outcome.run.finished


def test_zero_epochs_keep_the_initial_weights(tiny, train, tmp_path):
    outcome, _ = train(altered(tiny, stage1={"epochs": 0}))
    assert outcome.run.finished
    assert not (tmp_path / "run" / "metrics.csv").exists()


def test_more_epochs_go_on_with_a_finished_run(tiny, train, tmp_path):
    train(altered(tiny, stage1={"epochs": 1}))
    train(altered(tiny, stage1={"epochs": 3}), resume=True)
    train(altered(tiny, stage1={"epochs": 3}), "straight")
    assert same(weights(tmp_path / "run"), weights(tmp_path / "straight"))


def manifest(folder, modalities, count=12, missing=None):
    """A manifest of tiny grey squares."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    lines = [",".join(["id", "split", "group", *modalities, "stage"])]
    for i in range(count):
        cells = []
        for m, name in enumerate(modalities):
            path = folder / f"{name}{i}.png"
            Image.new("RGB", (32, 32), (20 * i % 255, 60 * m, 128)).save(path)
            cells.append("" if missing and missing(i, name) else path.name)
        split = "train" if i < count - 4 else "val"
        lines.append(",".join([f"s{i}", split, f"g{i}", *cells, "one" if i % 2 else "two"]))
    (folder / "m.csv").write_text("\n".join(lines) + "\n")
    return f"manifest:{folder / 'm.csv'}"


@pytest.mark.parametrize("fusion", ["none", "concat", "sum", "sep_shared", "sep_sep"])
def test_three_modalities_with_missing_ones(tiny, train, tmp_path, fusion):
    spec = manifest(
        tmp_path / "d",
        ["ct", "pet", "mr"],
        missing=lambda i, n: (n == "mr" and i % 2) or (n == "pet" and i == 3),
    )
    one = altered(tiny, data=(spec,), fusion=fusion, stage1={"batch_size": 4})
    outcome, said = train(one)
    last = rows(outcome.run.folder)[-1]
    assert float(last["loss"]) < 1e3
    assert "mr 4" in said
    if fusion == "sep_sep":
        assert {"crossmodal/ct-pet", "crossmodal/ct-mr", "crossmodal/pet-mr"} <= set(last)
        assert {"rank/ct->mr*", "rank/mr->ct*"} <= set(last)


def test_one_modality_is_simclr_derm(tiny, train):
    one = altered(tiny, modality=("derm",), fusion="none", stage1={"epochs": 1})
    outcome, _ = train(one)
    assert {name.split(".")[1] for name in weights(outcome.run.folder)} == {"derm"}
    assert outcome.ranks == {}


def test_options_of_a_modality_that_is_not_used_are_no_mistake(tiny, train):
    options = {**tiny.options, "clinic": {"flip": 0.0}, "derm": {"flip": 1.0}}
    one = altered(tiny, modality=("derm",), fusion="none", options=options, stage1={"epochs": 1})
    assert train(one)[0].run.finished


def test_pooled_data_keep_their_labels_apart(tiny, train, tmp_path):
    spec = manifest(tmp_path / "d", ["close-up", "derm"])
    one = altered(
        tiny,
        data=("synthetic:40", spec),
        map={"clinic": "close-up"},
        stage1={"epochs": 1, "monitor_every": 0},
    )
    from sm3kit.networks.assemble import build_pool

    pool = build_pool(one)
    assert set(pool.modalities) == {"derm", "clinic"}
    names = [label.name for label in pool.labels]
    assert names[0] == "synthetic/DIAG"
    assert names[-1] == "manifest/stage"
    last = pool.cases["train"][-1]
    assert last.labels[:8] == (-1,) * 8
    assert last.labels[8] >= 0
    outcome, _ = train(one)
    assert outcome.run.finished


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        (
            {"stage1": {"batch_size": 1}},
            OptionError,
            "The settings of stage 1: option 'batch_size' must be a whole number from 2 to 1000000, not 1",
        ),
        (
            {"machine": {"workers": 999}},
            VariantError,
            r"--workers 999 is more than the \d+ studies",
        ),
        ({"modality": ("derm",)}, VariantError, "--fusion sep_sep needs two modalities"),
        ({"modality": ("dern",)}, VariantError, "No modality named 'dern'. Did you mean 'derm'"),
        (
            {"fusion": "none", "objective": ("crossmodal",)},
            VariantError,
            "and --fusion none gives none",
        ),
        ({"fusion": "none", "objective": ()}, VariantError, "There is nothing to learn from"),
        (
            {"options": {"simclrr": {"hidden": 8}}},
            OptionError,
            "Option -o simclrr.…: No plugin named 'simclrr'. Did you mean 'simclr'",
        ),
        ({"modality": ("derm",), "fusion": "concat"}, VariantError, "--fusion concat needs two"),
        ({"map": {"a": "b"}}, VariantError, "Option --map a=b: No modality named 'b'"),
    ],
)
def test_what_cannot_be_trained_is_said_first(tiny, train, tmp_path, changes, error, said):
    with pytest.raises(error, match=said):
        train(altered(tiny, **changes))
    assert not (tmp_path / "run").exists()


def test_no_pair_at_all(tiny, train, tmp_path):
    spec = manifest(tmp_path / "d", ["ct", "pet"], missing=lambda i, n: (n == "ct") == bool(i % 2))
    with pytest.raises(DataError, match="No study has images of two modalities"):
        train(dataclasses.replace(tiny, data=(spec,)))


def test_an_unreadable_image_is_named_before_anything_is_trained(tiny, train, tmp_path):
    spec = manifest(tmp_path / "d", ["ct", "pet"])
    (tmp_path / "d" / "pet3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"pet3\.png"):
        train(dataclasses.replace(tiny, data=(spec,)))
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_never_overwritten(tiny, train, tmp_path):
    train(altered(tiny, stage1={"epochs": 0}))
    before = (tmp_path / "run" / "variant.yaml").read_bytes()
    with pytest.raises(VariantError, match="holds a run already. Give another --out, or resume"):
        train(tiny)
    assert (tmp_path / "run" / "variant.yaml").read_bytes() == before


def test_a_checkpoint_of_another_variant(tiny, train, tmp_path):
    train(altered(tiny, stage1={"epochs": 1}))
    with pytest.raises(
        CheckpointError, match="a run with other settings: its stage1.lr is 0.001, not 0.1"
    ):
        train(altered(tiny, stage1={"epochs": 2, "lr": 0.1}), resume=True)


def test_a_damaged_checkpoint(tiny, train, tmp_path):
    train(altered(tiny, stage1={"epochs": 1}))
    last = RunFolder(tmp_path / "run").last
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(
        CheckpointError, match=r"last\.ckpt cannot be read: .* Delete it to start over"
    ):
        train(altered(tiny, stage1={"epochs": 2}), resume=True)


def test_data_that_changed_under_a_run(tiny, train, tmp_path):
    spec = manifest(tmp_path / "d", ["ct", "pet"])
    one = altered(tiny, data=(spec,), stage1={"epochs": 1})
    train(one)
    table = tmp_path / "d" / "m.csv"
    table.write_text(table.read_text().replace("s0,train", "s0,val"))
    with pytest.raises(CheckpointError, match="have changed since its training began"):
        train(altered(one, stage1={"epochs": 2}), resume=True)


def test_a_loss_that_is_not_finite_names_its_term(tiny, train):
    with pytest.raises(
        TrainingError, match=r"The loss term simclr/derm.* is not finite in epoch \d"
    ):
        # Each step multiplies the weights by about 1 - 100 * 1000.
        train(
            altered(
                tiny, stage1={"lr": 100.0, "weight_decay": 1000.0, "batch_size": 4, "epochs": 3}
            )
        )


def cli(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "sm3kit", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, **more.pop("env", {})},
        **more,
    )


SMALL = (
    *("--data", "synthetic:40", "-o", "synthetic.size=32", "--backbone", "test_resnet"),
    *("--image-size", "32", "--batch-size", "8"),
)
STAGE_1 = ("--stage", "mmssl")
# Small networks of stage 2, for an epoch.
STAGE_2 = ("--mlssl-epochs", 1, "--feature-views", 1, "-o", "tel.embedding=16")


def started(folder, *arguments):
    """A pre-training in a process of its own, after its first checkpoint."""
    words = ("pretrain", *SMALL, *STAGE_1, "--out", folder, *arguments)
    started = warm_processes.start(*words)
    deadline = time.monotonic() + 120
    while not RunFolder(folder).last.is_file():
        assert started.process.is_alive(), started.wait()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return started


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_the_run_goes_on(tmp_path):
    training = started(tmp_path / "run", "--epochs", "400")
    os.kill(training.process.pid, signal.SIGINT)
    code, *both = training.wait()
    said = "".join(both)
    assert code == 1
    assert "Stopped in epoch" in said
    assert f"Resume with: sm3kit pretrain --resume --out {tmp_path / 'run'}" in said
    assert "Traceback" not in said
    done = torch.load(RunFolder(tmp_path / "run").last, weights_only=True)["epochs_done"]
    words = ("pretrain", "--resume", "--out", tmp_path / "run", "--epochs", done + 1)
    code, said, errors = warm_processes.run(*words)
    assert code == 0, errors
    assert f"resume   after epoch {done} of {done + 1}" in said


@pytest.mark.slow
def test_kill_leaves_the_last_whole_checkpoint(tmp_path):
    for pause in (0.0, 0.15, 0.4):
        folder = tmp_path / f"run{pause}"
        training = started(folder, "--epochs", "400")
        time.sleep(pause)
        training.process.kill()
        training.wait()
        content = torch.load(RunFolder(folder).last, weights_only=True)
        assert content["epochs_done"] >= 1
        assert not RunFolder(folder).finished
        shutil.rmtree(folder)


FULL_DISK = """
mount -t tmpfs -o size=3m none "$1"
code=0; "$2" -m sm3kit pretrain --out "$1/run" --epochs 2 "${@:3}" || code=$?
ls -A "$1/run" "$1/run/checkpoints"; exit $code
"""


@pytest.mark.slow
def test_a_full_disk_is_said_and_leaves_nothing_half_written(tmp_path):
    (tmp_path / "disk").mkdir()
    command = ["unshare", "--user", "--map-root-user", "--mount", "bash", "-euc", FULL_DISK, "-"]
    try:
        done = subprocess.run(
            [*command, tmp_path / "disk", sys.executable, *SMALL, *STAGE_1],
            capture_output=True,
            text=True,
            timeout=240,
        )
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip("this machine does not let us mount")
    assert done.returncode == 1
    assert "last.ckpt: No space left on device. Free some space, then continue with" in done.stderr
    assert "Traceback" not in done.stderr
    assert ".part" not in done.stdout
    assert "last.ckpt" not in done.stdout


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path):
    two = ("--epochs", 1, "--devices", 2, *STAGE_2, "--out", tmp_path / "run")
    done = cli("pretrain", *SMALL, *two)
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(weights(tmp_path / "run")) > 10
    assert done.stdout.count("done  ") == 1
    # The first process speaks for both.
    assert done.stdout.count("stage 2  ") == 1
    assert RunFolder(tmp_path / "run").finished
    assert [row["stage"] for row in rows(tmp_path / "run")] == ["mmssl", "mlssl"]


@pytest.mark.slow
def test_the_command_line_in_a_new_process(tmp_path):
    both = ("--epochs", 1, *STAGE_2, "--out", tmp_path / "run", "--no-cache")
    done = cli("pretrain", *SMALL, *both)
    assert done.returncode == 0, done.stderr
    assert RunFolder(tmp_path / "run").finished
    assert [row["stage"] for row in rows(tmp_path / "run")] == ["mmssl", "mlssl"]
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith("sm3kit ")
    assert first.endswith("recipe quick, because the built-in studies are small")
    assert second == f"run      {tmp_path / 'run'}"
    record = yaml.safe_load((tmp_path / "run" / "variant.yaml").read_text())
    assert record["recipe"] == ["quick"]
    again = ("pretrain", *SMALL, "--epochs", 2, "--out", tmp_path / "run")
    code, _, errors = warm_processes.run(*again)
    assert code == 1
    assert errors.startswith("Error: ")
    assert "holds a run already" in errors
    other = ("pretrain", "--resume", "--out", tmp_path / "run", "--lr", "0.5")
    code, _, errors = warm_processes.run(*other)
    assert code == 1
    assert "its stage1.lr is 0.004, not 0.5" in errors
    facts = json.loads(json.dumps(record["options"]))
    assert facts["synthetic"]["size"] in (32, "32")


def test_the_record_spells_out_every_option(tiny, train, tmp_path):
    options = {**tiny.options, "photo": {"crop_scale": "0.6,1"}, "simclr": {"temperature": "0.2"}}
    train(altered(tiny, options=options, stage1={"epochs": 1}))
    record = yaml.safe_load((tmp_path / "run" / "variant.yaml").read_text())["options"]
    assert record["simclr"]["temperature"] == 0.2
    assert record["simclr"]["head"] == "sm3"
    assert record["crossmodal"]["pairing"] == "aligned"
    assert record["sep_sep"] == {"projection": 16, "hidden": 0}
    assert record["photo"] == {"crop_scale": [0.6, 1.0]}


def test_a_run_goes_on_with_the_options_it_was_given(sm3kit_command, tmp_path):
    given = ("-o", "simclr.temperature=0.20", "-o", "photo.crop_scale=0.6,1", "-o", "derm.flip=0")
    out = ("--out", tmp_path / "run")
    done = sm3kit_command("pretrain", *SMALL, *STAGE_1, *given, "--epochs", 1, *out)
    assert done.exit_code == 0, done.stderr
    more = sm3kit_command("pretrain", "--resume", *out, *given, "--epochs", 2)
    assert more.exit_code == 0, more.stderr
    assert "resume   after epoch 1 of 2" in more.stdout
    other = sm3kit_command("pretrain", "--resume", *out, "-o", "simclr.temperature=0.3")
    assert other.exit_code == 1
    assert "its simclr.temperature is 0.2, not 0.3" in other.stderr


def test_derm7pt_and_milk10k_train_from_their_layouts(tiny, train, tmp_path):
    write("derm7pt", tmp_path / "d7", 30, 64)
    write("milk10k", tmp_path / "m10", 30, 64)
    one = altered(
        tiny,
        data=(f"derm7pt:{tmp_path / 'd7'}", f"milk10k:{tmp_path / 'm10'}"),
        stage1={"epochs": 1},
    )
    outcome, said = train(one)
    assert outcome.run.finished
    assert "derm7pt" in said


@pytest.mark.slow
def test_real_pairs_are_learnt_from(tiny, train, milk10k_folder):
    one = altered(tiny, data=(f"milk10k:{milk10k_folder}",), stage1={"epochs": 1, "batch_size": 64})
    outcome, _ = train(one)
    assert outcome.run.finished

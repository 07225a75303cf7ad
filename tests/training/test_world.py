"""What launchers leave in the environment does not decide how many processes train a run."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import warm_processes
from click.testing import CliRunner
from pytorch_lightning.utilities import rank_zero_only

from sm3kit.cli.main import cli
from sm3kit.core.errors import VariantError
from sm3kit.runs.folder import RunFolder
from sm3kit.training import fitting
from sm3kit.training.processes.work import Work, given_work, tell_work
from sm3kit.training.processes.world import join_world

TINY = (
    *("--data", "synthetic:24", "--image-size", "16", "--stage", "mmssl", "--epochs", "1"),
    *("--batch-size", "8", "--precision", "32", "--workers", "0", "--recipe", "quick"),
)
STEP = {"SLURM_STEP_ID": "0", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"}
LEFTOVERS = (
    {"LOCAL_RANK": "1"},
    {"RANK": "1", "WORLD_SIZE": "4"},
    {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"},
    {"SLURM_PROCID": "1"},
    {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", **STEP},
    {"PMI_RANK": "1", "PMI_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"},
    {"JSM_NAMESPACE_RANK": "1", "JSM_NAMESPACE_SIZE": "2", "JSM_NAMESPACE_LOCAL_RANK": "1"},
    {"NODE_RANK": "1"},
    {"GROUP_RANK": "1"},
    {"SM3KIT_WORK": "elsewhere"},
    {"SM3KIT_WORK": '1 ["elsewhere", ""]', "LOCAL_RANK": "1"},
)
ADDRESS = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29501"}


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    """The tests may themselves be run by one."""
    for name in {name for left in LEFTOVERS for name in left} | {*ADDRESS, "SLURM_JOB_NAME"}:
        monkeypatch.delenv(name, raising=False)


def names(left):
    return "+".join(left)


@pytest.fixture
def environment(monkeypatch):
    """environment(variables), as Lightning sees it when it is imported."""

    def put(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(rank_zero_only, "rank", 1)

    return put


@pytest.mark.parametrize("left", LEFTOVERS, ids=names)
def test_one_device_trains_whatever_the_environment_says(environment, left, tmp_path):
    environment(left)
    result = CliRunner().invoke(cli, ["pretrain", *TINY, "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert f"done     {tmp_path / 'run' / 'model.safetensors'}" in result.output
    assert RunFolder(tmp_path / "run").finished
    assert rank_zero_only.rank == 0


@pytest.mark.parametrize("left", LEFTOVERS, ids=names)
def test_nothing_of_it_comes_to_lightning(environment, left):
    environment(left)
    stage = SimpleNamespace(epochs=1, first_epoch=0, clip=0.0, alike=False)
    training = fitting.Training(RunFolder(Path("run")), None, "", "")
    trainer = fitting._trainer(stage, [], training)
    ranks = (trainer.global_rank, trainer.local_rank, trainer.node_rank, rank_zero_only.rank)
    assert ranks == (0, 0, 0, 0)
    assert (trainer.world_size, trainer.is_global_zero) == (1, True)


@pytest.mark.slow
def test_all_of_it_at_once_in_a_new_process(tmp_path):
    left = {name: value for one in LEFTOVERS for name, value in one.items()}
    command = [sys.executable, "-m", "sm3kit", "pretrain", *TINY, "--out", str(tmp_path / "run")]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env={**os.environ, **left}
    )
    assert done.returncode == 0, done.stderr
    assert "done  " in done.stdout
    assert RunFolder(tmp_path / "run").finished


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({"WORLD_SIZE": "4"}, "--devices 2 and --num-nodes 1 make 2 processes, but WORLD_SIZE=4"),
        ({"SLURM_NTASKS": "4"}, "but SLURM_NTASKS=4 is set. Give as many as the launcher starts"),
        ({"SLURM_NTASKS": "1"}, "or, without a launcher, run `unset SLURM_NTASKS` first."),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", **STEP}, "but SLURM_NTASKS=4 is set."),
        ({"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4", "RANK": "0"}, "but WORLD_SIZE=4 is set."),
        (
            {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2"},
            "do not fit what started this process: RANK is not set",
        ),
        (
            {"SLURM_NTASKS": "2", "SLURM_PROCID": "0", **STEP},
            "do not fit what started this process: You set `--ntasks=2`",
        ),
        (
            {"LOCAL_RANK": "1"},
            "LOCAL_RANK=1 is set, as a launcher would, but WORLD_SIZE, MASTER_ADDR, MASTER_PORT is "
            "not. Without a launcher, run `unset LOCAL_RANK` first.",
        ),
        (
            {"LOCAL_RANK": "2", "WORLD_SIZE": "2", **ADDRESS},
            "--devices 2 needs LOCAL_RANK from 0 to 1, but LOCAL_RANK=2 is set.",
        ),
        (
            {"NODE_RANK": "1"},
            "--num-nodes 1 needs NODE_RANK from 0 to 0, but NODE_RANK=1 is set. Change one of them, "
            "or run `unset NODE_RANK` first.",
        ),
        ({"NODE_RANK": "one"}, "The environment variable NODE_RANK must be a number, not 'one'."),
    ],
)
def test_another_world_is_refused_before_anything_is_written(environment, left, said, tmp_path):
    environment(left)
    folder = tmp_path / "run"
    result = CliRunner().invoke(cli, ["pretrain", *TINY, "--devices", "2", "--out", str(folder)])
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not folder.exists()
    with pytest.raises(VariantError):
        join_world(2, 1)


@pytest.mark.parametrize(
    ("variables", "rank"),
    [
        ({}, 0),
        ({"NODE_RANK": "1"}, 2),
        ({"GROUP_RANK": "1"}, 2),
        ({"NODE_RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "4", **ADDRESS}, 3),
        # A rank alone numbers nothing.
        ({"RANK": "3"}, 0),
        ({"SLURM_PROCID": "3"}, 0),
        # The shell of an interactive session, and torchrun within a job.
        ({"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "bash", "SLURM_PROCID": "0", **STEP}, 0),
        (
            {"TORCHELASTIC_RUN_ID": "x", "RANK": "3", "WORLD_SIZE": "4"}
            | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", **STEP},
            3,
        ),
        (
            {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "2"}
            | {"SLURM_PROCID": "3", **STEP},
            3,
        ),
    ],
)
def test_the_place_among_four_processes_on_two_machines(environment, variables, rank):
    environment(variables)
    world = join_world(2, 2)
    assert (world.rank, world.is_first, world.size) == (rank, rank == 0, 4)


def test_those_that_are_started_know_their_work_and_nobody_else(environment, tmp_path):
    environment({"WORLD_SIZE": "2"})
    before, work = dict(os.environ), Work(tmp_path, "probe-test.json")
    assert given_work() is None
    with tell_work(work):
        assert given_work() is None  # The first process has it from nobody.
        environment({"LOCAL_RANK": "1", **ADDRESS})
        assert (given_work(), join_world(2, 1).rank) == (work, 1)
    assert dict(os.environ) == before


@pytest.mark.slow
def test_torchrun_numbers_the_processes(tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "sm3kit", "pretrain", *TINY, "--out", str(tmp_path / "run")]
    done = subprocess.run([*command, "--devices", "2"], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done  ") == 1
    assert RunFolder(tmp_path / "run").finished


@pytest.mark.slow
def test_what_a_script_does_with_its_runs_is_for_the_first_process_alone(tmp_path):
    """Two trainings of two processes, one after the other, and a look at each run."""
    script = tmp_path / "two.py"
    script.write_text(
        "import os, sm3kit\n"
        "if __name__ == '__main__':\n"
        "    for name in ('one', 'two'):\n"
        "        run = sm3kit.pretrain('synthetic:40', epochs=1, stage='mmssl', devices=2,\n"
        "            workers=0, backbone='test_resnet', weights='none', image_size=32,\n"
        "            out=name, quiet=True)\n"
        "        print(name, run.finished, os.environ.get('LOCAL_RANK', '0'), flush=True)\n",
        "utf-8",
    )
    code, said, errors = warm_processes.run(script=script, cwd=tmp_path)
    assert code == 0, errors
    # A process that was started for the second training finds the first one done.
    assert sorted(said.splitlines()) == ["one True 0", "one True 1", "two True 0"]

"""One training at a time writes into a run folder, and what never trained is no run."""

import dataclasses
import errno
import json
import os
import time

import pytest
import torch
import warm_processes
import yaml
from filelock import FileLock
from safetensors import safe_open
from tiny_runs import altered

from sm3kit.core.errors import Interrupted, SM3Error, TrainingError, VariantError
from sm3kit.core.files import STALE, remove_unfinished, whole_file
from sm3kit.report.artists import Artists
from sm3kit.report.drawing import Figures
from sm3kit.runs import run_lock
from sm3kit.runs.folder import RunFolder
from sm3kit.training import stage1

TINY = (
    *("--data", "synthetic:24", "--image-size", "16", "--stage", "mmssl"),
    *("--batch-size", "8", "--precision", "32", "--recipe", "quick"),
)


@pytest.fixture
def short(tiny):
    """One epoch of stage 1 and nothing else."""
    return altered(tiny, stage1={"epochs": 1, "monitor_every": 0})


def start(folder, *words):
    return warm_processes.start("pretrain", *TINY, "--out", folder, *words)


def facts(folder):
    with safe_open(RunFolder(folder).model, "pt") as file:
        return json.loads(file.metadata()["sm3kit"])


class TestLock:
    def test_a_second_training_is_refused_and_the_lock_is_no_litter(self, short, train, tmp_path):
        (tmp_path / "run").mkdir()
        with FileLock(str(tmp_path / "run" / run_lock.NAME)):
            with pytest.raises(VariantError) as caught:
                train(short)
            with pytest.raises(VariantError, match="Another process is training in"):
                train(short, resume=True)
        assert str(caught.value) == (
            f"Another process is training in {tmp_path / 'run'}. Wait until it ends, or give "
            "another --out."
        )
        assert [file.name for file in (tmp_path / "run").iterdir()] == [run_lock.NAME]
        outcome, _ = train(short)
        assert outcome.run.finished
        assert not (tmp_path / "run" / run_lock.NAME).exists()

    def test_tasks_of_a_launcher_are_told_more(self, short, train, tmp_path, monkeypatch):
        monkeypatch.setenv("SLURM_NTASKS", "2")
        (tmp_path / "run").mkdir()
        held = FileLock(str(tmp_path / "run" / run_lock.NAME))
        with held, pytest.raises(VariantError, match="of one launcher share a run with --devices"):
            train(short)

    def test_it_is_held_while_a_stage_trains_and_let_go_on_every_end(
        self, short, train, tmp_path, monkeypatch
    ):
        def fail(job, *rest):
            with pytest.raises(VariantError, match="Another process"):
                train(short)
            raise RuntimeError

        with monkeypatch.context() as patch:
            patch.setattr(stage1, "train", fail)
            with pytest.raises(RuntimeError):
                train(short)
        assert train(short)[0].run.finished

    def test_folders_that_were_made_for_it_alone_go_again(self, short, train, tmp_path):
        with pytest.raises(VariantError, match="--workers 999"):
            train(altered(short, machine={"workers": 999}), "new/deep/run")
        assert not (tmp_path / "new").exists()

    def test_a_file_system_without_locks_is_told(self, short, train, monkeypatch):
        def acquire(self, **how):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(run_lock.FileLock, "acquire", acquire)
        outcome, said = train(short)
        assert outcome.run.finished
        assert "does not support locks: do not start another training in it." in said.replace(
            "\n", " "
        )

    def test_a_folder_that_cannot_be_written(self, short, train, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(SM3Error) as caught:
            train(short, "file/run")
        assert str(caught.value) == (
            f"Cannot write {tmp_path / 'file' / 'run' / run_lock.NAME}: Not a directory. Choose "
            "another folder with --out."
        )

    @pytest.mark.slow
    def test_of_two_that_start_together_one_trains(self, tmp_path):
        processes = []
        for seed in ("0", "1"):
            processes.append(start(tmp_path / "run", "--epochs", "3", "--seed", seed))
            time.sleep(0.3)
        ends = [process.wait() for process in processes]
        codes = [code for code, *_ in ends]
        assert sorted(codes) == [0, 1], ends
        winner, loser = codes.index(0), codes.index(1)
        (line,) = ends[loser][2].splitlines()
        # A slow machine may let one end before the other looks.
        assert "Another process is training in" in line or "holds a run already" in line
        record = yaml.safe_load((tmp_path / "run" / "variant.yaml").read_text())
        assert record["seed"] == facts(tmp_path / "run")["variant"]["seed"] == winner

    @pytest.mark.slow
    def test_a_killed_run_goes_on_and_leaves_nothing(self, tmp_path):
        folder = tmp_path / "run"
        training = start(folder, "--epochs", "4000", "--workers", "2")
        while not RunFolder(folder).last.is_file():
            assert training.process.is_alive(), training.wait()
            time.sleep(0.05)
        training.process.kill()
        training.wait()
        left = folder / "checkpoints" / ".last.ckpt.0123456789ab.part"
        left.write_bytes(b"half")
        done = torch.load(RunFolder(folder).last, weights_only=True)["epochs_done"]
        more = start(folder, "--resume", "--epochs", str(done + 1), "--workers", "0")
        code, out, said = more.wait()
        assert code == 0, said
        assert f"resume   after epoch {done} of {done + 1}" in out
        assert not left.exists()
        assert RunFolder(folder).finished


class TestNoRun:
    def test_a_start_that_failed_is_no_run(self, short, train, stage1_run, tmp_path, monkeypatch):
        def fail(job, *rest):
            raise TrainingError("Too hot.")

        with monkeypatch.context() as patch:
            patch.setattr(stage1, "train", fail)
            with pytest.raises(TrainingError):
                train(dataclasses.replace(short, init=str(stage1_run)))
        run = RunFolder(tmp_path / "run")
        assert run.exists
        assert "started_from" in run.variant_file.read_text()
        assert not run.has_begun
        outcome, _ = train(dataclasses.replace(short, seed=3))
        assert outcome.run.finished
        record = yaml.safe_load(run.variant_file.read_text())
        assert record["seed"] == 3
        assert "started_from" not in record

    @pytest.mark.parametrize("name", ["model.safetensors", "checkpoints/last.ckpt"])
    def test_weights_are_a_run_even_without_a_record(self, short, train, tmp_path, name):
        file = tmp_path / "run" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(b"weights")
        with pytest.raises(VariantError, match="holds a run already. Give another --out.$"):
            train(short)
        assert file.read_bytes() == b"weights"

    def test_a_row_of_metrics_is_a_run_and_a_head_alone_is_none(self, tmp_path):
        run = RunFolder(tmp_path)
        run.metrics_file.write_text("stage,epoch\n")
        assert not run.has_begun
        run.write_metrics([{"stage": "mmssl", "epoch": 1}])
        assert run.has_begun

    def test_no_training_ends_well_without_its_model(self, short, train, monkeypatch):
        monkeypatch.setattr(stage1, "write", lambda *rest: None)
        with pytest.raises(
            TrainingError, match="ended without writing model.safetensors. Continue"
        ):
            train(short)

    def test_a_run_of_both_stages_does_not_go_back(self, tiny2, train):
        outcome, _ = train(altered(tiny2, stage2={"epochs": 1}))
        before = outcome.run.variant_file.read_bytes()
        recorded = outcome.run.record().variant
        with pytest.raises(VariantError, match="so --stage mmssl comes too late. Leave it out"):
            train(dataclasses.replace(recorded, stage="mmssl"), resume=True)
        assert outcome.run.variant_file.read_bytes() == before


class TestUnfinishedFiles:
    def test_they_go_when_a_run_goes_on(self, short, train, tmp_path):
        train(short)
        run = RunFolder(tmp_path / "run")
        mine = [run.model, run.last, run.metrics_file, run.variant_file]
        left = [file.with_name(f".{file.name}.0123456789ab.part") for file in mine]
        other = run.folder / ".report.html.0123456789ab.part"
        for file in [*left, other]:
            file.write_bytes(b"half")
        train(short, resume=True)
        assert not any(file.exists() for file in left)
        assert other.exists()  # Somebody may be writing it.

    def test_those_of_others_go_when_nobody_has_touched_them(self, tmp_path):
        old, new, foreign = (
            tmp_path / name
            for name in (".a.0123456789ab.part", ".b.0123456789ab.part", "film.part")
        )
        for file in (old, new, foreign):
            file.write_bytes(b"half")
        for file in (old, foreign):
            os.utime(file, (time.time() - 2 * STALE,) * 2)
        with whole_file(tmp_path / "a") as part:
            part.write_bytes(b"whole")
        names = {file.name for file in tmp_path.iterdir()}
        assert names == {"a", new.name, foreign.name}

    def test_names_are_taken_as_they_are(self, tmp_path):
        left = tmp_path / ".a[1].txt.0123456789ab.part"
        other = tmp_path / ".a1.txt.0123456789ab.part"
        for file in (left, other):
            file.touch()
        remove_unfinished(tmp_path / "a[1].txt")
        assert not left.exists()
        assert other.exists()


def test_nobody_takes_an_interruption_for_a_part_that_failed():
    def stop():
        raise Interrupted("Stopped.")

    assert not issubclass(Interrupted, Exception)
    figures = Figures(Artists(count=0))
    with pytest.raises(Interrupted):
        figures.attempt(stop, "Maps")
    assert not figures.notes

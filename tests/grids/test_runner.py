"""Grids that are trained: work is shared, done once, gone on with, and told when it fails."""

import dataclasses
import os
import signal
import time
from pathlib import Path

import pytest
import warm_processes
from tiny_grid import TINY, tiny, write

from sm3kit.core.errors import Interrupted, SM3Error, VariantError
from sm3kit.grids import runner
from sm3kit.grids.executors.local import share
from sm3kit.grids.standing import collect
from sm3kit.report.grid_page import grid_page

RANDOM = {"random": {"recipe": "random"}}
TABLES = ("table.csv", "table.md", "table.tex", "table.html")


def records(folder):
    plan = folder.plan()
    return {task.title: folder.record(key) for key, task in plan.tasks.items()}


def tables(folder):
    return [(folder / name).read_bytes() for name in TABLES]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The tiny grid, run once in this process."""
    home = tmp_path_factory.mktemp("done")
    file = write(home / "own.yaml", tiny(protocols=["probe", "match"]))
    results = runner.ablate(file, out=home / "grid")
    return home, file, results


def test_every_stage_is_done_once(done):
    home, file, results = done
    run = runner.begin(file, out=home / "grid")
    assert {record.completions for record in records(run.folder).values()} == {1}
    # Stage 1 of tel is that of sep_sep.
    assert sum(title.endswith("stage 1") for title in records(run.folder)) == 2
    assert not run.standing().left


def test_results_hold_what_the_rows_measured(done):
    home, _, results = done
    assert [row.name for row in results.rows] == ["random", "sep_sep", "tel"]
    assert results.rows[2].recipes[-1] == "tel"
    for row in results.rows:
        assert set(row.records) == {"probe", "match"}
        assert row.predictions["probe"][0].is_file()
        assert 0 <= row.records["probe"][0]["mean"]["auc"] <= 1
    assert (results.baseline, results.seeds, results.protocols) == (
        "random",
        (0,),
        ("probe", "match"),
    )
    assert collect(home / "grid") == results
    assert tables(home / "grid")


def test_what_is_done_is_not_done_again(done):
    home, file, results = done
    before = records(runner.Folder(home / "grid"))
    assert runner.ablate(file, out=home / "grid") == results
    assert records(runner.Folder(home / "grid")) == before


def test_a_grid_without_any_result_has_tables_and_a_page(tmp_path):
    """A row of one modality is measured once, the other without each of two, too."""
    own = {"both": {"recipe": "simclr"}, "one": {"recipe": "simclr", "modality": ["derm"]}}
    file = write(tmp_path / "own.yaml", tiny(rows=own, baseline="", drop="each"))
    folder = runner.begin(file, out=tmp_path / "grid").folder.path
    table, _ = runner.write_tables(collect(folder))
    assert [len(section.lines) for section in table.sections] == [2, 1, 1, 2]
    assert {line.reason for section in table.sections for line in section.lines} == {"not yet done"}
    page, _ = grid_page(folder, folder / "report.html")
    assert "0 of 4 results" in page


def test_runs_may_be_deleted_when_all_is_measured(done, tmp_path):
    import shutil

    home, file, _ = done
    copy = shutil.copytree(home / "grid", tmp_path / "grid")
    shutil.rmtree(copy / "runs")
    assert not runner.begin(file, out=copy).standing().left


def test_time_left_is_known_when_one_of_each_kind_is_done(done):
    home, file, _ = done
    run = runner.begin(file, out=home / "grid", seeds=[0, 1], write=False)
    assert run.standing().seconds_left() > 0
    record = run.folder.record
    standing = run.standing()
    probes = [task.key for task in run.plan.tasks.values() if task.kind == "probe"]
    for key in probes:
        standing.done.discard(key)
    standing.__dict__.pop("left", None)
    assert standing.seconds_left() is None
    assert record(probes[0]).seconds > 0


def test_one_row_may_be_worked_on(tmp_path):
    file = write(tmp_path / "own.yaml", tiny())
    results = runner.ablate(file, out=tmp_path / "grid", rows=["random"])
    assert [bool(row.records) for row in results.rows] == [True, False, False]
    with pytest.raises(VariantError, match="No row named 'randon'. Did you mean 'random'?"):
        runner.begin(file, out=tmp_path / "grid", rows=["randon"])


def test_a_mean_that_is_undefined_is_no_failure(tmp_path, studies):
    def one_class_in_test(_, row):
        alike = {"shape": "a", "tone": "x", "edge": "m"} if row["split"] == "test" else {}
        return {**row, **alike}

    data = studies("one-class-in-test", one_class_in_test)
    file = write(tmp_path / "own.yaml", tiny(rows=RANDOM, data=data, select="last", baseline=""))
    results = runner.ablate(file, out=tmp_path / "grid")
    (row,) = results.rows
    assert not row.failed
    assert row.records["probe"][0]["mean"]["auc"] is None
    assert {one.completions for one in records(runner.Folder(tmp_path / "grid")).values()} == {1}
    assert tables(tmp_path / "grid")


def test_an_unknown_executor_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(VariantError, match="No executor named 'slrum'. Did you mean 'slurm'?"):
        runner.ablate(out=tmp_path / "grid", executor="slrum")
    assert not list(tmp_path.iterdir())


def test_a_failed_cell_is_told_and_the_others_go_on(tmp_path):
    broken = {"recipe": "tel", "backbone": "timm/no_such_net"}
    file = write(tmp_path / "own.yaml", tiny(rows={"broken": broken, **RANDOM}))
    results = runner.ablate(file, out=tmp_path / "grid")
    broken_row, random_row = results.rows
    assert "stage 1: " in broken_row.failed[0] and "no_such_net" in broken_row.failed[0]
    assert random_row.records["probe"] and not random_row.failed
    run = runner.begin(file, out=tmp_path / "grid")
    (failed,) = [record for record in records(run.folder).values() if record.failed]
    # Not tried again by itself, but when it is asked for.
    runner.ablate(file, out=tmp_path / "grid")
    assert records(run.folder)[failed.title].starts == 1
    runner.ablate(file, out=tmp_path / "grid", retry_failed=True)
    assert records(run.folder)[failed.title].starts == 2


def test_a_stage_under_way_elsewhere_is_waited_for(tmp_path, monkeypatch):
    from sm3kit.grids import worker

    file = write(tmp_path / "own.yaml", tiny(rows=RANDOM))
    run = runner.begin(file, out=tmp_path / "grid")
    first = next(iter(run.plan.tasks))
    elsewhere = run.folder.lock(first)
    elsewhere.acquire()
    waits = []

    def wait(seconds):
        waits.append(run.folder.record(first).starts)
        if len(waits) == 2:
            elsewhere.release()

    monkeypatch.setattr(worker.time, "sleep", wait)
    runner.carry_on(run)
    assert waits == [0, 0]
    assert run.folder.record(first).completions == 1


@pytest.mark.slow
def test_two_processes_do_nothing_twice(tmp_path):
    rows = {name: {"recipe": name} for name in ("sep_sep", "tel")}
    file = write(tmp_path / "own.yaml", tiny(rows=rows, baseline=""))
    words = ["ablate", "--grid", file, "--out", tmp_path / "grid"]
    both = [warm_processes.start(*words) for _ in range(2)]
    ends = [process.wait() for process in both]
    assert [code for code, *_ in ends] == [0, 0], ends
    every = records(runner.Folder(tmp_path / "grid")).values()
    assert {(record.starts, record.completions) for record in every} == {(1, 1)}
    assert len({record.process for record in every}) <= 2


@pytest.mark.slow
def test_jobs_share_the_work(tmp_path, done):
    home, _, _ = done
    file = write(tmp_path / "own.yaml", tiny(protocols=["probe", "match"]))
    looks = []
    run = runner.begin(file, out=tmp_path / "grid")
    runner.carry_on(run, 2, look=lambda: looks.append(len(run.standing().done)))
    runner.write_tables(collect(tmp_path / "grid"))
    assert looks[-1] == len(run.plan.tasks)
    assert tables(tmp_path / "grid") == tables(home / "grid")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_good_order(tmp_path, number):
    rows = {"sep_sep": {"recipe": "sep_sep", "stage1": {"epochs": 5000}}}
    file = write(tmp_path / "own.yaml", tiny(rows=rows, baseline=""))
    grid = warm_processes.start("ablate", "--grid", file, "--out", tmp_path / "grid")
    checkpoint = None
    while checkpoint is None and grid.process.is_alive():
        time.sleep(0.1)
        checkpoint = next((tmp_path / "grid").glob("runs/*/checkpoints/last.ckpt"), None)
    os.kill(grid.process.pid, number)
    code, _, said = grid.wait()
    assert code == 1
    assert said.startswith(
        "Stopped with 2 stages left; everything done so far is kept. Resume with"
    )
    assert f"sm3kit ablate --out {tmp_path / 'grid'}" in said
    assert not any(record.failed for record in records(runner.Folder(tmp_path / "grid")).values())


def test_a_stop_is_no_failure(tmp_path, monkeypatch):
    from sm3kit.grids import worker

    def stop(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(worker, "pretrain", stop)
    run = runner.begin(write(tmp_path / "own.yaml", tiny(rows=RANDOM)), out=tmp_path / "grid")
    with pytest.raises(Interrupted, match="Stopped with 2 stages left"):
        runner.carry_on(run)
    first = next(iter(records(run.folder).values()))
    assert (first.starts, first.completions, first.failed) == (1, 0, "")


def test_a_result_that_was_written_before_the_end_is_taken(done, tmp_path, monkeypatch):
    """Killed between the result and its note."""
    import shutil

    from sm3kit.grids import worker

    home, file, _ = done
    copy = shutil.copytree(home / "grid", tmp_path / "grid")
    run = runner.begin(file, out=copy)
    (key,) = [s.key for s in run.plan.tasks.values() if s.title == "random, seed 0: probe"]
    record = run.folder.record(key)
    run.folder.write_record(key, dataclasses.replace(record, completions=0, auc=None))
    monkeypatch.delattr(worker, "evaluate")
    runner.carry_on(run)
    assert run.folder.record(key).auc == record.auc


def test_a_stage_that_takes_its_process_with_it_fails(tmp_path, monkeypatch):
    from collections import Counter

    from sm3kit.grids.executors import local
    from sm3kit.grids.folder import process_name

    run = runner.begin(write(tmp_path / "own.yaml", tiny(rows=RANDOM)), out=tmp_path / "grid")
    key = next(iter(run.plan.tasks))
    record = dataclasses.replace(run.folder.record(key), starts=1, process=process_name())
    run.folder.write_record(key, record)
    failures = Counter()
    for _ in range(local.TRIES):
        assert not run.folder.record(key).failed
        local._count_failure(run.folder, os.getpid(), -9, 0, failures)
    assert run.folder.record(key).failed == (
        "Its process died 3 times: killed by signal 9, perhaps because memory ran out"
    )
    with pytest.raises(SM3Error, match="Workers exit before they start .exit code 1"):
        for _ in range(local.TRIES):
            local._count_failure(run.folder, 1, 1, 0, failures)


def test_cores_and_gpus_are_shared_out():
    assert share(0, 10_000, {})["OMP_NUM_THREADS"] == "1"
    assert share(0, 1, {"OMP_NUM_THREADS": "3"})["OMP_NUM_THREADS"] == "3"
    gpus = {"CUDA_VISIBLE_DEVICES": "0,1,2"}
    assert [share(n, 2, gpus)["CUDA_VISIBLE_DEVICES"] for n in range(2)] == ["0,2", "1"]
    assert [share(n, 4, gpus)["CUDA_VISIBLE_DEVICES"] for n in range(4)] == ["0", "1", "2", "0"]
    assert share(0, 2, {"CUDA_VISIBLE_DEVICES": ""})["CUDA_VISIBLE_DEVICES"] == ""


def test_the_tiny_grid_is_not_changed_by_the_tests():
    assert list(TINY["rows"]) == ["random", "sep_sep", "tel"]


def test_a_row_learns_from_the_fine_tuned_networks_of_another(tmp_path):
    """They are those of the same seed, and whoever works on the student alone trains them first."""
    rows = {
        "student": {
            "objective": ["ssd_kd"], "fusion": "none", "teacher": "taught", "protocols": "probe",
            "stage": "mmssl",
        },
        "taught": {"recipe": "random"},
    }  # fmt: skip
    base = {**TINY["base"], "stage1": {**TINY["base"]["stage1"], "lr": 1e-5}}
    base["evaluate"] = {**base["evaluate"], "finetune": {"epochs": 1, "resamples": 10}}
    content = tiny(rows=rows, base=base, baseline="", seeds=[0, 1], protocols=["finetune"])
    file = write(tmp_path / "own.yaml", content)
    results = runner.ablate(file, out=tmp_path / "grid", rows=["student"])
    assert sorted(results.rows[0].records["probe"]) == [0, 1]
    run = runner.begin(file, out=tmp_path / "grid")
    teachers = {}
    for replicate in run.plan.replicates:
        if replicate.row == "student":
            chain = run.plan.chain(replicate.results["probe"])
            kinds = [run.plan.tasks[key].kind for key in chain]
            assert kinds == ["mmssl", "finetune", "mmssl", "probe"]
            teacher = Path(run.folder.run(chain[2]) / "variant.yaml").read_text("utf-8")
            assert f"{chain[1]}.safetensors" in teacher
            copy = run.folder.run(chain[0]) / "eval" / f"finetune-test-{chain[1]}.safetensors"
            assert (
                copy.read_bytes()
                == run.folder.result(chain[1]).with_suffix(".safetensors").read_bytes()
            )
            teachers[replicate.seed] = chain[1]
    assert teachers[0] != teachers[1]
    # The row that teaches has its work done already.
    assert {replicate.results["finetune"] for replicate in run.plan.replicates[2:]} == set(
        teachers.values()
    )
    assert not run.standing().left


def test_another_teacher_is_another_grid(tmp_path):
    rows = {"a": {"recipe": "random"}, "b": {"recipe": "random", "weights": "none"}}
    student = {"objective": ["ssd_kd"], "fusion": "none", "stage": "mmssl", "protocols": "probe"}
    for teacher in "ab":
        own = {**rows, "student": {**student, "teacher": teacher}}
        file = write(tmp_path / "own.yaml", tiny(rows=own, baseline="", protocols=["finetune"]))
        if teacher == "a":
            runner.begin(file, out=tmp_path / "grid")
            continue
        with pytest.raises(VariantError, match="row 'student': teacher was 'a', not 'b'"):
            runner.begin(file, out=tmp_path / "grid")


@pytest.mark.parametrize(
    ("student", "answer"),
    [
        ({}, "the objective 'ssd_kd' learns from a teacher. Name a row that is fine-tuned"),
        ({"teacher": "tought"}, "student: No other row named 'tought'. Did you mean 'taught'?"),
        ({"teacher": "student"}, "No other row named 'student'"),
        ({"teacher": "probed"}, "its teacher 'probed' is not fine-tuned. Give that row 'protocols"),
        ({"teacher": "second"}, "its teacher 'second' has a teacher itself. Name another row"),
        (
            {"teacher": "taught", "objective": ["simclr"]},
            r"row 'student' names the teacher 'taught', and none of its objectives \(simclr\) learns",
        ),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused(student, answer, tmp_path):
    own = {"objective": ["ssd_kd"], "fusion": "none", "stage": "mmssl", "protocols": "probe"}
    rows = {
        "student": {**own, **student},
        "taught": {"recipe": "random", "protocols": "finetune"},
        "probed": {"recipe": "random", "protocols": "probe"},
        "second": {**own, "teacher": "taught", "protocols": "finetune"},
    }
    file = write(tmp_path / "own.yaml", tiny(rows=rows, baseline=""))
    with pytest.raises(VariantError, match=answer):
        runner.begin(file, out=tmp_path / "grid")
    assert not (tmp_path / "grid").exists()

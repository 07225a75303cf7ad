"""Workers as tasks of a Ray cluster of this machine, one of which is killed."""

import contextlib
import os
import signal
import time

import pytest
from tiny_grid import tiny, write

from sm3kit.core.errors import SM3Error
from sm3kit.grids import runner

ray = pytest.importorskip("ray")


# Ray itself gives up on what is merely slow, or where others take the memory of the machine.
PATIENCE = {
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_health_check_failure_threshold": "100",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_raylet_start_wait_time_s": "600",
    "RAY_gcs_server_request_timeout_seconds": "600",
}
# In which anything at all is written, however busy the machine is.
LONGEST_SILENCE = 300


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PATIENCE.items():
            patch.setenv(name, value)
        start_cluster(attempts=3)
        yield
        ray.shutdown()


def start_cluster(attempts):
    """Starts Ray on this machine; again where it was not up within Ray's own 30 seconds."""
    try:
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except Exception as error:
        if attempts == 1 or "timed out during startup" not in str(error):
            raise
        ray.shutdown()
        start_cluster(attempts - 1)


def killed_at_work(run, key):
    """Whether the process that works on a stage was killed before it had come to its end."""
    process = run.folder.record(key).process.rpartition(":")[2]
    if not process:
        return False
    # It is held first: otherwise the stage may be done between the look and the kill.
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(process), signal.SIGSTOP)
        at_work = not run.folder.record(key).completions
        os.kill(int(process), signal.SIGKILL if at_work else signal.SIGCONT)
        return at_work
    return False


def silence(folder):
    """Seconds since anything was written in a folder."""
    newest = 0.0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, path.stat().st_mtime)
    return time.time() - newest


@pytest.mark.slow
def test_a_task_whose_process_is_killed_is_replaced(cluster, tmp_path):
    file = write(
        tmp_path / "own.yaml",
        tiny(rows={"sep_sep": {"stage1": {"epochs": 40}}, "tel": {"recipe": "tel"}}, baseline=""),
    )
    run = runner.begin(file, out=tmp_path / "grid")
    killed = []

    def look():
        for key in () if killed else run.plan.tasks:
            if killed_at_work(run, key):
                killed.append(key)
                break
        assert silence(run.folder.path) < LONGEST_SILENCE, "the tasks hang"

    runner.carry_on(run, 2, "ray", look)
    records = {key: run.folder.record(key) for key in run.plan.tasks}
    assert {record.completions for record in records.values()} == {1}
    assert records[killed[0]].starts == 2
    assert not run.standing().left


def test_no_cluster_is_told(tmp_path, monkeypatch):
    if ray.is_initialized():
        ray.shutdown()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(
        ray, "init", lambda **settings: (_ for _ in ()).throw(ConnectionError("no"))
    )
    run = runner.begin(write(tmp_path / "own.yaml", tiny()), out=tmp_path / "grid")
    with pytest.raises(SM3Error, match="There is no Ray cluster here. Start one with `ray start"):
        runner.carry_on(run, 2, "ray")

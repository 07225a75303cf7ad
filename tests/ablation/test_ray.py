"""Workers as tasks of a Ray cluster of this machine, one of which is killed."""

import os
import signal
import threading
import time

import pytest
from tiny_grid import tiny, write

from sm3kit.ablation import runner
from sm3kit.core.errors import SM3Error

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.mark.slow
def test_a_task_whose_process_is_killed_is_replaced(cluster, tmp_path):
    file = write(
        tmp_path / "own.yaml",
        tiny(rows={"sep_sep": {"epochs": 40}, "tel": {"recipe": "tel"}}, baseline=""),
    )
    job = runner.begin(file, out=tmp_path / "grid")
    killed = []

    def kill():
        while not killed:
            time.sleep(0.2)
            for key in job.plan.stages:
                record = job.folder.record(key)
                if record.process and not record.completions:
                    killed.append(key)
                    os.kill(int(record.process.rpartition(":")[2]), signal.SIGKILL)
                    return

    thread = threading.Thread(target=kill)
    thread.start()
    runner.carry_on(job, 2, "ray")
    thread.join()
    records = {key: job.folder.record(key) for key in job.plan.stages}
    assert {one.completions for one in records.values()} == {1}
    assert records[killed[0]].starts == 2
    assert not job.standing().left


def test_no_cluster_is_told(tmp_path, monkeypatch):
    if ray.is_initialized():
        ray.shutdown()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(
        ray, "init", lambda **settings: (_ for _ in ()).throw(ConnectionError("no"))
    )
    job = runner.begin(write(tmp_path / "own.yaml", tiny()), out=tmp_path / "grid")
    with pytest.raises(SM3Error, match="There is no Ray cluster here. Start one with `ray start"):
        runner.carry_on(job, 2, "ray")

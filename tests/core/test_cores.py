"""How many cores a process may use."""

import os

from sm3kit.core.cores import usable_cores


def test_the_cores_of_a_container(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(12)), raising=False)
    quota = tmp_path / "cpu.max"
    assert usable_cores(quota) == 12
    quota.write_text("150000 100000\n")
    assert usable_cores(quota) == 2
    quota.write_text("max 100000\n")
    assert usable_cores(quota) == 12

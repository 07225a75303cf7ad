"""Kills a grid again and again at random moments."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path


def killed(words, kills, longest, seed=0, environment=None):
    """Starts a command and kills it, with all of its workers, some times; then lets it end.

    Args:
        words: the command.
        kills: how many times.
        longest: seconds after which it is killed at the latest.

    Returns:
        How many of the kills met a living process, and what the last start said.
    """
    moments = random.Random(seed)
    met = 0
    for _ in range(kills):
        process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        try:
            process.wait(moments.uniform(0.1, longest))
        except subprocess.TimeoutExpired:
            workers = children(process.pid)
            for pid in [process.pid, *workers]:
                os.kill(pid, signal.SIGKILL)
            process.wait()
            while any(alive(pid) for pid in workers):
                time.sleep(0.05)
            met += 1
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    return met, done.stdout


def children(pid):
    """The numbers of the child processes, on Linux."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid):
    """Whether a process still runs; one that nobody waits for may stay as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

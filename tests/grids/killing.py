"""Kills commands at random moments, and compares what they leave."""

import csv
import os
import random
import signal
import subprocess
import time
from pathlib import Path


def kill_often(words, kills, longest, seed=0, environment=None):
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
        met += kill_once(words, moments.uniform(0.1, longest), environment)
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    return met, done.stdout


def kill_once(words, seconds, environment=None):
    """Starts a command and kills it, with all of its workers, after some seconds.

    Returns:
        Whether it was still at work.
    """
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        workers = children(process.pid)
        for pid in [process.pid, *workers]:
            os.kill(pid, signal.SIGKILL)
        process.wait()
        while any(is_alive(pid) for pid in workers):
            time.sleep(0.05)
        return True
    return False


def differences(quiet, disturbed):
    """The names of files that are not the same in two run or grid folders, or are in one alone.

    Logs, locks and records of who did what when are left out, and so is the speed of a machine.
    Both must have been made in one place: a stage of a grid records the path of its parent.
    """
    mine, theirs = files_of(quiet), files_of(disturbed)
    both = mine.keys() & theirs.keys()
    changed = {name for name in both if content(mine[name]) != content(theirs[name])}
    return sorted(changed | (mine.keys() ^ theirs.keys()))


def files_of(folder):
    """{name: file} of what is to be the same."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    apart = ("logs/", "locks/", "stages/")
    return {name: file for name, file in files.items() if not name.startswith(apart)}


def content(file):
    """The content of a file, without speeds."""
    if file.name == "metrics.csv":
        with file.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        return [{n: v for n, v in row.items() if not n.endswith("_per_second")} for row in rows]
    return file.read_bytes()


def children(pid):
    """The numbers of the child processes, on Linux."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid):
    """Whether a process still runs; one that nobody waits for may stay as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

"""Kills commands at random moments, and compares what they leave."""

import csv
import os
import random
import signal
import time
from pathlib import Path

import warm_processes


def kill_often(words, kills, longest, seed=0):
    """Starts a command and kills it, with all of its workers, some times; then lets it end.

    Args:
        words: of the command line of sm3kit.
        kills: how many times.
        longest: seconds after which it is killed at the latest.

    Returns:
        How many of the kills met a living process, and what the last start said.
    """
    moments = random.Random(seed)
    met = 0
    for _ in range(kills):
        met += kill_once(words, moments.uniform(0.1, longest))
    return met, finish(words)


def finish(words):
    """Runs a command to its end, which must be a good one; gives what it said."""
    code, said, errors = warm_processes.run(*words)
    assert code == 0, f"sm3kit {' '.join(map(str, words))}: {said}{errors}"
    return said


def kill_once(words, seconds):
    """Starts a command and kills it, with all of its workers, after some seconds.

    Returns:
        Whether it was still at work.
    """
    started = warm_processes.start(*words)
    process = started.process
    process.join(seconds)
    if not process.is_alive():
        return False
    workers = children(process.pid)
    for pid in [process.pid, *workers]:
        os.kill(pid, signal.SIGKILL)
    started.wait()
    while any(is_alive(pid) for pid in workers):
        time.sleep(0.05)
    return True


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

"""A script for SLURM whose tasks are workers on one grid folder."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from sm3kit.core.files import whole_file
from sm3kit.core.plugin_files import VARIABLE
from sm3kit.grids.standing import GridRun

SCRIPT = """#!/bin/bash
#SBATCH --job-name=sm3kit-{name}
#SBATCH --array=1-{jobs}
#SBATCH --output={logs}/slurm-%A-%a.log
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:1
#SBATCH --time=24:00:00
#SBATCH --requeue
# Two minutes before its time limit, a task is asked to stop; finished work is kept.
#SBATCH --signal=B:TERM@120

# Each task takes the next stage that no other task is working on, until all are done. You may
# submit more tasks at any time, or submit this script again to do what is left.
cd {where} || exit 1
export OMP_NUM_THREADS="${{SLURM_CPUS_PER_TASK:-1}}"
{plugins}exec {command}
"""


def execute(run: GridRun, jobs: int, look: Callable[[], None]) -> None:
    """Writes an sbatch script of an array of N tasks; resources are lines to be changed there.

    Args:
        run: the grid; its folder is reached by all machines.
        jobs: N.
        look: never called, as nothing is done yet.
    """
    folder = run.folder.path.resolve()
    plugins = os.environ.get(VARIABLE, "")
    text = SCRIPT.format(
        name=folder.name,
        jobs=jobs,
        logs=folder / "logs",
        where=shlex.quote(str(Path.cwd())),
        plugins=f"export {VARIABLE}={shlex.quote(plugins)}\n" if plugins else "",
        command=shlex.join([sys.executable, *run.worker_words(folder)]),
    )
    # sbatch does not make the folder of the logs.
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    with whole_file(run.script or folder / "submit.sh") as part:
        part.write_text(text, "utf-8")

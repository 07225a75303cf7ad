"""A script for SLURM whose tasks are workers on one grid folder."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from sm3kit.core.files import whole_file
from sm3kit.core.plugin_files import VARIABLE
from sm3kit.grids.folder import Folder

SCRIPT = """#!/bin/bash
#SBATCH --job-name=sm3kit-{name}
#SBATCH --array=1-{jobs}
#SBATCH --output={logs}/slurm-%A-%a.log
#SBATCH --cpus-per-task=8
#SBATCH --gres=gpu:1
#SBATCH --time=24:00:00
#SBATCH --requeue
# Two minutes before its time is over a task is asked to stop; what it has done is kept.
#SBATCH --signal=B:TERM@120

# Each task takes the next stage that nobody works on, until all is done. More tasks may be
# submitted at any time, and the same script again goes on with what is left.
cd {where} || exit 1
export OMP_NUM_THREADS="${{SLURM_CPUS_PER_TASK:-1}}"
{plugins}exec {python} -m sm3kit ablate --worker --out {folder}{words}
"""


def write_script(file: Path, folder: Folder, jobs: int, words: Sequence[str]) -> None:
    """Writes an sbatch script of an array of N tasks; resources are lines to be changed there.

    Args:
        file: the script.
        folder: of the grid, reached by all machines.
        jobs: N.
        words: what else each worker's command line says.
    """
    where = folder.path.resolve()
    plugins = os.environ.get(VARIABLE, "")
    text = SCRIPT.format(
        name=where.name,
        jobs=jobs,
        logs=where / "logs",
        where=shlex.quote(str(Path.cwd())),
        python=shlex.quote(sys.executable),
        folder=shlex.quote(str(where)),
        plugins=f"export {VARIABLE}={shlex.quote(plugins)}\n" if plugins else "",
        words="".join(f" {shlex.quote(one)}" for one in words),
    )
    # sbatch does not make the folder of the logs.
    (where / "logs").mkdir(parents=True, exist_ok=True)
    with whole_file(file) as part:
        part.write_text(text, "utf-8")

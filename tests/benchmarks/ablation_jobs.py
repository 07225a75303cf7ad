"""The quick grid with two jobs against one, one thread each.

python tests/benchmarks/ablation_jobs.py
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(jobs: int, folder: Path) -> float:
    """How long the quick grid takes; data are drawn and images decoded before."""
    words = [sys.executable, "-m", "sm3kit", "ablate", "--grid", "--jobs", str(jobs)]
    words += ["--no-cache", "--out", str(folder)]
    start = time.perf_counter()
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    subprocess.run(words, check=True, capture_output=True, env=os.environ | one_thread)
    return time.perf_counter() - start


def main() -> None:
    """Prints both times and their ratio."""
    with tempfile.TemporaryDirectory() as home:
        # Draws the studies, which both then find.
        words = [sys.executable, "-m", "sm3kit", "ablate", "--grid", "--dry-run"]
        subprocess.run(words, check=True, capture_output=True, cwd=home)
        one, two = (seconds(jobs, Path(home) / str(jobs)) for jobs in (1, 2))
    print(f"  one job {one:.0f} s, two jobs {two:.0f} s: {one / two:.2f} times (goal 1.6)")


if __name__ == "__main__":
    main()

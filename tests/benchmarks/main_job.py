"""Time and peak memory of the README's main job, from an empty cache.

python tests/benchmarks/main_job.py
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Runs the job once in a folder of its own."""
    script = Path(sys.executable).with_name("sm3kit")
    command = [str(script), "pretrain", "--objective", "simclr", "--fusion", "sep_sep"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SM3KIT_CACHE": f"{folder}/cache"}
        start = time.perf_counter()
        subprocess.run(command, check=True, cwd=folder, env=environment)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"  {seconds:.0f} s, peak memory {peak:.2f} GiB")


if __name__ == "__main__":
    main()

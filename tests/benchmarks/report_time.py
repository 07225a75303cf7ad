"""How long a report of a finished run takes, and how large its page is.

python tests/benchmarks/report_time.py RUN

RUN is a finished and evaluated run, such as `sm3kit pretrain`, `sm3kit evaluate RUN` and
`sm3kit evaluate RUN --protocol match` leave it. Features are taken from the user's cache; the first
report fills it, and is told apart from the later ones. Start of Python included.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Prints seconds of wall clock and of CPU, and megabytes."""
    run = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.html"
        words = [sys.executable, "-m", "sm3kit", "report", run, "--out", str(out), "--quiet"]
        for name in ("first", "second", "third"):
            start, before = time.perf_counter(), os.times()
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            wall, after = time.perf_counter() - start, os.times()
            cpu = after.children_user + after.children_system
            cpu -= before.children_user + before.children_system
            print(f"  {name:6} {wall:5.1f} s, {cpu:5.1f} s of CPU (goal 10 s)")
        print(f"  page   {out.stat().st_size / 1e6:.2f} MB (goal 5 MB)")


if __name__ == "__main__":
    main()

"""What the runner costs where everything is done already, per cell.

python tests/benchmarks/ablation_overhead.py FOLDER

FOLDER is a finished grid; --grid quick makes one.
"""

import subprocess
import sys
import time

MEASURED = """
import sys
from sm3kit.grids.runner import begin, carry_on
run = begin("", out=sys.argv[1])
carry_on(run)
assert not run.standing().left, "the grid is not finished"
print(len(run.replicates), "torch" in sys.modules)
"""


def main() -> None:
    """Prints seconds per cell, start of Python included."""
    folder = sys.argv[1]
    words = [sys.executable, "-c", MEASURED, folder]
    times = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        times.append(time.perf_counter() - start)
    cells, torch = done.stdout.split()
    per_cell = min(times) / int(cells)
    print(f"  {cells} cells: {min(times):.2f} s, {per_cell:.3f} s per cell (goal 0.5)")
    print(f"  torch imported: {torch}")


if __name__ == "__main__":
    main()

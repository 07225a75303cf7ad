"""The quick grid, killed at random moments: the same table, and no stage done twice.

python tests/benchmarks/ablation_kills.py [KILLS] [LONGEST SECONDS] [JOBS]
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "grids"))

from killing import kill_often

from sm3kit.grids.folder import Folder

TABLES = ("table.csv", "table.md", "table.tex", "table.html")


def main() -> None:
    """Prints what the kills cost."""
    given = [int(word) for word in sys.argv[1:]]
    kills, longest, jobs = given + [20, 40, 1][len(given) :]
    command = ["ablate", "--grid", "--jobs", str(jobs), "--out"]
    with tempfile.TemporaryDirectory() as home:
        quiet, disturbed = Path(home) / "quiet", Path(home) / "disturbed"
        start = time.perf_counter()
        kill_often([*command, str(quiet)], 0, 0)
        print(f"  undisturbed: {time.perf_counter() - start:.0f} s")
        met, _ = kill_often([*command, str(disturbed)], kills, longest)
        same = all((quiet / one).read_bytes() == (disturbed / one).read_bytes() for one in TABLES)
        folder = Folder(disturbed)
        records = [folder.record(key) for key in folder.plan().tasks]
    again = sum(one.starts - 1 for one in records)
    twice = sum(one.completions > 1 for one in records)
    print(f"  {met} of {kills} kills met it at work; tables {'the same' if same else 'DIFFER'}")
    print(f"  {len(records)} stages: {again} begun again or gone on with, {twice} done twice")
    sys.exit(not same or twice > 0 or again > met * jobs)


if __name__ == "__main__":
    main()

"""Trainings and grids, killed at random moments and gone on with: the same files as undisturbed.

python tests/benchmarks/kills.py [TRAININGS] [GRIDS]
"""

import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "grids"))

from killing import differences, files_of, finish, kill_once
from tiny_grid import tiny, write

TRAINING = (
    *("--data", "synthetic:40", "--image-size", "16", "--recipe", "quick", "--precision", "32"),
    *("--epochs", "3", "--mlssl-epochs", "3", "--batch-size", "8", "--workers", "0", "-q"),
)
ROWS = {"sep_sep": {"recipe": "sep_sep"}, "tel": {"recipe": "tel"}}


def train(folder):
    """The command that trains, or goes on with what a killed one left."""
    begun = (folder / "variant.yaml").is_file()
    words = ["--resume"] if begun else TRAINING
    return ["pretrain", *words, "--out", str(folder)]


def disturbed(count, command, home, label):
    """Kills a command once for each of some folders, lets it go on, and compares what it left.

    Args:
        command: folder -> words, of the start and of the going on alike.

    Returns:
        How many folders are not as the undisturbed one.
    """
    start = time.perf_counter()
    # All in one place, one after the other: a stage of a grid records the path of its parent.
    folder, quiet = home / label, home / f"{label}-quiet"
    finish(command(folder))
    folder.rename(quiet)
    longest = time.perf_counter() - start
    print(f"  {label}: {len(files_of(quiet))} files, undisturbed in {longest:.0f} s", flush=True)
    moments, met, parts, bad = random.Random(label), 0, 0, 0
    for number in range(count):
        met += kill_once(command(folder), moments.uniform(0.3, 1.0) * longest)
        parts += len(list(folder.rglob(".*.part")))
        finish(command(folder))
        wrong = differences(quiet, folder)
        bad += bool(wrong)
        folder.rename(home / f"{label}-{number}")
        for name in wrong:
            print(f"  {label} {number}: {name} DIFFERS", flush=True)
    print(f"  {label}: {met} of {count} kills met it at work, {parts} half-written files were left")
    print(f"  {label}: {count - bad} of {count} ended as the undisturbed one", flush=True)
    return bad


def main() -> None:
    """Prints what the kills cost, and fails if they cost anything."""
    given = [int(word) for word in sys.argv[1:]]
    trainings, grids = given + [20, 10][len(given) :]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        grid = write(home / "grid.yaml", tiny(rows=ROWS, baseline="sep_sep"))
        words = ["ablate", "--grid", grid, "--out"]
        bad = disturbed(trainings, train, home, "training")
        bad += disturbed(grids, lambda out: [*words, str(out)], home, "grid")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()

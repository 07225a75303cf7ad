"""The quick recipe on the built-in studies: the whole method against random initialisation.

python tests/benchmarks/whole_method.py [SEEDS]

For each seed: stage 1 and stage 2, a probe of both stages on the test split, the same for networks
that were never trained, the difference with its paired interval, ranks of the true partner among
held-out pairs, and the NMI of the pseudo-labels with the planted labels.
"""

import csv
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def sm3kit(*arguments: str) -> str:
    """Standard output of a command."""
    script = Path(sys.executable).with_name("sm3kit")
    done = subprocess.run([script, *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def one(seed: int, folder: Path) -> dict[str, float]:
    """The numbers of one seed."""
    whole, random = str(folder / f"whole{seed}"), str(folder / f"random{seed}")
    sm3kit("pretrain", "--seed", str(seed), "--out", whole)
    sm3kit("pretrain", "--recipe", "random", "--seed", str(seed), "--out", random)
    difference = json.loads(
        sm3kit("evaluate", random, whole, "--compare", "--protocol", "probe", "--json")
    )
    match = json.loads(sm3kit("evaluate", whole, "--protocol", "match", "--json"))
    ranks = match["space"]["projection"].values()
    with (Path(whole) / "metrics.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    return {
        "random": 100 * difference["means"][0],
        "whole": 100 * difference["means"][1],
        "low": 100 * difference["mean"]["ci95"][0],
        "high": 100 * difference["mean"]["ci95"][1],
        "rank of chance": statistics.mean(r["mean_rank"] / r["chance"] for r in ranks),
        **{name: float(value) for name, value in last.items() if name.startswith("nmi_truth/")},
    }


def main() -> None:
    """Prints a line per seed and the means."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as folder:
        rows = [one(seed, Path(folder)) for seed in range(seeds)]
    for seed, row in enumerate(rows):
        print(
            f"  seed {seed}: mean AUC random {row['random']:.1f}, whole {row['whole']:.1f}, "
            f"difference {row['low']:+.1f} to {row['high']:+.1f}; held-out rank "
            f"{100 * row['rank of chance']:.1f} % of chance"
        )
    means = {name: statistics.mean(row[name] for row in rows) for name in rows[0]}
    print("  means:", ", ".join(f"{name} {value:.2f}" for name, value in means.items()))


if __name__ == "__main__":
    main()

"""The supervised systems beside linear fine-tuning, as the page of results.

    python tests/benchmarks/supervised_rows.py OUT [--data synthetic:400] [--set '{backbone: ...}'] [--epochs 50] [--seeds 0,1,2]

OUT is a folder for the grid, which goes on where it was stopped. Every row starts from the same
weights and learns from labels alone, fine-tuned with the settings of the paper. Prints the table of
the grid and what each row cost.
"""

import argparse
import csv
import subprocess
import sys
from pathlib import Path

import yaml

ROWS = {
    "linear": "linear",
    "F4M-FS": "f4m",
    "Inception-Combined": "inception_combined",
    "HcCNN": "hccnn",
    "GIIN": "giin",
    "AMFAM": "amfam",
}


def write_grid(out: Path, data: str, base: dict, epochs: int, seeds: list[int]) -> Path:
    """A grid of one row per classifier over the same start."""
    start = {"stage": "mmssl", "fusion": "none", "protocol": "finetune"}
    rows = {
        row: {"evaluate": {"finetune": {"classifier": name, "epochs": epochs}}}
        for row, name in ROWS.items()
    }
    content = {
        "title": "Supervised systems",
        "data": data,
        "base": {**start, **base, "stage1": {**base.get("stage1", {}), "epochs": 0}},
        "seeds": seeds,
        "protocols": ["finetune"],
        "baseline": "linear",
        "rows": rows,
    }
    out.mkdir(parents=True, exist_ok=True)
    file = out / "supervised.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def seconds(folder: Path) -> float:
    """How long the epochs of an evaluation took, in all."""
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file) if row.get("seconds"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", default="synthetic:400")
    parser.add_argument("--set", type=yaml.safe_load, default={}, metavar="YAML")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--seeds", default="0,1,2")
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    file = write_grid(given.out, given.data, given.set, given.epochs, seeds)
    script = Path(sys.executable).with_name("sm3kit")
    folder = given.out / "grid"
    words = ["ablate", "--grid", str(file), "--out", str(folder), "--jobs", "1"]
    subprocess.run([str(script), *words], check=True)
    subprocess.run([str(script), "ablate", "show", str(folder), "--format", "markdown"], check=True)


if __name__ == "__main__":
    main()

"""sep_sep on MILK10k with 256 pairs in a batch, by micro-batches, against 64 pairs.

    python tests/benchmarks/milk10k_batches.py FOLDER OUT [--epochs 20] [--size 64] [--seeds 0,1,2]

FOLDER is MILK10k, OUT a folder for the grid, which goes on where it was stopped. EfficientNet-Lite0
(plugins/sm3kit-lite) with ImageNet weights, stage 1 alone. All rows see the same number
of images; those with larger batches take fewer steps, so there is one with twice the learning rate.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import yaml

RATE = 1.0e-3


def write_grid(folder: str, out: Path, epochs: int, size: int, seeds: list[int]) -> Path:
    """Rows that differ in the size of the batch, and in the learning rate."""
    large = {"batch_size": 256, "micro_batch": 32}
    content = {
        "title": "Pairs in a batch of stage 1, MILK10k",
        "data": f"milk10k:{folder}",
        "base": {
            "recipe": ["sm3", "sep_sep"],
            "backbone": "lite/efficientnet_lite0",
            "image_size": size,
            "stage": "mmssl",
            "stage1": {"epochs": epochs, "lr": RATE, "monitor_every": 0},
        },
        "seeds": seeds,
        "protocols": ["probe", "match"],
        "baseline": "64 pairs",
        "rows": {
            "64 pairs": {"stage1": {"batch_size": 64}},
            "256 pairs": {"stage1": large},
            "256 pairs, twice the rate": {"stage1": {**large, "lr": 2 * RATE}},
        },
    }
    out.mkdir(parents=True, exist_ok=True)
    file = out / "batches.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def main() -> None:
    """Runs the grid, and shows its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seeds", default="0,1,2")
    asked = parser.parse_args()
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    file = write_grid(str(Path(asked.folder).resolve()), asked.out, asked.epochs, asked.size, seeds)
    script = Path(sys.executable).with_name("sm3kit")
    grid = asked.out / "grid"
    command = [str(script), "ablate", "--grid", str(file), "--out", str(grid)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()

"""Weak labels in stage 2 on MILK10k: the concept scores of the data against none.

    python tests/benchmarks/weak_labels.py FOLDER OUT [--epochs 5] [--mlssl-epochs 50] [--seeds 0,1,2]

FOLDER is MILK10k, OUT a folder for the grid, which goes on where it was stopped. EfficientNet-Lite0
(plugins/sm3kit-lite) with ImageNet weights; all rows share their stage 1. The labels that are
measured are none of the concepts. With a share of 0 the concepts are pseudo-labels that nothing guides.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import yaml

LABELS = ["DIAG", "skin_tone_class", "site", "sex"]


def write_grid(folder: str, asked: argparse.Namespace) -> Path:
    """Rows that differ in how much the concept scores count."""
    rows = {
        f"share {share:g}": {"stage2": {"weak": "data", "weak_share": share}}
        for share in (0.0, 0.3, 1.0)
    }
    content = {
        "title": "Weak labels in stage 2, MILK10k",
        "data": f"milk10k:{folder}",
        "base": {
            "recipe": ["sm3", "tel"],
            "backbone": "lite/efficientnet_lite0",
            "image_size": asked.size,
            "options": {"milk10k": {"labels": LABELS}},
            "stage1": {"epochs": asked.epochs, "lr": 1e-3, "batch_size": 64, "monitor_every": 0},
            "stage2": {"epochs": asked.mlssl_epochs, "lr": 1e-3},
            # Heads alone, on the label embeddings as stage 2 has left them.
            "evaluate": {"probe": {"scope": "heads", "prototypes": False, "lr": 1e-3}},
        },
        "seeds": [int(seed) for seed in asked.seeds.split(",")],
        "protocols": ["probe"],
        "baseline": "none",
        "rows": {"none": {}, **rows},
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    file = asked.out / "weak.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def main() -> None:
    """Runs the grid, and shows its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--mlssl-epochs", type=int, default=50)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seeds", default="0,1,2")
    asked = parser.parse_args()
    file = write_grid(str(Path(asked.folder).resolve()), asked)
    script = Path(sys.executable).with_name("sm3kit")
    grid = asked.out / "grid"
    subprocess.run([str(script), "ablate", "--grid", str(file), "--out", str(grid)], check=True)


if __name__ == "__main__":
    main()

"""An own grid from Python: two fusions and a temperature, in two seeds, and the table of them."""

from pathlib import Path

from sm3kit.grids.runner import ablate
from sm3kit.results.grid_table import tabulate

# A row takes every setting of a recipe. The base makes it small; leave it out for real data.
GRID = """
title: Two fusions
data: synthetic:40
base: {stage: mmssl, backbone: timm/test_resnet, image_size: 32, stage1: {epochs: 1}, machine: {workers: 0}}
seeds: [0, 1]
protocols: [match]
rows:
  sep_shared:
    fusion: sep_shared
  sep_sep:
    fusion: sep_sep
  sep_sep, colder:
    fusion: sep_sep
    options: {crossmodal: {temperature: 0.05}}
"""

if __name__ == "__main__":
    file = Path("fusions.yaml")
    file.write_text(GRID, encoding="utf-8")

    # Finished work is kept in the folder: stop it, and the same call goes on.
    results = ablate(str(file), out="runs/fusions", cache=False)
    for line in tabulate(results).texts():
        print(line)
    for row in results.rows:
        for seed, record in row.records["match"].items():
            rank = record["space"]["projection"]["derm->clinic"]["mean_rank"]
            print(f"{row.name}, seed {seed}: mean rank {rank:.1f}")

"""Your own grid from Python: two fusions and a temperature, with two seeds, and their table."""

from pathlib import Path

import sm3kit

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

    # Finished work is kept in the folder: stop it, and the same call continues.
    grid = sm3kit.ablate(file, out="runs/fusions")
    print(grid)
    Path("fusions.tex").write_text(grid.table().to_latex(), encoding="utf-8")
    for row in grid.results.rows:
        for seed, record in row.records["match"].items():
            rank = record["space"]["projection"]["derm->clinic"]["mean_rank"]
            print(f"{row.name}, seed {seed}: mean rank {rank:.1f}")

"""The rows of Tables 5 and 6 on real pairs with real ImageNet weights, as the page of results.

    python tests/benchmarks/milk10k_table.py FOLDER OUT [--epochs 10] [--lr 1e-3] [--seeds 0,1] [--page docs/results.md]

FOLDER is MILK10k, OUT a folder for the grid, which goes on where it was stopped. EfficientNet-Lite0
(plugins/sm3kit-lite) at 96 pixels, every row in several seeds. Table 5 is the grid's own; Table 6
ranks the training pairs of the same runs. With --page the tables between its two marks are
replaced.
"""

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
from pathlib import Path

import yaml

from sm3kit.grids import grid
from sm3kit.grids.plan import Plan

MATCHED = ("ImageNet", "SimCLR", "concat", "sep_shared", "sep_sep")
DIRECTIONS = ("derm->clinic", "clinic->derm")
BEGIN, END = "<!-- tables of milk10k_table.py -->", "<!-- end of tables -->"


def sm3kit(*arguments: str) -> str:
    """Standard output of a command."""
    script = Path(sys.executable).with_name("sm3kit")
    done = subprocess.run([str(script), *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def write_grid(folder: str, out: Path, epochs: int, rate: float, seeds: list[int]) -> Path:
    """The rows of Table 5 over the released hyper-parameters, with a small network."""
    rows = yaml.safe_load((Path(grid.__file__).parent / "builtin" / "table5.yaml").read_text())
    base = {
        "recipe": "sm3",
        "backbone": "lite/efficientnet_lite0",
        "image_size": 96,
        "stage1": {"epochs": epochs, "lr": rate, "monitor_every": 0},
    }
    content = {
        "title": "Rows of Table 5 on 605 lesions of MILK10k",
        "data": f"milk10k:{folder}",
        "base": base,
        "seeds": seeds,
        "protocols": ["probe"],
        "baseline": "ImageNet",
        "rows": rows["rows"],
    }
    out.mkdir(parents=True, exist_ok=True)
    file = out / "milk10k.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def runs_of(out: Path) -> dict[str, list[Path]]:
    """{row of Table 6: a run for each seed}, as the plan of the grid names them."""
    plan = Plan.of((out / "grid" / "plan.json").read_text())
    found: dict[str, list[Path]] = {name: [] for name in MATCHED}
    for replicate in plan.replicates:
        if replicate.row in found:
            trained = plan.tasks[replicate.results["probe"]].parent
            found[replicate.row].append(out / "grid" / "runs" / trained)
    return found


def ranks(run: Path) -> dict[str, dict[str, dict[str, float]]]:
    """{space: {direction: summary}} among the training pairs of a run."""
    answer = json.loads(
        sm3kit("evaluate", str(run), "--protocol", "match", "--split", "train", "--json")
    )
    space: dict[str, dict[str, dict[str, float]]] = answer["space"]
    return space


def mean(values: list[float]) -> str:
    """Mean and deviation over the seeds."""
    spread = statistics.stdev(values) if len(values) > 1 else math.nan
    return f"{statistics.mean(values):.1f} ± {spread:.1f}"


def table_6(out: Path) -> list[str]:
    """Lines of Markdown: mean rank and Acc@1 of both directions in both spaces."""
    lines = [
        "| row | space | mean rank derm → clinic | Acc@1 | mean rank clinic → derm | Acc@1 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row, runs in runs_of(out).items():
        measured = [ranks(run) for run in runs]
        for space in measured[0]:
            if not all(set(DIRECTIONS) <= set(one[space]) for one in measured):
                continue
            cells = []
            for direction in DIRECTIONS:
                of = [one[space][direction] for one in measured]
                cells.append(mean([each["mean_rank"] for each in of]))
                cells.append(f"{100 * statistics.mean(each['acc@1'] for each in of):.1f} %")
            lines.append(f"| {row} | {space} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Runs the grid, then writes the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    file = write_grid(given.folder, given.out, given.epochs, given.lr, seeds)
    grid_folder = str(given.out / "grid")
    sm3kit("ablate", "--grid", str(file), "--jobs", "2", "--out", grid_folder)
    table_5 = (given.out / "grid" / "table.md").read_text().strip()
    # One heading lower, and without the place of the data on this machine.
    table_5 = re.sub("^#", "##", table_5.replace(given.folder, "MILK10k"), flags=re.MULTILINE)
    head = "## Rows of Table 6: pair matching among the training pairs"
    text = "\n".join(["", table_5, "", head, "", *table_6(given.out), ""])
    (given.out / "tables.md").write_text(text)
    print(text)
    if given.page:
        page = given.page.read_text()
        marked = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
        given.page.write_text(marked.sub(lambda _: f"{BEGIN}\n{text}\n{END}", page))


if __name__ == "__main__":
    main()

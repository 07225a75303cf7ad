"""Each objective on the built-in studies against random initialisation, as the page of results.

    python tests/benchmarks/objectives.py OUT [--studies 400] [--seeds 0,1,2] [--epochs N] [--row NAME]...

Stage 1 alone, by the recipe `quick` and the defaults of each objective; then the probe, for all rows, and
the matching of pairs, for the losses between modalities. `distill` learns from the run `simclr` of seed 0.
It is an ordinary grid, which is written to OUT and can be resumed.
"""

import argparse
from pathlib import Path

import yaml

import sm3kit

LOCAL = {"photo": {"local_views": 4, "local_size": 24}}  # Of 48 pixels.


def within(objective, **options):
    """A row of one objective within the modalities."""
    return {"stage": "mmssl", "objective": [objective], "fusion": "none", "options": options}


def across(loss, **options):
    """A row of one loss between the modalities, and nothing else."""
    chosen = {"loss": loss, **options}
    row = {"stage": "mmssl", "objective": [], "fusion": "sep_sep", "protocols": ["probe", "match"]}
    return {**row, "options": {"crossmodal": chosen}}


def rows(teacher: Path) -> dict:
    """{name: settings}; the first one is the baseline."""
    return {
        "random": {"recipe": "random", "protocols": ["probe", "match"]},
        "simclr": within("simclr"),
        "dcl": within("dcl"),
        "byol": within("byol"),
        "swav": within("swav"),
        "swav, local views": within("swav", **LOCAL),
        "dino": within("dino"),
        "dino, local views": within("dino", **LOCAL),
        "vicreg": within("vicreg"),
        "barlow": within("barlow"),
        "distill": within("distill", distill={"teacher": str(teacher)}),
        "crossmodal, ntx": across("ntx"),
        "crossmodal, clip": across("clip"),
        "crossmodal, clip, learned t": across("clip", learn_temperature=True),
        "crossmodal, vicreg": across("vicreg"),
        "crossmodal, barlow": across("barlow"),
    }


def main():
    """Trains the teacher, writes the grid, and runs it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--row", action="append", default=[], help="this row; all by default")
    args = parser.parse_args()
    data = f"synthetic:{args.studies}"
    stage1 = {"monitor_every": 0} | ({"epochs": args.epochs} if args.epochs else {})
    teacher = args.out / "teacher"
    if not (teacher / "model.safetensors").exists():
        options = {f"stage1.{name}": value for name, value in stage1.items()}
        sm3kit.pretrain(
            data, recipe="simclr", options=options, out=teacher, resume=teacher.exists()
        )
    grid = {
        "title": "Objectives on built-in studies",
        "data": data,
        "base": {"recipe": "quick", "stage1": stage1},
        "seeds": [int(seed) for seed in args.seeds.split(",")],
        "protocols": ["probe"],
        "baseline": "random",
        "rows": rows(teacher),
    }
    file = args.out / "objectives.yaml"
    file.write_text(yaml.safe_dump(grid, sort_keys=False))
    print(sm3kit.ablate(str(file), row=args.row, out=args.out / "grid").table())


if __name__ == "__main__":
    main()

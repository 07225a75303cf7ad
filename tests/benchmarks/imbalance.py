"""Remedies for imbalance on frozen features, as the page of results.

    python tests/benchmarks/imbalance.py OUT [--data synthetic:400] [--set '{...}'] [--seeds 0,1,2]
    python tests/benchmarks/imbalance.py OUT --rare 0.05

One pre-training, then a probe for each remedy and seed; the table is the mean over the seeds, with
the standard deviation, of the mean over the labels, on the split test. With --rare the reported
class of the label BWV of the built-in studies is thinned to that share where anything is learned or
chosen, in the splits train and val, and the table shows that label alone.
"""

import argparse
import csv
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml

import sm3kit

REMEDIES = {
    "`ce`, the baseline": {},
    "`class_balanced`": {"loss": "class_balanced"},
    "`logit_adjusted`": {"loss": "logit_adjusted"},
    "`focal`": {"loss": "focal"},
    "`asymmetric`": {"loss": "asymmetric"},
    "`label_balanced` batches": {"sampler": "label_balanced"},
    "`cluster_balanced` batches": {"sampler": "cluster_balanced"},
    "5 balanced members": {"members": 5, "options": {"evaluate.subsets": "balanced"}},
    "thresholds, F1": {"threshold": "f1"},
    "thresholds, Youden": {"threshold": "youden"},
    "`logistic`": {"classifier": "logistic"},
    "`logistic`, balanced": {"classifier": "logistic", "options": {"logistic.balanced": True}},
    "`logistic`, thresholds, F1": {"classifier": "logistic", "threshold": "f1"},
}
METRICS = {
    "auc": "AUC",
    "sens": "sensitivity",
    "spec": "specificity",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
}
LABEL, CLASS = "BWV", "PRS"


def thin(out: Path, share: float, count: int) -> str:
    """Built-in studies of which a class of BWV is that rare, but in the split test; the SPEC."""
    folder = out / "studies"
    if not folder.exists():
        script = Path(sys.executable).with_name("sm3kit")
        words = [
            "data",
            "synth",
            "--layout",
            "manifest",
            "--size",
            "128",
            "--pairs",
            str(count),
            "--out",
        ]
        subprocess.run([str(script), *words, str(folder)], check=True)
    (table,) = [file for file in folder.glob("*.csv") if file.name != "thin.csv"]
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rng, kept = np.random.default_rng(0), []
    for split in dict.fromkeys(row["split"] for row in rows):
        own = [row for row in rows if row["split"] == split]
        rare = [row for row in own if row[LABEL] == CLASS]
        rest = [row for row in own if row[LABEL] != CLASS]
        wanted = len(rare) if split == "test" else round(share * len(rest) / (1 - share))
        chosen = rng.permutation(len(rare))[:wanted]
        kept += [*rest, *(rare[place] for place in chosen)]
        print(f"{split}: {len(chosen)} of {len(rest) + len(chosen)} are {LABEL} {CLASS}")
    with (folder / "thin.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)
    return f"manifest:{folder / 'thin.csv'}"


def measure(run: sm3kit.Run, remedy: dict, seeds: list[int], name: str, label: str) -> list[dict]:
    """The metrics of a remedy with each seed, of one label or of the mean."""
    found = []
    for seed in seeds:
        words = {"protocol": "probe", "seed": seed, "quiet": True, "label": f"{name}"}
        result = sm3kit.evaluate(run, **words, **remedy)
        found.append(dict(result.labels[label] if label else result.mean))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", default="synthetic:400")
    parser.add_argument("--set", type=yaml.safe_load, default={}, metavar="YAML")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--rare", type=float, default=0.0)
    parser.add_argument("--studies", type=int, default=2000)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    seeds, label, data, options = [int(s) for s in given.seeds.split(",")], "", given.data, {}
    base = {"recipe": "quick"}
    if given.rare:
        data, label = thin(given.out, given.rare, given.studies), LABEL
        options = {"manifest.reported": f"{LABEL}:{CLASS}"}
    folder = given.out / "run"
    if folder.exists():
        run = sm3kit.open_run(folder)
    else:
        run = sm3kit.pretrain(data, out=folder, **{**base, **given.set}, options=options)
    print(f"| remedy | {' | '.join(METRICS.values())} |\n| --- |{' ---: |' * len(METRICS)}")
    for number, (remedy, words) in enumerate(REMEDIES.items()):
        try:
            found = measure(run, words, seeds, f"remedy{number}", label)
        except sm3kit.SM3Error as error:  # Real data may lack what a remedy needs.
            print(f"{remedy}: {error}", file=sys.stderr)
            continue
        cells = []
        for metric in METRICS:
            values = [100 * one[metric] for one in found]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.1f} ± {spread:.1f}")
        print(f"| {remedy} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

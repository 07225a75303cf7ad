"""Remedies for imbalance on frozen features, as the page of results.

    python tests/benchmarks/imbalance.py OUT [--data synthetic:400] [--set '{...}'] [--seeds 0,1,2]
    python tests/benchmarks/imbalance.py OUT --rare 0.05

One pre-training, then a probe for each remedy and seed; the table is the mean over the seeds, with
the standard deviation, of the mean over the labels, on the split test. With --rare the pre-training is on
built-in studies, and the probes learn from those of which the reported class of one label is thinned to
that share in the splits train and val, where anything is learned or chosen; each row is that label alone.
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
RARE = ("BWV:PRS", "RS:PRS", "VS:IR", "PIG:IR", "STR:IR", "PN:ATP", "DIAG:MEL")


def draw_studies(out: Path, count: int) -> Path:
    """The table of built-in studies, as a manifest."""
    folder = out / "studies"
    if not folder.exists():
        script = Path(sys.executable).with_name("sm3kit")
        words = ["data", "synth", "--layout", "manifest", "--size", "128", "--pairs", str(count)]
        subprocess.run([str(script), *words, "--out", str(folder)], check=True)
    (table,) = [file for file in folder.glob("*.csv") if not file.name.startswith("thin-")]
    return table


def thin(table: Path, share: float, label: str, name: str) -> str:
    """Studies of which a class of a label is that rare, but in the split test; the SPEC."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rng, kept = np.random.default_rng(0), []
    for split in dict.fromkeys(row["split"] for row in rows):
        own = [row for row in rows if row["split"] == split]
        rare = [row for row in own if row[label] == name]
        rest = [row for row in own if row[label] != name]
        wanted = len(rare) if split == "test" else round(share * len(rest) / (1 - share))
        kept += [*rest, *(rare[place] for place in rng.permutation(len(rare))[:wanted])]
    made = table.with_name(f"thin-{label}-{name}.csv")
    with made.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)
    return f"manifest:{made}"


def measure(
    run: sm3kit.Run, remedy: dict, seeds: list[int], name: str, data: str = "", label: str = ""
) -> list[dict]:
    """The metrics of a remedy with each seed, of one label or of the mean."""
    found = []
    for seed in seeds:
        words = {"protocol": "probe", "seed": seed, "quiet": True, "label": name}
        result = sm3kit.evaluate(run, data=data or None, **words, **remedy)
        found.append(dict(result.labels[label] if label else result.mean))
    return found


def cells(found: list[dict]) -> str:
    """Mean and standard deviation over the seeds of every metric, in percent."""
    texts = []
    for metric in METRICS:
        values = [100 * one[metric] for one in found]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        texts.append(f"{statistics.mean(values):.1f} ± {spread:.1f}")
    return " | ".join(texts)


def compare_remedies(run: sm3kit.Run, seeds: list[int]) -> None:
    """A row for each remedy, of the mean over the labels."""
    print(f"| remedy | {' | '.join(METRICS.values())} |\n| --- |{' ---: |' * len(METRICS)}")
    for number, (remedy, words) in enumerate(REMEDIES.items()):
        try:
            found = measure(run, words, seeds, f"remedy{number}")
        except sm3kit.SM3Error as error:  # Real data may lack what a remedy needs.
            print(f"{remedy}: {error}", file=sys.stderr)
            continue
        print(f"| {remedy} | {cells(found)} |", flush=True)


def compare_rare_classes(run: sm3kit.Run, table: Path, share: float, seeds: list[int]) -> None:
    """Two rows for each label whose reported class is made rare."""
    heads = " | ".join(METRICS.values())
    print(f"| rare class | loss | {heads} |\n| --- | --- |{' ---: |' * len(METRICS)}")
    for rare in RARE:
        label, _, name = rare.partition(":")
        for loss in ("ce", "logit_adjusted"):
            words = {"loss": loss, "options": {"manifest.reported": rare}}
            data = thin(table, share, label, name)
            found = measure(run, words, seeds, f"{label}-{loss}", data, label)
            print(f"| {label} {name} | `{loss}` | {cells(found)} |", flush=True)


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
    seeds = [int(seed) for seed in given.seeds.split(",")]
    folder, data, table = given.out / "run", given.data, None
    if given.rare:
        table = draw_studies(given.out, given.studies)
        data = f"manifest:{table}"
    if folder.exists():
        run = sm3kit.open_run(folder)
    else:
        run = sm3kit.pretrain(data, out=folder, **{"recipe": "quick", **given.set})
    if table is None:
        compare_remedies(run, seeds)
    else:
        compare_rare_classes(run, table, given.rare, seeds)


if __name__ == "__main__":
    main()

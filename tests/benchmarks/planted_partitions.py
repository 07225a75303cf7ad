"""Prints how well clusterers find planted classes: python tests/benchmarks/planted_partitions.py.

Classes of 80, 13 and 7 % (and others with --sizes) around orthogonal centres in 512 dimensions, under
noise of growing length: NMI with the truth, mean and lowest of ten seeds. `--seeds N` draws fewer,
`--png FILE` draws the curves, `--time` times a round of clustering of stage 2.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from sklearn.metrics import normalized_mutual_info_score

from sm3kit.core.registry import registry

sys.path.insert(0, str(Path(__file__).parents[1]))
from planted import SHARES, planted

NOISES = {413: (1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5), 5000: (3, 4, 5, 5.5, 6, 6.1, 6.25, 6.5, 7)}
OTHERS = {
    "50/30/20": (0.5, 0.3, 0.2),
    "2 equal": (1 / 2,) * 2,
    "5 equal": (1 / 5,) * 5,
    "8 equal": (1 / 8,) * 8,
    "60/20/10/6/4": (0.6, 0.2, 0.1, 0.06, 0.04),
}
LABELS = (5, 3, 2, 3, 3, 3, 3, 2)  # Classes of the labels of the seven-point checklist.


def agreements(name, count, noise, seeds, shares=SHARES):
    """NMI of a clusterer's answer with the truth, for each seed."""
    clusterer, values = registry("clusterers").get(name)(), []
    for seed in range(seeds):
        rows, truth = planted(count, noise, seed, shares=shares)
        found = clusterer.fit(rows, len(shares), seed).assignments
        values.append(normalized_mutual_info_score(truth, found))
    return values


def show(first, names, lines):
    """A Markdown table of mean (lowest) values: lines of (first cell, [values of each name])."""
    print(f"| {first} | {' | '.join(names)} |\n|{' --- |' * (len(names) + 1)}")
    for cell, columns in lines:
        text = [f"{statistics.mean(own):.3f} ({min(own):.2f})" for own in columns]
        print(f"| {cell} | {' | '.join(text)} |", flush=True)


def curves(names, seeds, counts):
    """NMI over the noise: {count: [(noise, [values of each name])]}."""
    answers = {}
    for count in counts:
        lines = [
            (noise, [agreements(name, count, noise, seeds) for name in names])
            for noise in NOISES[count]
        ]
        print(f"\n{count} studies, 80/13/7 %, {seeds} seeds: mean (lowest) NMI\n")
        show("noise", names, lines)
        answers[count] = lines
    return answers


def draw(answers, names, path):
    """The curves as an image."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(answers), figsize=(5 * len(answers), 3.5), squeeze=False)
    for axis, (count, lines) in zip(axes[0], answers.items(), strict=True):
        noises = [noise for noise, _ in lines]
        for number, name in enumerate(names):
            values = torch.tensor([columns[number] for _, columns in lines])
            axis.plot(noises, values.mean(1), marker="o", label=name)
            axis.fill_between(noises, values.amin(1), values.amax(1), alpha=0.15)
        axis.set(
            title=f"{count} studies", xlabel="length of the noise", ylabel="NMI", ylim=(0, 1.02)
        )
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def round_times(names):
    """Seconds of a round: 5,000 studies, eight labels, 512 dimensions, early in a training."""
    print(f"\nA round of 5,000 studies x 8 labels x 512, {torch.get_num_threads()} threads\n")
    print("| clusterer | seconds | of processor time |\n| --- | --- | --- |")
    banks = [planted(5000, 5.0, seed)[0] for seed in range(len(LABELS))]
    for name in names:
        clusterer, spent = registry("clusterers").get(name)(), []
        clusterer.before_epoch(0.5)
        for _ in range(3):
            clock, processor = time.perf_counter(), time.process_time()
            for bank, k in zip(banks, LABELS, strict=True):
                clusterer.fit(bank, k, 0)
            spent.append((time.perf_counter() - clock, time.process_time() - processor))
        clock, processor = min(spent)
        print(f"| {name} | {clock:.2f} | {processor:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--names", default="faiss,p2ot,consensus")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--counts", default="413,5000")
    parser.add_argument("--png")
    parser.add_argument("--sizes", action="store_true")
    parser.add_argument("--time", action="store_true")
    wanted = parser.parse_args()
    names = wanted.names.split(",")
    if wanted.time:
        return round_times(names)
    if wanted.sizes:
        for noise in (2, 3, 4, 5):
            lines = [
                (cell, [agreements(name, 413, noise, wanted.seeds, shares) for name in names])
                for cell, shares in OTHERS.items()
            ]
            print(f"\n413 studies, noise {noise}, {wanted.seeds} seeds: mean (lowest) NMI\n")
            show("sizes", names, lines)
        return None
    answers = curves(names, wanted.seeds, [int(count) for count in wanted.counts.split(",")])
    if wanted.png:
        draw(answers, names, wanted.png)
    return None


if __name__ == "__main__":
    main()

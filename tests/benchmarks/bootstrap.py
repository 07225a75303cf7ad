"""Seconds for all metrics of eight labels of 395 cases in 2000 resamples, on one core.

python tests/benchmarks/bootstrap.py
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # Before numpy is imported.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import statistics
import time

import numpy as np

from sm3kit.metrics.summary import LabelScores, Predictions, compare, mean_auc, summarise

CLASSES, CASES, RESAMPLES, ROUNDS = (5, 3, 2, 3, 3, 3, 3, 2), 395, 2000, 5


def predictions(seed: int) -> Predictions:
    """Scores that know a little of the truth, which is the same for every seed."""
    labels = {}
    for place, count in enumerate(CLASSES):
        truth = np.random.default_rng(place).integers(count, size=CASES)
        logits = np.random.default_rng([seed, place]).normal(size=(CASES, count))
        odds = np.exp(logits + np.eye(count)[truth])
        names = tuple("abcde"[:count])
        labels[f"label {place}"] = LabelScores(names, "b", odds / odds.sum(1)[:, None], truth)
    cases = [f"case {number}" for number in range(CASES)]
    return Predictions(labels, np.array(cases), np.array(cases))


def median_seconds(what, *arguments) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        what(*arguments)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    first, second = predictions(0), predictions(1)
    print(f"{len(CLASSES)} labels, {CASES} cases, {RESAMPLES} resamples, median of {ROUNDS}")
    print(f"  {'summarise':10}{median_seconds(summarise, first, RESAMPLES):8.3f} s")
    print(f"  {'compare':10}{median_seconds(compare, first, second, RESAMPLES):8.3f} s")
    print(f"  {'mean_auc':10}{median_seconds(mean_auc, first) * 1e3:8.3f} ms")


if __name__ == "__main__":
    main()

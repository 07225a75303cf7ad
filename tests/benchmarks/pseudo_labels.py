"""How well pseudo-labels agree with true labels, and how well they could, as the page of results.

    sm3kit ablate --grid clusters --out OUT
    python tests/benchmarks/pseudo_labels.py OUT

Two Markdown tables of the normalised mutual information on the training studies, the mean over the seeds:
for each row the pseudo-labels of its last epoch; and for the features of stage 1 that all rows share what
k-means makes of them with as many clusters as classes, and what logistic regression learns *with the true
labels*, for studies that it has not seen (ten folds, the best of seven regularisations, chosen by this very
number: what no clustering of these features can be expected to reach).
"""

import argparse
import io
import statistics
from pathlib import Path

import numpy as np
from rich.console import Console
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import normalized_mutual_info_score as nmi
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.evaluation.opening import open_subject
from sm3kit.grids.folder import Folder
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs.folder import RunFolder

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100)
ENOUGH = 0.2


def of_rows(folder):
    """{row: {label: [NMI of each seed]}} of the last epoch of stage 2."""
    plan, table = folder.plan(), {}
    for replicate in plan.replicates:
        chain = plan.chain(next(iter(replicate.results.values())))
        run = folder.run(next(key for key in reversed(chain) if plan.tasks[key].trains))
        lines = [line for line in run_rows(run) if line["stage"] == "mlssl"]
        own = table.setdefault(replicate.row, {})
        for name, value in (lines[-1] if lines else {}).items():
            if name.startswith("nmi_truth/") and value:
                own.setdefault(name.partition("/")[2], []).append(float(value))
    return table


def run_rows(run):
    """The rows of metrics.csv of a run; none before it has begun."""
    return RunFolder(run).metrics() if (run / "metrics.csv").is_file() else []


def of_features(run):
    """{what: {label: NMI}} of the joint features of a run."""
    quiet = Reporter(Console(file=io.StringIO()))
    subject = open_subject(run, (), ImageCache.of_user(), FeatureCache.of_user(), quiet)
    cases = subject.cases("train", labelled=True)
    joint = subject.joint(cases).double().numpy()
    joint /= np.linalg.norm(joint, axis=1, keepdims=True)
    white = PCA(8, whiten=True, random_state=0).fit_transform(joint)
    table = {}
    for number, label in enumerate(subject.pool.labels):
        truth = np.array([case.labels[number] for case in cases])
        known, classes = truth >= 0, len(label.classes)
        for name, rows in (("k-means", joint), ("k-means, 8 whitened components", white)):
            clusters = KMeans(classes, n_init=10, random_state=0).fit_predict(rows)
            table.setdefault(name, {})[label.name] = nmi(truth[known], clusters[known])
        learned = [with_labels(joint[known], truth[known], strength) for strength in STRENGTHS]
        table.setdefault("learned with the true labels", {})[label.name] = max(learned)
    return table


def with_labels(rows, truth, strength):
    """The NMI of predictions for studies in other folds than those that were learned from."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    return nmi(truth, cross_val_predict(model, rows, truth, cv=folds))


def show(table):
    """Prints {row: {label: [values]}} as Markdown."""
    labels = list(dict.fromkeys(label for own in table.values() for label in own))
    print(f"| row | {' | '.join(labels)} | mean | above {ENOUGH} |")
    print("|" + " --- |" * (len(labels) + 3))
    for row, own in table.items():
        means = [statistics.mean(own[label]) for label in labels if label in own]
        if means:
            cells = " | ".join(f"{mean:.2f}" for mean in means)
            count = sum(mean > ENOUGH for mean in means)
            print(f"| {row} | {cells} | {statistics.mean(means):.2f} | {count} |")
    print()


def main():
    """Both tables of an ablation."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    folder = Folder(parser.parse_args().out)
    show(of_rows(folder))
    table = {}
    for task in folder.plan().tasks.values():
        if task.kind == "mmssl" and folder.run(task.key).joinpath("model.safetensors").is_file():
            for what, own in of_features(folder.run(task.key)).items():
                for label, value in own.items():
                    table.setdefault(what, {}).setdefault(label, []).append(value)
    show(table)


if __name__ == "__main__":
    main()

"""Results of grids that nobody has trained: predictions with a known AUC, and ranks."""

import numpy as np

from sm3kit.metrics.predictions import LabelScores, Predictions
from sm3kit.metrics.summary import summarise
from sm3kit.results.measurement import GridResults, RowResults

TRUTH = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])


def predictions(right, *, cases=20, labels=("BWV", "RS")):
    """AUC `right` / 24 in each label: so many of the 24 pairs are in order.

    Each of 4 positives stands above some of 6 negatives; by default all are there twice.
    """
    above = [min(6, max(0, right - 6 * place)) for place in range(4)]
    score = np.array([*(0.05 + 0.1 * one for one in above), *(0.1 * (1 + n) for n in range(6))])
    score, truth = np.resize(score, cases), np.resize(TRUTH, cases)
    label = LabelScores(("ABS", "PRS"), "PRS", np.stack([1 - score, score], 1), truth)
    ids = [f"case {number}" for number in range(cases)]
    return Predictions(dict.fromkeys(labels, label), ids, ids)


def labelled(folder, name, aucs, *, protocol="probe", failed=None, axes=None, recipes=(), **more):
    """A row with one AUC in 24ths for each seed; None leaves a seed out."""
    records, files = {}, {}
    for seed, right in enumerate(aucs):
        if right is None:
            continue
        found = predictions(right, **more)
        files[seed] = folder / f"{abs(hash((name, seed)))}.npz"
        found.save(files[seed])
        head = {"protocol": protocol, "split": "test", "select": "val_best", "leaky": False}
        of = {"splits": ["train"], "stage": "mlssl"}
        records[seed] = {**head, "of": of, "seeds": [seed], **summarise(found, 20)}
    return RowResults(
        name, recipes, axes or {}, {protocol: records}, {protocol: files}, failed or {}
    )


def matched(name, ranks, *, recipes=(), split="test", spaces=("backbone",)):
    """A row of a matching with one mean rank for each seed."""
    records = {}
    for seed, rank in enumerate(ranks):
        one = {"mean_rank": rank, "acc@1": 1 / rank, "acc@5": 0.5, "n": 10, "chance": 5.5}
        directions = {"derm->clinic": one, "clinic->derm": {**one, "mean_rank": rank + 1}}
        records[seed] = {
            "split": split,
            "select": "last",
            "leaky": False,
            "of": {"splits": ["train"], "stage": "mmssl"},
            "transfer": False,
            "seeds": [seed],
            "space": dict.fromkeys(spaces, directions),
        }
    return RowResults(name, recipes, records={"match": records})


def clustered(name, scores, *, labels=("BWV", "RS")):
    """A row of clusters against classes with one NMI for each seed; None leaves a label undefined."""
    records = {}
    for seed, score in enumerate(scores):
        values = {"nmi": score, "ari": score, "accuracy": score}
        ends = dict.fromkeys(values, [None, None] if score is None else [score - 0.1, score + 0.1])
        row = {**values, "intervals": ends, "interval_reason": None}
        more = {"largest_class": 0.8, "known": 20, "counts": {"ABS": [9, 7], "PRS": [1, 3]}}
        records[seed] = {
            "protocol": "clusters", "split": "test", "select": "last", "leaky": False,
            "of": {"splits": ["train"], "stage": "mlssl"}, "seeds": [seed], "cases": 20, "groups": 20,
            "resamples": 20,
            "clusters": {"labels": dict.fromkeys(labels, row | more), "mean": row | {"labels": 2}},
        }  # fmt: skip
    return RowResults(name, records={"clusters": records})


def grid(folder, rows, **more):
    """A grid of rows; three seeds of a probe on the test split of Derm7pt."""
    settings = {
        "title": "a grid",
        "data": ("derm7pt:/data/of/this/machine",),
        "split": "test",
        "select": "val_best",
        "protocols": ("probe",),
        "seeds": (0, 1, 2),
        "baseline": "",
    }
    return GridResults(folder=folder, rows=rows, **{**settings, **more})

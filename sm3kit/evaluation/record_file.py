"""The record of an evaluation, read again by whoever shows or compares results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sm3kit.core.errors import DataError
from sm3kit.core.plain_json import NUMBER, read

_METRIC = (*NUMBER, type(None))
_METRICS = {
    **dict.fromkeys(("auc", "sens", "spec", "prec"), _METRIC),
    "intervals": {"*": [_METRIC]},
}
# Each direction has its own number of pairs, and its own mean rank by chance.
_NUMBERS = dict.fromkeys(("mean_rank", "acc@1", "acc@5", "chance?", "median_rank?"), NUMBER)
_RANKS = {"*": {"*": {**_NUMBERS, "n": int}}}
_AGREEMENT = {
    **dict.fromkeys(("nmi", "ari", "accuracy"), _METRIC),
    "intervals": {"*": [_METRIC]},
    "interval_reason": (str, type(None)),
}
_OF_LABELS = ("labels", "mean", "cases", "groups", "resamples", "scope", "chosen", "trained_on")
_OF_SUPPORT = ("cases", "groups", "resamples")
# As far as anybody looks into it again; `labels` and `mean`, `space` of a matching, or
# `clusters`.
SHAPE = {
    **dict.fromkeys(("protocol", "split", "select", "data_hash", "label?"), str),
    **dict.fromkeys(("leaky", "transfer"), bool),
    **dict.fromkeys(("seen?", "replaced?"), (list, type(None))),
    **dict.fromkeys(("options", "settings", "machine", "studies"), dict),
    "data": [str],
    "map": {"*": str},
    "notes": [str],
    "seeds": [int],
    "of": {
        **dict.fromkeys(("model", "stage"), str),
        **dict.fromkeys(("recipe", "splits", "data"), [str]),
        "weak?": {"*": int},
        "weak_seeds?": int,
    },
    **dict.fromkeys(("cases?", "groups?", "resamples?", "trained_on?"), int),
    "trainable_parameters": int,
    "scope?": str,
    "chosen?": dict,
    "decision?": dict,
    "dropped?": {"images": {"*": int}, "studies": int, "left_out": list},
    "labels?": {"*": {**_METRICS, "support": dict}},
    "mean?": _METRICS,
    "space?": _RANKS,
    "clusters?": {
        "labels": {"*": {**_AGREEMENT, "largest_class": _METRIC, "known": int, "counts": dict}},
        "mean": {**_AGREEMENT, "labels": int},
    },
    "without_duplicates?": {"space": _RANKS},
}


def read_record(file: Path, remedy: str = "Evaluate again.") -> dict[str, Any]:
    """What `evaluate` has written: what was measured how.

    Raises:
        DataError: the file is missing, damaged, or no such record; the remedy is its last
            sentence.
    """
    record: dict[str, Any] = read(file, "record of an evaluation", remedy, SHAPE, DataError)
    wanted = _OF_SUPPORT if "clusters" in record else () if "space" in record else _OF_LABELS
    lacking = [name for name in wanted if name not in record]
    if lacking:
        raise DataError(f"{file} is damaged: it has no {lacking[0]}. {remedy}")
    return record

"""Pair matching: does each image find its partner of another modality?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from sm3kit.core.errors import DataError
from sm3kit.engine.cases import Case
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.ranks import first_of_each, rank_summary
from sm3kit.nn.finite import check_features
from sm3kit.nn.monitors import partner_ranks


def match(subject: Subject, settings: Settings) -> dict[str, Any]:
    """Ranks of the true partners among all studies of a split, in both directions.

    Source: Wang et al. 2025, section 5.2.3 and table 6, cosine similarity.
    Differs from the paper: it names neither space nor direction, so all are given; ties count
    half; and all is given once more without studies that share an image file with an earlier one.

    Returns:
        {"space": {space: {"a->b": summary of ranks}}, "without_duplicates": {"left_out",
        "space"}}, the latter only where files are shared.

    Raises:
        DataError: fewer than two studies have a pair of images.
    """
    cases = subject.cases(settings.split, labelled=False)
    found = _spaces(subject, cases)
    pairs = sum(len(case.images) > 1 for case in cases)
    if not any(found.values()):
        raise DataError(
            f"The split {settings.split} of {', '.join(subject.variant.data)} has {pairs} studies "
            "with images of two modalities; matching wants at least two, and features of equal "
            "width. Choose another --split."
        )
    answer: dict[str, Any] = {"space": found}
    readers = subject.pool.readers
    keys = [
        [subject.images.digest(path, readers[case.source][n]) for n, path in case.shown().items()]
        for case in cases
    ]
    first = first_of_each(keys)
    if len(first) < len(cases):
        answer["without_duplicates"] = {
            "left_out": len(cases) - len(first),
            "space": _spaces(subject, [cases[index] for index in first]),
        }
    return answer


def _spaces(subject: Subject, cases: Sequence[Case]) -> dict[str, dict[str, dict[str, float]]]:
    features = subject.features(cases)
    present = features.present
    rows = features.whole()
    fusion = subject.extractor.fusion.to("cpu")
    with torch.no_grad():
        streams = fusion({name: [one] for name, one in rows.items()}, present)
    fusion.to(subject.device)
    projected = {name: views[0] for name, views in streams.items() if name in present}
    check_features(projected, "after the fusion")
    return {
        "backbone": _directions(rows, present),
        **({"projection": _directions(projected, present)} if len(projected) > 1 else {}),
    }


def _directions(
    vectors: Mapping[str, Tensor], present: Mapping[str, Tensor]
) -> dict[str, dict[str, float]]:
    found = {}
    for one, other in permutations(vectors, 2):
        both = present[one] & present[other]
        if int(both.sum()) < 2 or vectors[one].shape[1] != vectors[other].shape[1]:
            continue
        ranks = partner_ranks(vectors[one][both], vectors[other][both])
        found[f"{one}->{other}"] = rank_summary(ranks.numpy())
    return found

"""Pair matching: does each image find its partner of another modality?"""

from __future__ import annotations

from typing import Any

import torch

from sm3kit.core.errors import DataError
from sm3kit.data.dropping import drops_of
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.ranks import first_of_each, rank_summary
from sm3kit.networks.pair_spaces import PairSpaces


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
    cases = subject.measured(settings)
    embeddings = subject.embeddings(cases)
    spaces = _spaces(embeddings)
    pairs = sum(len(case.images) > 1 for case in cases)
    if not any(spaces.values()):
        remedy = "Choose another --split."
        if settings.drop:
            name = drops_of(settings.drop, list(subject.pool.modalities))[0].modality
            remedy = f"Drop a smaller share of the images, such as --drop 0.1:{name}."
        raise DataError(
            f"The split {settings.split} of {', '.join(subject.variant.data)} has {pairs} studies "
            "with images of two modalities; matching needs at least two, and features of equal "
            f"width. {remedy}"
        )
    answer: dict[str, Any] = {"space": spaces}
    readers = subject.pool.readers
    keys = [
        [
            subject.images.digest(path, readers[case.source][n])
            for n, path in case.eval_images().items()
        ]
        for case in cases
    ]
    subject.images.keep_hashes()
    first = first_of_each(keys)
    if len(first) < len(cases):
        answer["without_duplicates"] = {
            "left_out": len(cases) - len(first),
            "space": _spaces(embeddings.take(torch.tensor(first))),
        }
    return answer


def _spaces(embeddings: PairSpaces) -> dict[str, dict[str, dict[str, float]]]:
    return {
        space: {way.name: rank_summary(way.ranks().numpy()) for way in embeddings.directions(space)}
        for space in embeddings.spaces
    }

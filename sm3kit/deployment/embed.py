"""Features of studies as plain arrays, with ids, groups, splits and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sm3kit import __version__
from sm3kit.core.errors import DataError, VariantError
from sm3kit.data.cases import Case
from sm3kit.datasets.base import SPLITS
from sm3kit.deployment import STATEMENT
from sm3kit.evaluation.caveats import replaced_studies, seen_studies
from sm3kit.evaluation.predicting import case_id
from sm3kit.evaluation.subject import Subject
from sm3kit.nn.finite import check_features
from sm3kit.runs.record import versions

SPACES = ("backbone", "joint", "embedding", "projection")
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Embedded:
    """N studies in one or several spaces.

    Attributes:
        about: the run, its data, and the versions of what computed it; plain values.
        ids, groups, splits: (N,) text.
        labels: {label: (N,) class name}, empty text where unknown.
        present: {modality: (N,) bool}.
        arrays: {"backbone/derm": (N, D)} float32.
        masks: {array: (N,) bool}, rows that are real; all others are zeros.
    """

    about: dict[str, Any]
    ids: Array
    groups: Array
    splits: Array
    labels: dict[str, Array]
    present: dict[str, Array]
    arrays: dict[str, Array]
    masks: dict[str, Array]


def embed(subject: Subject, splits: Sequence[str], spaces: Sequence[str]) -> Embedded:
    """The evaluation views of studies in the spaces of a run.

    Args:
        splits: of the data.
        spaces: "backbone" has an array per modality, "joint" one, "embedding" one per label
            (after stage 2), "projection" one per stream of the fusion.

    Raises:
        SM3Error: no studies, a space that the run does not have, or features that are not finite.
    """
    for space in spaces:
        _check(subject, space)
    cases = [case for split in SPLITS if split in splits for case in subject.pool.cases[split]]
    if not cases:
        raise DataError(
            f"{', '.join(subject.variant.data)} has no study in the split {', '.join(splits)}. "
            "Choose another --split."
        )
    features = subject.features(cases)
    rows, present = features.whole(), features.present
    every = torch.ones(len(cases), dtype=torch.bool)
    found: dict[str, tuple[Tensor, Tensor]] = {}
    if "backbone" in spaces:
        found |= {f"backbone/{name}": (one, present[name]) for name, one in rows.items()}
    branches = subject.branches
    if "projection" in spaces:
        real = branches.fusion.stream_present(present)
        streams = branches.embed(rows, present).streams
        found |= {f"projection/{name}": (one, real[name]) for name, one in streams.items()}
    with torch.no_grad():
        joint = branches.joint(rows, present)
        if "joint" in spaces:
            found["joint"] = joint.cpu(), every
        if "embedding" in spaces and subject.embedding is not None:
            embeddings = subject.embedding(joint).cpu()
            for number, label in enumerate(subject.pool.labels):
                found[f"embedding/{label.name}"] = embeddings[:, number], every
    return _plain(subject, cases, found, present)


def _check(subject: Subject, space: str) -> None:
    folder = subject.trained.folder
    if space == "embedding" and subject.embedding is None:
        raise VariantError(
            f"--space embedding wants a run with stage 2 for the labels of the data, and {folder} "
            "has none. Take --space joint."
        )
    if space == "projection" and not subject.branches.fusion.default_objective:
        raise VariantError(
            f"--space projection wants a fusion with streams, and {folder} has the fusion "
            f"{subject.variant.fusion}. Take --space backbone."
        )


def _plain(
    subject: Subject,
    cases: Sequence[Case],
    found: dict[str, tuple[Tensor, Tensor]],
    present: dict[str, Tensor] | Any,
) -> Embedded:
    trained = subject.trained
    about = {
        "program": f"sm3kit {__version__}",
        "statement": STATEMENT,
        **trained.record(),
        "embedded": list(subject.variant.data),
        "precision": subject.encoder.precision,
        "versions": versions(),
        "seen": _seen(subject, cases),
        "replaced": replaced_studies(subject),
    }
    labels = {
        label.name: np.array(
            [label.classes[one] if one >= 0 else "" for one in _column(cases, number)], np.str_
        )
        for number, label in enumerate(subject.pool.labels)
    }
    check_features({name: rows[mask] for name, (rows, mask) in found.items()}, "to be written")
    masks = {name: mask.numpy() for name, (_, mask) in found.items()}
    return Embedded(
        about,
        np.array([case_id(subject.pool, case) for case in cases], np.str_),
        np.array([case.study.group for case in cases], np.str_),
        np.array([case.study.split for case in cases], np.str_),
        labels,
        {name: mask.numpy() for name, mask in present.items()},
        {
            name: np.where(masks[name][:, None], rows.float().numpy(), np.float32(0))
            for name, (rows, _) in found.items()
        },
        masks,
    )


def _seen(subject: Subject, cases: Sequence[Case]) -> list[str]:
    splits = dict.fromkeys(case.study.split for case in cases)
    return [name for split in splits for name in seen_studies(subject, split) or ()]


def _column(cases: Sequence[Case], number: int) -> list[int]:
    return [case.labels[number] for case in cases]

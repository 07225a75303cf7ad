"""What the fusion of a run makes of cases, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sm3kit.data.cases import Case
from sm3kit.evaluation.subject import Subject
from sm3kit.nn.finite import check_features

Vectors = Mapping[str, Tensor]


def joint_of(subject: Subject, cases: Sequence[Case]) -> Tensor:
    """Joint features (N, J) of the evaluation view of cases, from the feature cache if kept.

    Raises:
        DataError: some are not finite.
    """
    features = subject.features(cases)
    fusion = subject.extractor.fusion.to("cpu")
    with torch.no_grad():
        joint = fusion.joint(features.whole(), features.present)
    fusion.to(subject.device)
    check_features({"all modalities": joint}, "joined by the fusion")
    return joint


def pair_spaces(subject: Subject, cases: Sequence[Case]) -> tuple[dict[str, Vectors], Vectors]:
    """The spaces in which the images of a case can find each other.

    Returns:
        {"backbone": {modality: (N, D)}}, and "projection" where the fusion has streams (N, P) of
        two modalities or more; and {modality: (N,) bool}, who has it.

    Raises:
        DataError: some vectors are not finite.
    """
    features = subject.features(cases)
    rows, present = features.whole(), features.present
    fusion = subject.extractor.fusion.to("cpu")
    with torch.no_grad():
        streams = fusion({name: [one] for name, one in rows.items()}, present)
    fusion.to(subject.device)
    projected = {name: views[0] for name, views in streams.items() if name in present}
    check_features(projected, "after the fusion")
    return {"backbone": rows, **({"projection": projected} if len(projected) > 1 else {})}, present

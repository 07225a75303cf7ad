"""The one rule of what is not finite: a tensor with NaN or infinity in it, by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sm3kit.core.errors import TrainingError


def not_finite(tensors: Mapping[str, Any]) -> list[str]:
    """The names of the tensors that hold NaN or infinity, in order; whole numbers never do.

    Each tensor is read once where it is, without a copy, and each device is asked once for all.

    Args:
        tensors: {name: tensor}; whatever else a module keeps in its state is passed over.
    """
    verdicts: dict[torch.device, dict[str, Tensor]] = {}
    for name, values in tensors.items():
        if isinstance(values, Tensor) and values.is_floating_point() and values.numel():
            # NaN among values is both their lowest and their highest.
            ends = torch.stack(torch.aminmax(values.detach()))
            verdicts.setdefault(values.device, {})[name] = ends.isfinite().all()
    bad = {
        name
        for on_device in verdicts.values()
        for name, fine in zip(on_device, torch.stack([*on_device.values()]).tolist(), strict=True)
        if not fine
    }
    return [name for name in tensors if name in bad]


def first_two(names: Sequence[str]) -> str:
    """The first two names, and how many there are beside them."""
    more = len(names) - 2
    return ", ".join(names[:2]) + (f" and {more} more" if more > 0 else "")


def check_features(features: Mapping[str, Tensor], computed: str) -> None:
    """Refuses features that are not finite before they are kept, compared or written.

    Args:
        features: {modality, or another name of what they are: (N, D)}.
        computed: in what or of what, such as "in bf16-mixed" or "of the split val".

    Raises:
        TrainingError: some are not; the first is named, with the number of studies.
    """
    bad = not_finite(features)
    if not bad:
        return
    rows = features[bad[0]]
    wrong = int((~rows.isfinite()).flatten(1).any(dim=1).sum())
    raise TrainingError(
        f"The features of {bad[0]} {computed} are not finite for {wrong} of {len(rows)} studies. "
        "Their networks have diverged: train them again with a lower --lr, or with --precision 32."
    )

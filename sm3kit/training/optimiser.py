"""AdamW as every stage uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from sm3kit.core.errors import CheckpointError


def adamw(
    learning: Mapping[float, Sequence[nn.Parameter]],
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    state: Mapping[str, Any] | None = None,
    *,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) over weights by their learning rate.

    Args:
        learning: {learning rate: weights}. Each group keeps its rate as `initial_lr`, too, which
            schedules multiply.
        betas, eps, weight_decay: of all groups.
        state: what the optimiser remembers of the epochs before, when a training goes on.
        fused: one kernel for all steps of an update.
    """
    groups = [
        {"params": list(weights), "lr": rate, "initial_lr": rate}
        for rate, weights in learning.items()
        if weights
    ]
    optimiser = torch.optim.AdamW(
        groups, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused
    )
    if state is not None:
        try:
            optimiser.load_state_dict(dict(state))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(
                "The checkpoint to go on from does not fit this optimiser. Delete it to train anew."
            ) from error
        for group, own in zip(optimiser.param_groups, groups, strict=True):
            group["lr"] = group["initial_lr"] = own["lr"]
    return optimiser

"""The optimisers, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from sm3kit.core.errors import CheckpointError

MOMENTUM = 0.9  # Of "sgd" and "lars".
# What each keeps of a weight that learns, in copies of it: its moments.
REMEMBERED = {"adamw": 2, "adam": 2, "sgd": 1, "lars": 1}


class WeightGroup(NamedTuple):
    """Weights that learn alike.

    Attributes:
        rate: their learning rate.
        weights: the weights.
        decays: whether the weight decay holds for them.
    """

    rate: float
    weights: Sequence[nn.Parameter]
    decays: bool = True


def optimiser(
    name: str,
    learning: Sequence[WeightGroup],
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    state: Mapping[str, Any] | None = None,
    *,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """An optimiser over groups of weights.

    Args:
        name: "adamw" (Loshchilov and Hutter 2019, arXiv:1711.05101), "adam" (Kingma and Ba 2015,
            arXiv:1412.6980), "sgd" with a momentum of 0.9, or "lars" (You et al. 2017,
            arXiv:1708.03888, algorithm 1), sgd whose steps are scaled to the length of each
            weight tensor. The weight decay of the last three is part of the gradient. Without
            weight decay, "lars" moves a tensor as "sgd" does.
        learning: what learns. Each group keeps its rate as `initial_lr`, too, which schedules
            multiply; groups without weights are left out.
        betas, eps, weight_decay: of all groups; "sgd" and "lars" have only the last.
        state: what the optimiser remembers of the epochs before, when a training goes on.
        fused: one kernel for all steps of an update, where the optimiser has one.

    Raises:
        CheckpointError: the state is of another optimiser.
    """
    groups = [_table(group) for group in learning if group.weights]
    made: torch.optim.Optimizer
    if name == "sgd":
        made = torch.optim.SGD(groups, momentum=MOMENTUM, weight_decay=weight_decay, fused=fused)
    elif name == "lars":
        from timm.optim import Lars  # timm takes seconds to load.

        made = Lars(groups, momentum=MOMENTUM, weight_decay=weight_decay)
    else:
        adam = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[name]
        made = adam(groups, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)
    if state is not None:
        try:
            made.load_state_dict(dict(state))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(
                "The checkpoint to resume from does not fit this optimiser. Delete it to start "
                "over."
            ) from error
        for group, own in zip(made.param_groups, groups, strict=True):
            group["lr"] = group["initial_lr"] = own["lr"]
    return made


def _table(group: WeightGroup) -> dict[str, Any]:
    """A group as torch takes it."""
    own = {} if group.decays else {"weight_decay": 0.0}
    return {"params": list(group.weights), "lr": group.rate, "initial_lr": group.rate, **own}

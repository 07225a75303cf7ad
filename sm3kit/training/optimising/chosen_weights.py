"""Which weights a training leaves: those of the last step, their average, or those of the best look."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sm3kit.core.errors import VariantError
from sm3kit.core.stage_settings import Stage1Settings
from sm3kit.core.variant import Variant
from sm3kit.data.pool import Pool


class WeightAverage(nn.Module):
    """An exponential moving average of the weights of networks, and of their batch statistics.

    Over the first steps it forgets faster, or it would keep the initial weights: after step t its
    decay is at most (1 + t) / (10 + t), as in TensorFlow's ExponentialMovingAverage. It never waits
    for a GPU, as torch's AveragedModel does at every step to count them.

    Source: Polyak and Juditsky 1992; torch.optim.swa_utils computes it.

    Args:
        networks: what is averaged; the average begins as a copy.
        decay: share of the average that a step keeps.
    """

    def __init__(self, networks: nn.Module, decay: float) -> None:
        super().__init__()
        self.average = copy.deepcopy(networks).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, networks: nn.Module, step: int) -> None:
        """Moves the average towards the networks, after a step (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        own, others = _averaged(self.average), _averaged(networks)
        move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        move(list(own.values()), list(others.values()), None)
        kept = dict(networks.named_buffers())
        for name, buffer in self.average.named_buffers():
            if name not in own:
                buffer.copy_(kept[name])

    @contextmanager
    def shown_in(self, networks: nn.Module) -> Iterator[None]:
        """Puts the average into the networks for a while."""
        with unchanged(networks):
            self.put_into(networks)
            yield

    def put_into(self, networks: nn.Module) -> None:
        """Puts the average into the networks."""
        networks.load_state_dict(self.average.state_dict())


def _averaged(networks: nn.Module) -> dict[str, Tensor]:
    """Weights and running statistics by name; queues, centres and counts have no average."""
    tensors: dict[str, Tensor] = dict(networks.named_parameters())
    for name, layer in networks.named_modules():
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None:
            assert layer.running_var is not None
            tensors[f"{name}.running_mean"] = layer.running_mean
            tensors[f"{name}.running_var"] = layer.running_var
    return tensors


@contextmanager
def unchanged(networks: nn.Module) -> Iterator[None]:
    """Gives networks their weights and buffers back at the end of a block, bit for bit."""
    tensors = [*networks.parameters(), *networks.buffers()]
    before = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)


def no_look_yet() -> dict[str, Any]:
    """What early stopping remembers, before its first look."""
    return {"best": math.inf, "best_epoch": 0, "looks_since": 0, "best_state": {}}


def keep_if_best(memory: dict[str, Any], value: float, epoch: int, networks: nn.Module) -> None:
    """Keeps the weights of networks if a look is better than all before; NaN never is.

    Args:
        memory: see `no_look_yet`.
        value: a rank or a loss, lower is better.
        epoch: the number of the epoch, from 1.
        networks: as they were looked at.
    """
    if value < memory["best"]:
        state = {n: copy.deepcopy(v.detach()).cpu() for n, v in networks.state_dict().items()}
        memory |= {"best": value, "best_epoch": epoch, "looks_since": 0, "best_state": state}
    else:
        memory["looks_since"] += 1


def has_stopped(memory: Mapping[str, Any], settings: Stage1Settings) -> bool:
    """Whether a training has had as many looks without a better one as its patience allows."""
    return settings.stop_on != "none" and bool(memory["looks_since"] >= settings.patience)


def check_stop(variant: Variant, pool: Pool) -> None:
    """Refuses early stopping that cannot work, or settings of it that have no effect.

    Raises:
        VariantError: nothing is looked at, or stage 1 does not stop early.
    """
    settings, held_out = variant.stage1, pool.cases["val"]
    if settings.stop_on == "none":
        if settings.patience != Stage1Settings().patience:
            raise VariantError(
                f"-o stage1.patience={settings.patience} has no effect without early stopping. Add "
                "-o stage1.stop_on=rank, or leave it out."
            )
        return
    option = f"-o stage1.stop_on={settings.stop_on}"
    if not settings.monitor_every:
        raise VariantError(
            f"{option} looks at the validation split every stage1.monitor_every epochs, which is 0. "
            "Set it to 1 or more."
        )
    if "val" in variant.splits or len(held_out) < 2:
        why = "it is trained on" if "val" in variant.splits else f"it has {len(held_out)}"
        raise VariantError(
            f"{option} needs studies in the split val that are not trained on, and {why}. Leave it "
            "out, or give other data."
        )
    if settings.stop_on == "rank" and not any(len(case.images) > 1 for case in held_out):
        raise VariantError(
            f"{option} ranks pairs of images of a study, and no study of the split val has two "
            "modalities. Use -o stage1.stop_on=loss."
        )
    processes = variant.machine.devices * variant.machine.num_nodes
    if settings.stop_on == "loss" and processes > 1:
        raise VariantError(
            f"{option} works in one process, not in {processes}. Use -o stage1.stop_on=rank, or "
            "--devices 1."
        )

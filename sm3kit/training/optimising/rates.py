"""Learning rates: over the steps of a training, and of each weight."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import nn

from sm3kit.core.errors import VariantError
from sm3kit.core.stage_settings import Stage1Settings
from sm3kit.nn.named_modules import NamedModules
from sm3kit.training.optimising.optimisers import WeightGroup


def rate_share(schedule: str, step: int, steps: int, warmup: int = 0) -> float:
    """The share of the learning rate that a step takes.

    It follows from the number of the step alone, so a training that goes on needs no scheduler.

    Source: Goyal et al. 2017, arXiv:1706.02677, section 2.2, for the warm-up; Loshchilov and
    Hutter 2017, arXiv:1608.03983, equation 5, for the cosine, without restarts.

    Args:
        schedule: "constant" or "cosine", which brings the rate to zero at the last step.
        step: its number since the very beginning, from 0.
        steps: of the whole training.
        warmup: steps over which the rate grows linearly from zero; the last of them takes all of
            it, and the schedule begins with the next one.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    progress = min((step - warmup) / max(steps - warmup - 1, 1), 1.0)
    return (1 + math.cos(math.pi * progress)) / 2


def weight_groups(
    weights: Iterable[nn.Parameter], backbones: NamedModules, settings: Stage1Settings
) -> list[WeightGroup]:
    """What learns in stage 1, by learning rate and weight decay.

    Args:
        weights: all of stage 1; those that are frozen are left out.
        backbones: {modality: backbone}, whose weights have a rate of their own.
        settings: of stage 1.
    """
    rates = {id(weight): settings.lr for own in backbones.values() for weight in own.parameters()}
    for backbone in backbones.values():
        rates |= layer_rates(backbone, settings.lr, settings.layer_decay)
    alike: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for weight in weights:
        if weight.requires_grad:
            rate = rates.get(id(weight), settings.head_lr or settings.lr)
            # Norms and biases are the weights of one dimension.
            decays = settings.decay_norms or weight.ndim > 1
            alike.setdefault((rate, decays), []).append(weight)
    return [WeightGroup(rate, own, decays) for (rate, decays), own in alike.items()]


def layer_rates(backbone: nn.Module, rate: float, decay: float) -> dict[int, float]:
    """{id of a weight: its learning rate}; each layer learns at a share of the next one's.

    Source: Clark et al. 2020, ELECTRA, arXiv:2003.10555, appendix A; Bao et al. 2022, BEiT,
    arXiv:2106.08254, appendix H.

    Args:
        backbone: gives its layers; empty for one without an order of layers.
        rate: of its last layer.
        decay: the share, 1 for the same rate everywhere.
    """
    layers: list[list[nn.Parameter]] = backbone.weights_by_layer()  # type: ignore[operator]
    return {
        id(weight): rate * decay ** (len(layers) - 1 - number)
        for number, layer in enumerate(layers)
        for weight in layer
    }


def check_rates(settings: Stage1Settings, backbones: NamedModules) -> list[str]:
    """Refuses rates that cannot be.

    Returns:
        A sentence on each backbone that learns at one rate where others have a rate per layer.

    Raises:
        VariantError: the warm-up takes all epochs, or no backbone has layers.
    """
    if settings.warmup_epochs >= settings.epochs > 0:
        raise VariantError(
            f"--warmup-epochs {settings.warmup_epochs} leaves none of the {settings.epochs} epochs "
            "at the full learning rate. Lower it, or raise --epochs."
        )
    if settings.layer_decay == 1:
        return []
    whole = [name for name, own in backbones.items() if not layer_rates(own, 1.0, 0.5)]
    if len(whole) == len(backbones):
        raise VariantError(
            f"-o stage1.layer_decay={settings.layer_decay:g} has no effect: the backbone of "
            f"{', '.join(whole)} does not tell its layers. Leave it out."
        )
    return [f"The backbone of {name} does not tell its layers: all learn alike." for name in whole]

"""Which weights of stage 1 learn at which rate, and which of them decay."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from sm3kit.core.stage_settings import Stage1Settings
from sm3kit.nn.named_modules import NamedModules
from sm3kit.training.optimising.optimisers import WeightGroup


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

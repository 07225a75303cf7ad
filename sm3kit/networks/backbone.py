"""The backbone of a modality: built, and tried on a view before a training begins."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sm3kit.backbones.base import Backbone
from sm3kit.core.errors import (
    CheckpointError,
    ContractError,
    OptionError,
    SM3Error,
    VariantError,
)
from sm3kit.core.names import unknown
from sm3kit.core.options import bind, fields_of, options_of
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.modalities.base import Modality
from sm3kit.nn.finite import first_two, not_finite

DEFAULT_PROVIDER = str(fields_of(Variant)["backbone"].default).partition("/")[0]
# What users take; where a size does not fit, the next ones that do are named.
SIZES = (32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512)


def provider_and_model(variant: Variant, modality: str) -> tuple[str, str]:
    """Provider and model of the backbone of a modality; a bare model is the default provider's."""
    backbone = variant.of(modality, "backbone")
    provider, _, model = backbone.rpartition("/")
    known = registry("backbones").names()
    if provider and provider not in known:
        raise VariantError(
            f"--backbone {backbone}: {unknown('backbone provider', provider, known)}"
        )
    return provider or DEFAULT_PROVIDER, model


def build_backbone(variant: Variant, modality: str, channels: int, local_size: int = 0) -> Backbone:
    """The backbone of one modality; weights and sizes go to a provider that has options for them.

    Args:
        variant: names and options.
        modality: its name.
        channels: of its views.
        local_size: of its local views; 0 where it has none.

    Raises:
        VariantError: weights are given for a modality whose backbone takes none.
        OptionError: the size of its views is given as an option of the provider.
        CheckpointError: the weights that it starts from are not finite.
    """
    provider, model = provider_and_model(variant, modality)
    component = registry("backbones").get(provider)
    options = bind(component, f"backbone {provider!r}", variant.options.get(provider, {}))
    known = options_of(component)
    sizes = {"image_size": int(variant.of(modality, "image_size")), "local_size": local_size}
    for option in sizes.keys() & options.keys():
        instead = "--image-size" if option == "image_size" else f"-o {modality}.local_size"
        raise OptionError(
            f"Option -o {provider}.{option}: a backbone gets the size of the views that it is "
            f"shown. Give {instead} instead."
        )
    options |= {option: size for option, size in sizes.items() if option in known}
    if "weights" in known:
        options = {"weights": variant.of(modality, "weights"), **options}
    elif "weights" in variant.per_modality.get(modality, {}):
        raise VariantError(
            f"--weights {modality}=…: the backbone {variant.of(modality, 'backbone')} takes no "
            "weights. Leave them out."
        )
    backbone: Backbone = component(model, channels, **options)
    bad = not_finite(backbone.state_dict())
    if bad:
        weights = options.get("weights", "none")
        raise CheckpointError(
            f"The backbone of {modality} needs finite weights to start from, and --weights "
            f"{weights} gives NaN or infinity in {first_two(bad)}. Give another file, or none."
        )
    return backbone


def tried_backbone(
    variant: Variant, name: str, modality: Modality, *, local_views: bool = True
) -> Backbone:
    """The backbone of one modality, which has taken a view of its shape, and a local one.

    Args:
        variant: names and options.
        name: of the modality.
        modality: for channels and sizes.
        local_views: whether it will see the local views, if there are any.

    Raises:
        VariantError: it does not take such views; sizes that fit are named.
        ContractError: it gives features of another shape than it says.
        SM3Error: as `build_backbone`.
    """
    try:
        local = modality.local_size if modality.local_views and local_views else 0
        backbone = build_backbone(variant, name, modality.channels, local)
        try_view(backbone, modality.shape)
    except Exception as error:  # Each network stumbles over a wrong size in its own way.
        if isinstance(error, SM3Error) and not isinstance(error, CheckpointError):
            raise
        raise _explain(error, variant, name, modality) from error
    if local:
        _try_local_view(backbone, variant.of(name, "backbone"), name, modality)
    return backbone


def _try_local_view(backbone: Backbone, word: str, name: str, modality: Modality) -> None:
    local, size = modality.local_size, modality.shape[-1]
    try:
        try_view(backbone, (modality.channels, local, local))
    except Exception as error:  # Each network stumbles over a wrong size in its own way.
        raise VariantError(
            f"The backbone {word} takes views of {name} of {size} pixels, and not local ones of {local} "
            f"beside them. Give another -o {name}.local_size (vision transformers take multiples of "
            f"their patch), -o {name}.local_views=0, or another --backbone."
        ) from error


def try_view(backbone: Backbone, shape: Sequence[int]) -> None:
    """Shows a backbone one blank view (C, H, W); it changes nothing, nor are numbers drawn.

    Raises:
        ContractError: it gives no features (1, width). What it raises itself goes through.
    """
    training = backbone.training
    backbone.eval()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            shape_made = tuple(backbone(torch.zeros(1, *shape)).shape)
    finally:
        backbone.train(training)
    if shape_made != (1, backbone.width):
        raise ContractError(
            f"{type(backbone).__name__} makes features of the shape {shape_made} from one view, "
            f"and says that they are {backbone.width} wide. Fix the plugin, or use another "
            "backbone."
        )


def _explain(error: Exception, variant: Variant, name: str, modality: Modality) -> Exception:
    """The error for a user: of the size, where another one helps."""
    bare = variant.without_weights()
    _, height, width = modality.shape
    if isinstance(error, CheckpointError) and _takes(bare, name, modality.channels, height):
        return error  # The weights are to blame.
    word = variant.of(name, "backbone")
    head = f"The backbone {word} does not accept the views of {name}, {height} x {width} pixels"
    fitting = _fitting_sizes(bare, name, modality.channels, height) if height == width else []
    if fitting:
        sizes = ", ".join(map(str, fitting))
        return VariantError(
            f"{head}. It takes {sizes}, for example: give --image-size {name}={fitting[-1]}, or "
            "another --backbone."
        )
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    plain = VariantError(f"{head}: {reason}. Use another --backbone.")
    return error if isinstance(error, CheckpointError) else plain


def _fitting_sizes(variant: Variant, name: str, channels: int, size: int) -> list[int]:
    """The next smaller size that a backbone takes, the next larger one, and its own."""
    provider, model = provider_and_model(variant, name)
    own = registry("backbones").get(provider).own_size(model)
    rows = (reversed([s for s in SIZES if s < size]), [s for s in SIZES if s > size], [own or size])
    sizes = (next((s for s in row if _takes(variant, name, channels, s)), 0) for row in rows)
    return sorted({size for size in sizes if size})


def _takes(variant: Variant, name: str, channels: int, size: int) -> bool:
    """Whether a backbone takes square views of a size."""
    try:
        changed = variant.changed({"per_modality": {name: {"image_size": size}}}, "sizes")
        try_view(build_backbone(changed, name, channels), (channels, size, size))
    except Exception:  # Whatever it is, it does not.
        return False
    return True

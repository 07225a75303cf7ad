"""What data and networks suggest for a run where the user says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sm3kit.core.options import options_of
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.data.pool import Pool
from sm3kit.data.viewing import spec_of, viewed
from sm3kit.modalities.base import Modality
from sm3kit.networks.assemble import resolved
from sm3kit.networks.backbone import provider_and_model


def with_suggestions(variant: Variant, pool: Pool) -> tuple[Variant, Pool, list[str]]:
    """The variant with all that is suggested in its settings and options, and its pool.

    Modalities suggest a backbone and the options that were fitted to their data; weights suggest
    how pixels are normalised.

    Returns:
        Variant, pool, and a sentence on each change that a user should know of.
    """
    variant = _of_modalities(variant, pool.modalities)
    options = _of_weights(variant, pool)
    if not options:
        return variant, pool, []
    variant = variant.changed({"options": options}, "weights")
    note = f"Pixels of {', '.join(options)} are normalised as their weights were trained."
    return variant, viewed(pool, variant, {}), [note]


def _of_modalities(variant: Variant, modalities: Mapping[str, Modality]) -> Variant:
    """The variant with what its data said: backbones of modalities, options fitted to them."""
    own = {
        name: {"backbone": one.backbone, **variant.per_modality.get(name, {})}
        for name, one in modalities.items()
        if one.backbone
    }
    fitted = {name: dict(one.fitted) for name, one in modalities.items() if one.fitted}
    changes = {"per_modality": own, "options": fitted}
    return resolved(variant.changed(changes, "modalities")) if own or fitted else variant


def _of_weights(variant: Variant, pool: Pool) -> dict[str, dict[str, Any]]:
    """`mean` and `std` of each modality that nobody normalises, as its weights want them."""
    own: dict[str, dict[str, Any]] = {}
    for name, modality in pool.modalities.items():
        spec = spec_of(pool, name)
        known = options_of(registry("modalities").get(spec.plugin))
        said = {**spec.options, **variant.options.get(spec.plugin, {})}
        said |= variant.options.get(name, {})
        if not {"mean", "std"} <= known.keys() or {"mean", "std"} & said.keys():
            continue
        provider, model = provider_and_model(variant, name)
        component = registry("backbones").get(provider)
        chosen = {"weights": variant.of(name, "weights"), **variant.options.get(provider, {})}
        wanted = component.normalisation(model, str(chosen["weights"]))
        if wanted is not None:
            mean, std = (_for_channels(values, modality.channels) for values in wanted)
            own[name] = {"mean": list(mean), "std": list(std)}  # As the record keeps them.
    return own


def _for_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One value per channel; their mean, where there are more or fewer channels than values."""
    return values if len(values) == channels else (sum(values) / len(values),) * channels

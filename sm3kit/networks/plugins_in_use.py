"""Which plugins a variant uses."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext, suppress

from sm3kit.core.errors import BrokenPlugin
from sm3kit.core.kinds import KINDS
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.networks.backbone import provider_and_model

# Which of these are in use beside those that a variant names is known when the data are opened.
OPEN_LATER = ("modalities", "backbones")


def plugins_in_use(variant: Variant) -> list[tuple[str, str]]:
    """(family, name) of every plugin that the stages of a variant use, and of its data sets.

    Raises:
        SM3Error: there is no such fusion, objective or provider of backbones.
    """
    modalities = ["", *variant.per_modality]
    providers = dict.fromkeys(provider_and_model(variant, name)[0] for name in modalities)
    used = [("fusions", variant.fusion), *(("backbones", name) for name in providers)]
    used += [("objectives", name) for name in (*variant.objective, *implied_objectives(variant))]
    used += [("samplers", variant.sampler)]
    if variant.stage != "mmssl":
        used += [("relations", variant.relation)]
    if variant.stage != "mmssl" or variant.samples_clusters:
        used += [("clusterers", variant.clusterer)]
    return used + [("datasets", spec.partition(":")[0]) for spec in variant.data]


def implied_objectives(variant: Variant) -> list[str]:
    """What learns from the streams of the fusion, where no objective was named for them."""
    default = registry("fusions").get(variant.fusion).default_objective
    named = [registry("objectives").get(name).on for name in variant.objective]
    return [default] if default and "streams" not in named else []


def rotating_objective(variant: Variant) -> str:
    """The objective that asks for rotated views of all images; empty if none does."""
    objectives = {name: registry("objectives").get(name) for name in variant.objective}
    return next((name for name, plugin in objectives.items() if plugin.wants_rotations), "")


def takers_of_local_views(objectives: Iterable[str] | None = None) -> list[str]:
    """The objectives that take local views.

    Args:
        objectives: by name; None is all that work.
    """
    names = []
    for name in registry("objectives").names() if objectives is None else objectives:
        with suppress(BrokenPlugin) if objectives is None else nullcontext():
            plugin = registry("objectives").load(name)
            names += [name] if plugin.wants_local and not plugin.wants_rotations else []
    return names


def other_sampler(variant: Variant) -> str:
    """Which sampler draws the batches, behind a comma; nothing for the default one."""
    return f", sampler {variant.sampler}" if variant.sampler != Variant.sampler else ""


def unused_plugins(variant: Variant) -> set[str]:
    """The names of plugins whose options change nothing in a variant, whatever its data are."""
    used = {name for _, name in plugins_in_use(variant)}
    used |= {name for family in OPEN_LATER for name in registry(family).names()}
    return plugin_names() - used


def plugin_names() -> set[str]:
    """The names of all plugins."""
    return {name for family in KINDS for name in registry(family).names()}

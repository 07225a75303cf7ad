"""Views of another kind than those of stage 1, for stage 2 and for evaluation."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from sm3kit import __version__
from sm3kit.core.errors import BrokenPlugin, OptionError
from sm3kit.core.names import unknown
from sm3kit.core.options import options_of
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.data.pool import Pool, build_modality
from sm3kit.datasets.base import ModalitySpec


def change_views(pool: Pool, variant: Variant, changes: Mapping[str, Any]) -> Pool:
    """The pool with other views; images are read, and kept, as before.

    Args:
        pool: studies and modalities.
        variant: image size and options.
        changes: options of the modality plugins; a plugin without such an option leaves it out.

    Raises:
        OptionError: no modality of the data has such an option.
    """
    _check(pool, changes)
    modalities = {}
    for name in pool.modalities:
        spec = spec_of(pool, name)
        modalities[name] = build_modality(
            name, spec, variant.of(name, "image_size"), _laid_over(variant, name, spec, changes)
        )
    return dataclasses.replace(pool, modalities=modalities)


def _check(pool: Pool, changes: Mapping[str, Any]) -> None:
    known = _options({spec_of(pool, name).plugin for name in pool.modalities})
    for option in changes:
        # What another kind of image has, and none of these, is no mistake.
        if option not in known and option not in _options(registry("modalities").names()):
            raise OptionError(f"Views: {unknown('option', option, sorted(known))}")


def _options(plugins: Iterable[str]) -> set[str]:
    """All options of some modalities; a broken plugin has none."""
    names: set[str] = set()
    for plugin in plugins:
        with suppress(BrokenPlugin):
            names |= set(options_of(registry("modalities").get(plugin)))
    return names


def describe_views(pool: Pool, variant: Variant, name: str, changes: Mapping[str, Any]) -> str:
    """Everything that the views of a modality depend on beside the image and the seed, as text."""
    spec = spec_of(pool, name)
    options = _laid_over(variant, name, spec, changes)
    chosen = {**spec.options, **options.get(spec.plugin, {}), **options[name]}
    component = registry("modalities").get(spec.plugin)
    size = variant.of(name, "image_size")
    facts = [__version__, component.__module__, component.__qualname__, size, chosen]
    frames = [table.get(name) for table in pool.frames]
    facts += [frames] if any(frames) else []
    return json.dumps(facts, sort_keys=True, default=str)


def _laid_over(
    variant: Variant, name: str, spec: ModalitySpec, changes: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    known = options_of(registry("modalities").get(spec.plugin))
    fitting = {option: value for option, value in changes.items() if option in known}
    options = {owner: dict(values) for owner, values in variant.options.items()}
    options[name] = {**options.get(name, {}), **fitting}
    return options


def spec_of(pool: Pool, name: str) -> ModalitySpec:
    """What the first data set with a modality says of it."""
    return next(
        source.dataset.modalities[own]
        for source in pool.sources
        for own, common in source.names.items()
        if common == name
    )

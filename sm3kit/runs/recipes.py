"""Recipes are variants kept as YAML; here they become one resolved variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from sm3kit.core.errors import VariantError
from sm3kit.core.names import shown
from sm3kit.core.variant import Variant
from sm3kit.runs import named_yaml

BUILT_IN = resources.files("sm3kit") / "recipes"


def names() -> list[str]:
    """The built-in recipes, sorted."""
    return named_yaml.built_in(BUILT_IN)


def headline(name: str) -> str:
    """The first line of a built-in recipe: table, row, published number."""
    text = (BUILT_IN / f"{name}.yaml").read_text(encoding="utf-8")
    return text.partition("\n")[0].lstrip("# ")


def load(name: str) -> dict[str, Any]:
    """The settings of a built-in recipe or a YAML file.

    Raises:
        VariantError: no such recipe or file, or no table of settings in it.
    """
    settings = named_yaml.read("recipe", name, BUILT_IN)
    if not isinstance(settings, dict):
        raise VariantError(f"Recipe {name!r} wants a table of settings, such as 'fusion: concat'.")
    base = settings.get("base", "")
    if not isinstance(base, str):
        raise VariantError(f"Recipe {name!r}: base wants the name of a recipe, not {shown(base)}.")
    return settings


def resolve(recipes: Sequence[str], flags: Mapping[str, Any]) -> tuple[Variant, str]:
    """The variant of recipes and flags, and a sentence on which base was taken and why.

    Flags beat recipes, later recipes beat earlier ones, recipes beat the base. The base is the
    recipe that a recipe names with `base:`; else `quick` if all data are built-in, else `sm3`.

    Args:
        recipes: names or files, in order.
        flags: settings from the command line.

    Raises:
        VariantError: an unknown recipe or setting.
        OptionError: a value of another type.
    """
    loaded = [(name, load(name)) for name in recipes]
    data = flags.get("data") or next((s["data"] for _, s in reversed(loaded) if "data" in s), None)
    bases = [settings.pop("base") for _, settings in loaded if "base" in settings]
    complete = [name for name, settings in loaded if settings.pop("complete", False)]
    if complete or bases:
        base = bases[-1] if bases else ""
        said = f"recipe {', '.join(recipes)}"
    else:
        data = list(data) if isinstance(data, list | tuple) else [data or "synthetic"]
        built_in = all(str(spec).partition(":")[0] == "synthetic" for spec in data)
        base = "quick" if built_in else "sm3"
        why = (
            "the built-in studies are small"
            if built_in
            else "the released settings on one device are the default for own data"
        )
        said = f"recipe {base}, because {why}"
        if recipes:
            said = f"recipe {', '.join(recipes)} on {base}, because {why}"
    chain = ([(base, load(base))] if base else []) + loaded
    variant = Variant()
    for name, settings in chain:
        settings.pop("complete", None)
        settings.pop("base", None)
        variant = variant.changed(settings, f"recipe {name!r}")
    flags = {**flags, "recipe": [name for name, _ in chain]}
    changed = variant.changed(flags, "command line")
    settled = changed.with_fitting_fusion(flags) if "modality" in flags else changed
    if settled.fusion != changed.fusion:
        said += f"; one modality, so fusion {settled.fusion}"
    return settled, said

"""Recipes are variants kept as YAML; here they become one resolved variant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

from sm3kit.core.errors import VariantError
from sm3kit.core.names import quote
from sm3kit.core.variant import Variant
from sm3kit.runs import plain_yaml

BUILT_IN = resources.files("sm3kit") / "recipes"
# What a recipe says of itself, and what is looked up before settings are laid over each other.
NOT_LAID = ("base", "complete", "recipe")
BUILT_IN_DATA = "synthetic"
DEFAULT_BASES = ("quick", "sm3")  # For the built-in studies, and for all other data.
# Flags of a command whose names are not those of their settings.
FLAGS = {
    **{name: f"stage1.{name}" for name in ("epochs", "batch_size", "lr", "precision")},
    "mlssl_epochs": "stage2.epochs",
    "feature_views": "stage2.feature_views",
    **{name: f"machine.{name}" for name in ("devices", "num_nodes", "workers")},
}


class Layer(NamedTuple):
    """Settings that lie over those of the layers before.

    Attributes:
        settings: in the form of a recipe; those of the recipes that `recipe` names lie below.
        source: where they come from, for messages.
    """

    settings: Mapping[str, Any]
    source: str = "command line"

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipes that the layer names, in order."""
        names: str | Sequence[str] = self.settings.get("recipe") or ()
        return (names,) if isinstance(names, str) else tuple(map(str, names))


def names() -> list[str]:
    """The built-in recipes, sorted."""
    return plain_yaml.built_in(BUILT_IN)


def headline(name: str) -> str:
    """The first line of a built-in recipe: table, row, published number."""
    text = (BUILT_IN / f"{name}.yaml").read_text(encoding="utf-8")
    return text.partition("\n")[0].lstrip("# ")


def load(name: str) -> dict[str, Any]:
    """The settings of a built-in recipe or a YAML file.

    Raises:
        VariantError: no such recipe or file, or no table of settings in it.
    """
    settings = plain_yaml.read_named("recipe", name, BUILT_IN)
    if not isinstance(settings, dict):
        raise VariantError(f"Recipe {name!r} wants a table of settings, such as 'fusion: concat'.")
    base = settings.get("base", "")
    if not isinstance(base, str):
        raise VariantError(f"Recipe {name!r}: base wants the name of a recipe, not {quote(base)}.")
    return settings


def resolve(*layers: Layer) -> tuple[Variant, str]:
    """The variant of layers of settings, and a sentence on which base was taken and why.

    A later layer beats an earlier one, the settings of a layer beat its recipes, a later recipe
    of it beats an earlier one, and all beat the base. The base is the recipe that a recipe names
    with `base:`, and none if a recipe is complete; else `quick` if all data are built-in, else
    `sm3`. A variant that names one modality has no fusion, unless a layer itself asks for one.

    Raises:
        VariantError: an unknown recipe or setting.
        OptionError: a value of another type.
    """
    named = [name for layer in layers for name in layer.recipes]
    loaded = {name: Layer(load(name), f"recipe {name!r}") for name in named}
    stack = [
        part for layer in layers for part in (*(loaded[name] for name in layer.recipes), layer)
    ]
    base, why = _base([loaded[name].settings for name in named], stack)
    said = ", ".join(named) or base
    if why:
        said += f" on {base}, because {why}" if named else f", because {why}"
    if base:
        stack.insert(0, Layer(load(base), f"recipe {base!r}"))
    chain = Layer({"recipe": [base, *named] if base else named})
    variant = laid_over(Variant(), stack).changed(chain.settings, chain.source)
    settled = variant.with_fitting_fusion({name for layer in layers for name in layer.settings})
    if settled.fusion != variant.fusion:
        said += f"; one modality, so fusion {settled.fusion}"
    return settled, f"recipe {said}"


def laid_over(variant: Variant, layers: Iterable[Layer]) -> Variant:
    """A variant with the settings of layers laid over it in order, without their recipes."""
    for settings, source in layers:
        own = {name: value for name, value in settings.items() if name not in NOT_LAID}
        variant = variant.changed(own, source)
    return variant


def _base(recipes: Sequence[Mapping[str, Any]], stack: Sequence[Layer]) -> tuple[str, str]:
    """The recipe that lies under all others, or nothing, and why if nobody asked for it."""
    bases = [settings["base"] for settings in recipes if "base" in settings]
    if bases:
        return bases[-1], ""
    if any(settings.get("complete") for settings in recipes):
        return "", ""
    data = next(
        (layer.settings["data"] for layer in reversed(stack) if layer.settings.get("data")), ""
    )
    specs = data if isinstance(data, list | tuple) else [data or BUILT_IN_DATA]
    if all(str(spec).partition(":")[0] == BUILT_IN_DATA for spec in specs):
        return DEFAULT_BASES[0], "the built-in studies are small"
    why = "the released settings on one device are the default for own data"
    return DEFAULT_BASES[1], why

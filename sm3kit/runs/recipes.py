"""Recipes are variants kept as YAML; here they become one resolved variant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

from sm3kit.core.errors import VariantError
from sm3kit.core.names import quote
from sm3kit.core.options import convert, fields_of
from sm3kit.core.text import in_units
from sm3kit.core.variant import Variant
from sm3kit.runs import plain_yaml

BUILT_IN = resources.files("sm3kit") / "recipes"
OF_A_RECIPE = ("base", "complete")  # What a recipe says of itself.
BUILT_IN_DATA = "synthetic"
# What `sm3` takes for two modalities of colour images, on a GPU that computes in 16 bits.
SM3_MEMORY = 20 * 1024**3
# Flags of a command whose names are not those of their settings.
FLAGS = {
    **{
        name: f"stage1.{name}"
        for name in (
            *("epochs", "batch_size", "micro_batch", "lr", "schedule", "warmup_epochs"),
            "precision",
        )
    },
    "mlssl_epochs": "stage2.epochs",
    "feature_views": "stage2.feature_views",
    "weak": "stage2.weak",
    **{
        name: f"machine.{name}"
        for name in ("compile", "devices", "num_nodes", "workers", "max_time", "views_on")
    },
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
        names = self.settings.get("recipe") or ()
        return (names,) if isinstance(names, str) else _converted("recipe", names, self.source)


class Base(NamedTuple):
    """The recipe that lies under the settings of a user who names none.

    Attributes:
        name: of the recipe.
        why: the reason, in a clause.
        remedy: how to take another one, in a clause.
    """

    name: str
    why: str
    remedy: str = ""


OF_BUILT_IN_DATA = Base("quick", "the built-in studies are small")
RELEASED = Base("sm3", "the released settings on one device are the default for your own data")
DEFAULT_BASES = (OF_BUILT_IN_DATA.name, "small", RELEASED.name)


def base_for(gpu: str, memory: int) -> Base:
    """The base for own data on a machine: the released settings need a large GPU.

    Args:
        gpu: name of the GPU; empty without one that torch computes on.
        memory: of the GPU, in bytes.
    """
    if gpu and memory >= SM3_MEMORY:
        return RELEASED
    has = f"the {gpu} has {in_units(memory)} of memory" if gpu else "this machine has no CUDA GPU"
    return Base(
        "small",
        f"{has} and sm3 needs one with about {in_units(SM3_MEMORY)}",
        "--recipe sm3 selects the released settings anyway",
    )


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
        raise VariantError(
            f"Recipe {name!r} must be a table of settings, such as 'fusion: concat'."
        )
    base = settings.get("base", "")
    if not isinstance(base, str):
        raise VariantError(
            f"Recipe {name!r}: base must be the name of a recipe, not {quote(base)}."
        )
    return settings


def resolve(*layers: Layer, own_data: Base = RELEASED) -> tuple[Variant, str]:
    """The variant of layers of settings, and a sentence on which base was taken and why.

    A later layer beats an earlier one, the settings of a layer beat its recipes, a later recipe
    of it beats an earlier one, and all beat the base. The base is the recipe that a recipe names
    with `base:`, and none if a recipe is complete; else `quick` if all data are built-in, else
    `own_data`. A variant that names one modality has no fusion, unless the layer or recipe that
    names it, or a later one, asks for one.

    Args:
        layers: of settings.
        own_data: the base for data that are not built in, as `base_for` chooses it.

    Raises:
        VariantError: an unknown recipe or setting.
        OptionError: a value of another type.
    """
    named = [name for layer in layers for name in layer.recipes]
    loaded = {name: load(name) for name in named}
    stack = [
        part
        for layer in layers
        for part in (*(_layer(name, loaded[name]) for name in layer.recipes), layer)
    ]
    base, why, remedy = _base([loaded[name] for name in named], stack, own_data)
    said = ", ".join(named) or base
    if why:
        said += f" on {base}, because {why}" if named else f", because {why}"
        said += f"; {remedy}" if remedy else ""
    if base:
        stack.insert(0, _layer(base, load(base)))
    chain = Layer({"recipe": [base, *named] if base else named})
    variant = laid_over(Variant(), stack).changed(chain.settings, chain.source)
    places = [place for place, part in enumerate(stack) if part.settings.get("modality")]
    asked = {name for part in stack[places[-1] if places else 0 :] for name in part.settings}
    settled = variant.with_fitting_fusion(asked)
    if settled.fusion != variant.fusion:
        said += f"; one modality, so fusion {settled.fusion}"
    return settled, f"recipe {said}"


def laid_over(variant: Variant, layers: Iterable[Layer]) -> Variant:
    """A variant with the settings of layers laid over it in order, without their recipes."""
    for settings, source in layers:
        own = {name: value for name, value in settings.items() if name != "recipe"}
        variant = variant.changed(own, source)
    return variant


def _layer(name: str, recipe: Mapping[str, Any]) -> Layer:
    own = {key: value for key, value in recipe.items() if key not in OF_A_RECIPE}
    return Layer(own, f"recipe {name!r}")


def _converted(name: str, value: Any, source: str) -> tuple[str, ...]:
    """The names that a setting lists, as text or as a list."""
    names: tuple[str, ...] = convert(fields_of(Variant)[name], value, source)
    return names


def _base(recipes: Sequence[Mapping[str, Any]], stack: Sequence[Layer], own_data: Base) -> Base:
    """The recipe that lies under all others, or nothing, and why if nobody asked for it."""
    bases = [settings["base"] for settings in recipes if "base" in settings]
    if bases:
        return Base(bases[-1], "")
    if any(settings.get("complete") for settings in recipes):
        return Base("", "")
    named = [layer for layer in stack if layer.settings.get("data")]
    data = _converted("data", named[-1].settings["data"], named[-1].source) if named else ()
    built_in = all(spec.partition(":")[0] == BUILT_IN_DATA for spec in data)
    return OF_BUILT_IN_DATA if built_in else own_data

"""The options of a row, as the command line takes them, and what recipes have for them."""

import contextlib
import functools
from typing import Annotated, Literal, get_args, get_origin

import click
from click.core import ParameterSource
from differences_page import EVALUATION, ROWS, commands

from sm3kit.cli.evaluate import evaluate
from sm3kit.cli.main import cli
from sm3kit.cli.pretrain import pretrain
from sm3kit.cli.settings import parsed_options, parsed_settings
from sm3kit.core.errors import OptionError, SM3Error
from sm3kit.core.kinds import KINDS
from sm3kit.core.options import bind, convert, fields_of, options_of
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant, table_at
from sm3kit.evaluation.settings import Settings, settings_of
from sm3kit.runs import recipes

OWN = ("derm7pt:release_v0",)  # Data for which `sm3` is the default; nothing is read from it.


def component(name):
    """The plugin of a name."""
    families = [one for one in KINDS if name in registry(one).names()]
    assert families, f"no plugin {name}"
    return registry(families[0]).get(name)


@functools.cache
def resolved(*names):
    """The variant of recipes, over the default for own data where none is complete."""
    return recipes.resolve(recipes.Layer({"recipe": names, "data": OWN}))[0]


def recipe(*names, **flags):
    """The variant of recipes and settings from the command line."""
    return resolved(*names).changed(flags, "command line")


def as_typed(section, words):
    """{(owner, option): value} of words on the command line, converted as the command does it.

    The owner is "variant", and the option an address in it, or "evaluate" or a plugin.
    """
    command, name = pretrain, "pretrain"
    if section == EVALUATION:
        command, name, words = evaluate, "evaluate", ["RUN", *words]
    main = cli.context_class(cli, **cli.context_settings)
    context = command.make_context(name, list(words), parent=main)
    given = {
        one: value
        for one, value in context.params.items()
        if context.get_parameter_source(one) is ParameterSource.COMMANDLINE and one != "runs"
    }
    options = given.pop("options", ())
    if name == "evaluate":
        plugins = parsed_options(options)
        given |= plugins.pop("evaluate", {})
        changed = Settings().changed(given, "command line")
        found = {("evaluate", one): getattr(changed, one) for one in given}
    else:
        asked = [(recipes.FLAGS.get(one, one), value) for one, value in given.items()]
        asked += parsed_settings(options)
        layers = [recipes.Layer(table_at(address, value)) for address, value in asked]
        variant = recipes.laid_over(Variant(), layers)
        plugins = variant.options
        own = [address for address, _ in asked if address.partition(".")[0] in fields_of(Variant)]
        found = {("variant", address): variant.at(address) for address in own}
    for plugin, options in plugins.items():
        bound = bind(component(plugin), plugin, options)
        found |= {(plugin, one): value for one, value in bound.items()}
    return found


# (protocol, after stage 2) of the evaluations that a row is about; all of them, where it is not here.
ABOUT = {
    "Epochs of the probe after stage 2": [("probe", True)],
    "Views of a probe": [("probe", False), ("probe", True)],
    "Fine-tuning after stage 2": [("finetune", True)],
    "AdamW's eps in that fine-tuning": [("finetune", False)],
    "Precision of a probe after stage 1": [("probe", False)],
    "Precision after stage 2, and of fine-tuning": [
        ("probe", True),
        ("finetune", False),
        ("finetune", True),
    ],
}
EVERY = [(protocol, after) for protocol in ("probe", "finetune") for after in (False, True)]
# Rows of the paper that a row is about, where it is not about all.
OF_ROWS = {"Learning rate of new layers in the rows BYOL and SwAV": ("byol", "swav")}


def values(setting, base, what):
    """The values that a setting has in a recipe, in all that a row is about.

    Args:
        base: the recipe, or "" for the default.
        what: the first cell of the row.
    """
    owner, option = setting
    found = []
    for own in OF_ROWS.get(what, ("",)):
        variant = recipe(*(name for name in (base, own) if name))
        if owner == "variant":
            found.append(variant.at(option))
        elif owner == "evaluate":
            for protocol, after in ABOUT.get(what, EVERY):
                settings = settings_of(variant, protocol, {}, relation=after)
                found.append(getattr(settings, option))
        else:
            default = options_of(component(owner))[option].default
            bound = bind(component(owner), owner, variant.options.get(owner, {}))
            found.append(bound.get(option, default))
    return found


WITH_OPTIONS = [key for key, cells in ROWS.items() if commands(" ".join(cells.values()))]


def number_of(text, setting):
    """A cell as a value of the setting; None if it is a description."""
    owner, option = setting
    if owner == "variant":
        part, dot, name = option.rpartition(".")
        known = fields_of(fields_of(Variant)[part].type if dot else Variant)
        option = name
    elif owner == "evaluate":
        known = fields_of(Settings)
    else:
        known = options_of(component(owner))
    kind = known[option].type
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if bare not in (int, float) and get_origin(bare) is not Literal:
        return None
    try:
        return convert(known[option], text, "cell")
    except OptionError:
        return None


def cells_with_values():
    """(row, column, recipe, setting) where a cell is a number or a word that the setting may have."""
    found = []
    for key in WITH_OPTIONS:
        for words in commands(ROWS[key].get("how to change it", "")):
            # What is wrong with the words themselves is told by the test of all options.
            with contextlib.suppress(click.ClickException, SM3Error, AssertionError):
                for setting in as_typed(key[0], words):
                    for column, base in COLUMNS.items():
                        if number_of(ROWS[key][column], setting) is not None:
                            found.append((key, column, base, setting))
    return found


COLUMNS = {"paper": "paper", "released code": "release", "default": "sm3"}
IN_CELLS = cells_with_values()

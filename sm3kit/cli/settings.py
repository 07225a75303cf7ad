"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import cloup

from sm3kit.cli.completion import data_specs, plugin_option, runs, setting_addresses
from sm3kit.cli.help.option import option
from sm3kit.core.errors import OptionError, one_line
from sm3kit.core.kinds import KINDS
from sm3kit.core.names import suggestion
from sm3kit.core.registry import registry
from sm3kit.core.settings import addresses
from sm3kit.core.text import fold_lines
from sm3kit.core.variant import Variant
from sm3kit.evaluation.settings import SELECTIONS

if TYPE_CHECKING:
    from rich.console import Console

    from sm3kit.python.surroundings import Surroundings

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # Generic for type checkers only, before click 8.2.

# A modality may have dots in its name, and an option has none.
OPTION = re.compile(r"(.+?)\.([^.=]+)=(.*)", re.DOTALL)
SPECS = (
    "synthetic, derm7pt:DIR, milk10k:DIR, midas:DIR, isic:DIR, manifest:FILE.csv, "
    "shards:PATTERN, or a plugin's NAME:ARGUMENT"
)
F = TypeVar("F", bound=Callable[..., Any])


def data_option(command: F) -> F:
    """--data SPEC, which may be given several times."""
    return option(
        "--data",
        multiple=True,
        metavar="SPEC",
        shell_complete=data_specs,
        default_text=", ".join(Variant().data),
        help=f"Data set: {SPECS}. Repeat to pool several.",
    )(command)


def other_data_option(owner: str = "run") -> Callable[[F], F]:
    """--data SPEC, where a run or a grid has data of its own."""
    return option(
        "--data",
        multiple=True,
        metavar="SPEC",
        shell_complete=data_specs,
        default_text=f"the data of the {owner}",
        help=f"Another data set: {SPECS}. Repeat to pool several.",
    )


def map_option(command: F) -> F:
    """--map NAME=NAME, which renames a modality of the data."""
    return option(
        "--map",
        "rename",
        multiple=True,
        metavar="NAME=DATA",
        help="Rename a modality: NAME here, DATA in the data set. Modalities with the same name are "
        "merged when data sets are pooled.",
    )(command)


def run_argument(command: F) -> F:
    """RUN, the folder of a run."""
    decorate = cloup.argument(
        "run", type=click.Path(path_type=Path), shell_complete=runs, help="Folder of the run."
    )
    return decorate(command)


def assignments(help: str, metavar: str = "NAME.OPTION=VALUE", **more: Any) -> Callable[[F], F]:
    """-o METAVAR, which may be given several times."""
    return option("-o", "options", multiple=True, metavar=metavar, help=help, **more)


plugin_options = assignments(
    "Set an option of a plugin or of a modality. `sm3kit plugins show NAME` lists them.",
    "PLUGIN.OPTION=VALUE",
    shell_complete=plugin_option,
)
data_options = assignments(
    "Set an option of a data set or modality, such as manifest.modalities=ct,mri."
)
setting_options = assignments(
    "Set an option of a plugin or modality (simclr.temperature=0.2; `sm3kit plugins show NAME` "
    "lists them), or any setting of a recipe (stage1.weight_decay=0.01).",
    shell_complete=setting_addresses,
)


def plugin_file_option(command: F) -> F:
    """--plugin FILE.py, which may be given several times."""
    return option(
        "--plugin",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE.py",
        expose_value=False,
        callback=_name_plugin_files,
        help="Also load the plugins in this file: classes with @register from sm3kit.api.",
    )(command)


def _name_plugin_files(ctx: click.Context, option: click.Parameter, files: Sequence[Path]) -> None:
    """Names the files to this process and its children, until the command ends."""
    from sm3kit.core.registry import with_plugin_files

    if files and not ctx.resilient_parsing:
        ctx.with_resource(with_plugin_files(files))


def json_option(command: F) -> F:
    """--json, which puts everything for people on stderr."""
    text = "Print one JSON document to stdout; all else goes to stderr."
    return option("--json", "as_json", is_flag=True, help=text)(command)


def output_options(command: F) -> F:
    """--quiet, and --json."""
    text = "Print only warnings and the last line."
    quiet = option("-q", "--quiet", is_flag=True, help=text)
    return quiet(json_option(command))


def no_cache_option(command: F) -> F:
    """--no-cache, for commands that keep images and features."""
    text = "Do not cache decoded images or features."
    return option("--no-cache", is_flag=True, help=text)(command)


def classifier_options(command: F) -> F:
    """--protocol, --select and --classifier: which classifier of a run."""
    protocol = option(
        "--protocol",
        type=click.Choice(["probe", "finetune"]),
        default_text="that of the run, else the other",
        help="Use the classifier that this protocol trained.",
    )
    select = option(
        "--select",
        type=click.Choice(SELECTIONS),
        default_text="val_best or last, else test_best",
        help="Use the classifier whose epoch was chosen in this way.",
    )
    name = option(
        "--classifier",
        default="",
        metavar="NAME",
        default_text="chosen by --protocol and --select",
        help="Use the classifier in RUN/eval/NAME.safetensors, or that of the evaluation with "
        "--label NAME.",
    )
    return protocol(select(name(command)))


def parsed_map(pairs: Sequence[str]) -> dict[str, str]:
    """{name: name in the data} of --map options."""
    table = {}
    for pair in pairs:
        left, equals, right = pair.partition("=")
        if not (left and equals and right):
            raise click.BadParameter(f"must be NAME=DATA, such as clinic=close-up, not {pair!r}.")
        table[left] = right
    return table


def parsed_settings(texts: Sequence[str]) -> list[tuple[str, str]]:
    """(address, value) of -o options, each an option of a plugin or a setting of a variant."""
    settings = []
    for text in texts:
        name, equals, value = text.partition("=")
        known = addresses(Variant)
        plugin = any(name in registry(family).names() for family in KINDS)
        near = "." not in name and not plugin and suggestion(name, known)
        # An owner may have an equals sign in its name, and the name of a setting has none.
        if equals and (name in known or near):
            settings.append((name, value))
        else:
            for owner, options in parsed_options([text]).items():
                settings += [(f"{owner}.{option}", value) for option, value in options.items()]
    return settings


def parsed_options(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """{plugin: {option: value}} of -o options."""
    table: dict[str, dict[str, str]] = {}
    for text in texts:
        parts = OPTION.fullmatch(text)
        if not parts:
            raise OptionError(
                f"-o needs PLUGIN.OPTION=VALUE, such as simclr.temperature=0.2, not {text!r}."
            )
        plugin, option, value = parts.groups()
        table.setdefault(plugin, {})[option] = value
    return table


def console(stderr: bool = False, quiet: bool = False) -> Console:
    """Where people read: lines are wrapped by words on a terminal, and never in a file."""
    from sm3kit.data.progress import open_console

    return open_console(stderr=stderr, quiet=quiet)


def say(out: Console, text: str, style: str | None = None) -> None:
    """A line of plain text, folded between words on a terminal and never in a file."""
    text = one_line(text)
    if out.is_terminal:
        text = fold_lines(text, out.width)
    out.print(text, style=style, soft_wrap=True)


def surroundings(out: Console, *, quiet: bool = False, no_cache: bool = False) -> Surroundings:
    """A reporter on a console, and the user's caches or none."""
    from sm3kit.data.progress import Reporter
    from sm3kit.python.surroundings import Surroundings

    return Surroundings.of_user(Reporter(out, quiet), cache=not no_cache)

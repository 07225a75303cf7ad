"""`sm3kit completion`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import click
import cloup
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
)

from sm3kit.cli.help.command import command

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


class Bash(BashComplete):
    """Click's completion for Bash, and words with ":" and "=", at which Bash cuts them."""

    # More is to come behind such an end.
    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)",
        "COMPREPLY+=($value); [[ $value == *[:=./] ]] && compopt -o nospace",
    )
    cut = 0

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor, and the one under it, put together again."""
        before, last = super().get_completion_args()
        words: list[str] = []
        cuts = False
        for part in (*before, last):
            after, cuts = cuts, bool(part) and not part.strip(":=")
            if words and part and (after or cuts):
                words[-1] += part
            else:
                words.append(part)
        incomplete = words.pop()
        if incomplete.startswith("--") and "=" in incomplete:
            option, _, incomplete = incomplete.partition("=")
            words.append(option)
        self.cut = max(0, len(incomplete) - (0 if cuts else len(last)))
        return words, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """The part of a value that Bash takes for its word."""
        return f"{item.type},{str(item.value)[self.cut :]}"


def install() -> None:
    """Lets click answer Bash with the class above."""
    add_completion_class(Bash)


def plugin_names(family: str) -> Completer:
    """The names of a family, without importing any of its plugins."""

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from sm3kit.core.registry import registry

        return _items(registry(family).names(), incomplete)

    return complete


def any_plugin(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of all plugins, or FAMILY/NAME once there is a stroke."""
    from sm3kit.core.registry import REGISTRIES

    if "/" in incomplete:
        names = [
            f"{family}/{plugin}" for family, reg in REGISTRIES.items() for plugin in reg.names()
        ]
    else:
        names = sorted({plugin for reg in REGISTRIES.values() for plugin in reg.names()})
    return _items(names, incomplete)


def plugin_option(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """`PLUGIN.`; its options would need its import."""
    from sm3kit.core.registry import REGISTRIES

    names = {name for reg in REGISTRIES.values() for name in reg.names()}
    return _items((f"{name}." for name in sorted(names)), incomplete)


def setting_addresses(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """`PLUGIN.`, or a setting of a variant: `seed=`, `stage1.`, and behind it `stage1.lr=`."""
    from sm3kit.core.settings import addresses
    from sm3kit.core.variant import PARTS, Variant

    if incomplete.startswith(tuple(f"{part}." for part in PARTS)):
        return _items((f"{address}=" for address in addresses(Variant)), incomplete)
    own = [f"{name}=" for name in addresses(Variant) if "." not in name]
    parts = [CompletionItem(f"{part}.") for part in PARTS if f"{part}.".startswith(incomplete)]
    return [*plugin_option(ctx, param, incomplete), *parts, *_items(own, incomplete)]


def data_specs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The default data, `NAME:` of every data set, and files behind the colon."""
    from sm3kit.core.registry import registry
    from sm3kit.core.variant import Variant

    name, colon, path = incomplete.partition(":")
    if colon:
        return [CompletionItem(f"{name}:{file}") for file in _paths(path)]
    return _items(
        [*Variant().data, *(f"{name}:" for name in registry("datasets").names())], incomplete
    )


def backbones(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """`PROVIDER/MODEL`, also behind `MODALITY=`; those of the default provider bare, too."""
    from sm3kit.core.registry import registry
    from sm3kit.core.variant import Variant

    modality, equals, name = incomplete.rpartition("=")
    providers = registry("backbones").names()
    offered = [f"{provider}/" for provider in providers if provider != name]
    default = Variant().backbone.partition("/")[0]
    for provider in providers if name else ():
        models = model_names(provider)
        offered += [f"{provider}/{model}" for model in models]
        offered += models if provider == default else []
    return _items((f"{modality}{equals}{word}" for word in offered), incomplete)


def weights(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The two words, else files, also behind `MODALITY=`."""
    modality, equals, path = incomplete.rpartition("=")
    items = _items((f"{modality}{equals}{word}" for word in ("imagenet", "none")), incomplete)
    return items or [CompletionItem(f"{modality}{equals}{file}") for file in _paths(path)]


def recipes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The built-in recipes, else files."""
    from sm3kit.runs.recipes import names

    return _items(names(), incomplete) or [CompletionItem(incomplete, type="file")]


def weak_labels(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The word for what the data set offers, else files."""
    return _items(["data"], incomplete) or [CompletionItem(incomplete, type="file")]


def grids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The built-in grids, else files."""
    from sm3kit.grids.grid import names

    return _items(names(), incomplete) or [CompletionItem(incomplete, type="file")]


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Run folders; other folders with a stroke behind them, to go on."""
    start = incomplete or ("runs/" if Path("runs").is_dir() else "")
    folders = [path for path in _paths(start) if path.endswith("/")]
    marked = [
        path.rstrip("/") if Path(path, "variant.yaml").is_file() else path for path in folders
    ]
    return [CompletionItem(path) for path in marked]


def model_names(provider: str) -> list[str]:
    """The models of a provider, read from the files of its library: importing it takes seconds."""
    from sm3kit.core.inspection import constant_of, text_of_library
    from sm3kit.core.registry import registry

    source = constant_of(registry("backbones").declarations(provider)[0], "MODEL_NAMES")
    if source is None:
        return []
    library, files, head = source
    pattern = re.compile(rf"^{re.escape(head)}(\w+)", re.M)
    return sorted(
        {name for text in text_of_library(library, files) for name in pattern.findall(text)}
    )


def _items(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _paths(incomplete: str) -> list[str]:
    """What a path could become; folders end in a stroke."""
    folder, stroke, name = incomplete.rpartition("/")
    head = Path(f"{folder}{stroke}") if stroke else Path()
    try:
        inside = sorted(head.iterdir())
    except OSError:
        return []
    return [
        f"{folder}{stroke}{path.name}{'/' if path.is_dir() else ''}"
        for path in inside
        if path.name.startswith(name) and (name.startswith(".") or not path.name.startswith("."))
    ]


LINES = {
    "bash": ('eval "$(sm3kit completion bash)"', "~/.bashrc"),
    "zsh": ('eval "$(sm3kit completion zsh)"', "~/.zshrc, after compinit"),
    "fish": ("sm3kit completion fish | source", "~/.config/fish/config.fish"),
}


@command()
@cloup.argument("shell", type=click.Choice(list(LINES)), help="The shell to complete in.")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a completion script for a shell.

    It completes commands, options, and the names of plugins, recipes, grids, data sets and runs.
    To enable it, add the line for your shell to its startup file and open a new shell.

    Examples:
      eval "$(sm3kit completion bash)"     # in ~/.bashrc
      eval "$(sm3kit completion zsh)"      # in ~/.zshrc, after compinit
      sm3kit completion fish | source      # in ~/.config/fish/config.fish
    """
    install()
    shell_class = get_completion_class(shell)
    assert shell_class is not None  # Click knows the shells that the table lists.
    line, file = LINES[shell]
    click.echo(f"# To enable completion, add this line to {file}:\n#   {line}")
    click.echo(shell_class(ctx.find_root().command, {}, "sm3kit", "_SM3KIT_COMPLETE").source())

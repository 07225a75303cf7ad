"""Writes recipes.md from the YAML files: python docs/generate_recipes.py [--check]."""

from __future__ import annotations

import dataclasses
from typing import Any

import click
from generated_page import cell, note, settle

from sm3kit.core.kinds import KINDS
from sm3kit.core.options import options_of
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.engine import recipes

BASES = ("quick", "sm3", "release", "paper")
HEAD = """
# Recipes

A recipe is a YAML file with settings. There are two sorts:

- A **complete** recipe (`quick`, `sm3`, `release`, `paper`) sets everything that matters.
- A **row** recipe sets what makes one row of the paper's Table 5 and lies on top of a complete
  one.

Flags beat recipes, a later recipe beats an earlier one, recipes beat the base. So put the
complete recipe first:

```sh
sm3kit pretrain --recipe release --recipe byol --data derm7pt:release_v0
```

Without a complete recipe the base is chosen by the data: `quick` for the built-in studies, `sm3`
for all others. The first line of the output says which and why. Your own file works the same:
`--recipe mine.yaml`; a line `base: release` in it names its base.

| complete recipe | what for |
| --- | --- |
| `quick` | To see that everything works: a small network on small images, no weights to fetch. Its numbers mean nothing. |
| `sm3` | The released settings on one device, with all 96 studies of a batch compared with each other. For your own data. |
| `release` | The released code as it ran on two GPUs, emulated on one device. |
| `paper` | Section 4.2 as printed, where it differs from the released code. |
"""
BETWEEN = """
Why they differ, and what none of them copies: [differences from the paper](differences.md).

## Rows of Table 5

The published number is the mean AUC of eight labels under a linear probe on frozen features. The
probe is not part of sm3kit yet: these commands make the encoders of the row. For four rows the
printed average is not the mean of the row's own eight numbers; the mean is then given too.

"""


def page() -> str:
    """The whole page."""
    return "".join([note("recipes.md"), HEAD, differences(), BETWEEN, rows()])


def differences() -> str:
    """What the complete recipes set differently, and what they agree on."""
    settings = {name: flat(resolved(name)) for name in BASES}
    keys = list(dict.fromkeys(key for each in settings.values() for key in each))
    table = {key: [settings[name].get(key) or default(key) for name in BASES] for key in keys}
    differ = {key: values for key, values in table.items() if len(set(values)) > 1}
    parts = ["\n## What the complete recipes set\n\n"]
    parts.append(f"| setting | {' | '.join(f'`{name}`' for name in BASES)} |\n")
    parts.append("| --- |" + " --- |" * len(BASES) + "\n")
    parts += [f"| `{key}` | {' | '.join(values)} |\n" for key, values in differ.items()]
    same = ", ".join(f"`{key}` {values[0]}" for key, values in table.items() if key not in differ)
    parts.append(f"\nThe same in all four: {same}.\n")
    return "".join(parts)


def resolved(name: str) -> Variant:
    """The variant of one complete recipe."""
    settings = recipes.load(name)
    settings.pop("complete")
    return Variant().changed(settings, name)


def flat(variant: Variant) -> dict[str, str]:
    """{setting: text}, plugin options as `plugin.option`; what a recipe never sets is left out."""
    left_out = ("recipe", "data", "map", "modality", "stage", "devices", "num_nodes", "workers")
    names = [one.name for one in dataclasses.fields(variant) if one.name not in left_out]
    found = {name: shown(getattr(variant, name)) for name in names if name != "options"}
    for plugin, options in variant.options.items():
        found |= {f"{plugin}.{option}": shown(value) for option, value in options.items()}
    return found


def default(key: str) -> str:
    """The default of a plugin's option `plugin.option`."""
    plugin, _, option = key.partition(".")
    family = next(one for one in KINDS if plugin in registry(one).names())
    return shown(options_of(registry(family).get(plugin))[option].default)


def shown(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, tuple | list):
        return ",".join(shown(part) for part in value) or "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else cell(str(value))


def rows() -> str:
    """A table with a row per row recipe."""
    parts = ["| command | first line of the recipe | it sets |\n| --- | --- | --- |\n"]
    for name in recipes.names():
        if name in BASES:
            continue
        sets = ", ".join(f"`{key}: {shown(value)}`" for key, value in recipes.load(name).items())
        line = cell(recipes.headline(name))
        parts.append(f"| `sm3kit pretrain --recipe {name} --data SPEC` | {line} | {sets} |\n")
    return "".join(parts)


@click.command()
@click.option("--check", is_flag=True, help="Compare, and write nothing.")
def main(check: bool) -> None:
    """Writes recipes.md, or checks that it is up to date."""
    settle("recipes.md", page(), check)


if __name__ == "__main__":
    main()

"""Writes recipes.md from the YAML files: python docs/generate_recipes.py [--check]."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import click
from generated_page import cell, note, settle

from sm3kit.core.kinds import KINDS
from sm3kit.core.options import options_of
from sm3kit.core.registry import registry
from sm3kit.core.settings import by_address
from sm3kit.core.variant import Variant
from sm3kit.evaluation.settings import settings_of
from sm3kit.runs import recipes

BASES = ("quick", "small", "vit", "sm3", "release", "paper")
# What says which data, where and how far, and not what a recipe is.
LEFT_OUT = (
    *("recipe", "data", "map", "modality", "stage", "init"),
    *("machine.devices", "machine.num_nodes", "machine.workers"),
)
TABLES = ("options", "stage2.views", "evaluate")
# Those of a run with stage 2 are apart.
PROTOCOLS = {
    "probe": ("probe", False),
    "probe-relation": ("probe", True),
    "finetune": ("finetune", False),
    "finetune-relation": ("finetune", True),
}
HEAD = """
# Recipes

A recipe is a YAML file with settings. There are two kinds:

- A **complete** recipe (`quick`, `small`, `vit`, `sm3`, `release`, `paper`) sets everything that matters.
- A **row** recipe sets what defines one row of the paper's Table 5, or of Table 1, on top of a
  complete one.

The top level of a recipe says what is trained; its tables `stage1`, `stage2` and `machine` say how. On
the command line and in the axes of a grid, a dot separates a table and its setting:
`-o stage1.weight_decay=0.01`.

Flags override recipes, a later recipe overrides an earlier one, and recipes override the base. So put
the complete recipe first:

```sh
sm3kit pretrain --recipe release --recipe byol --data derm7pt:release_v0 --out runs/byol
sm3kit evaluate runs/byol
```

Without a complete recipe, the base depends on the data and the machine: `quick` for the built-in
studies; for all other data `sm3` on a CUDA GPU with 20 GiB of memory or more, and `small` elsewhere.
The first line of the output says which and why, and `--dry-run` shows it without training. A grid
keeps the base of the machine on which it was started. Your own file works in the same way: `--recipe
mine.yaml`; a line `base: release` in it sets its base.

| complete recipe | use it for |
| --- | --- |
| `quick` | Trying things out: a small network on small images, nothing to download. Its results say nothing about photographs. |
| `small` | ResNet-18 with ImageNet weights on images of 128 pixels, in batches of 64. For your own data on a laptop or a small GPU: about 3 GiB of memory, and about an hour for 600 studies. |
| `vit` | A small vision transformer with DINOv2 weights, of which LoRA changes little, on images of 224 pixels: [vision transformers](vit.md). For a GPU. |
| `sm3` | The released settings on one device, with all 96 studies of a batch contrasted with each other, and features of stage 2 encoded once. For your own data on a large GPU. |
| `release` | The released code as it ran on two GPUs, emulated on one device. |
| `paper` | Section 4.2 as printed, where it differs from the released code. |
"""
BETWEEN = """
Settings that begin with `evaluate` are those of `sm3kit evaluate` that a recipe changes;
`probe-relation` and `finetune-relation` apply to runs with stage 2. [All defaults](evaluation.md#settings).

Why the recipes differ, and what none of them reproduces:
[differences from the paper](differences.md).

## Rows of the paper

The published number is the mean AUC of eight labels on the test split. For four rows the printed
average is not the mean of the row's own eight numbers; then the mean is given, too. Each of these
commands pre-trains; afterwards `sm3kit evaluate RUN` uses the protocol of the recipe, a probe or
fine-tuning.

"""


def page() -> str:
    """The whole page."""
    return "".join([note("recipes.md"), HEAD, differences(), BETWEEN, rows()])


def differences() -> str:
    """What the complete recipes set differently, and what they agree on."""
    variants = [resolved(name) for name in BASES]
    table = whole(variants) | evaluations(variants)
    differ = {key: values for key, values in table.items() if len(set(values)) > 1}
    parts = ["\n## What the complete recipes set\n\n"]
    parts.append(f"| setting | {' | '.join(f'`{name}`' for name in BASES)} |\n")
    parts.append("| --- |" + " --- |" * len(BASES) + "\n")
    parts += [f"| `{key}` | {' | '.join(values)} |\n" for key, values in differ.items()]
    same = [key for key in table if key not in differ and not key.startswith("evaluate.")]
    listed = ", ".join(f"`{key}` {table[key][0]}" for key in same)
    parts.append(f"\nThe same in all of them: {listed}.\n")
    return "".join(parts)


def resolved(name: str) -> Variant:
    """The variant of one complete recipe."""
    settings = recipes.load(name)
    settings.pop("complete")
    return Variant().changed(settings, name)


def whole(variants: Sequence[Variant]) -> dict[str, list[str]]:
    """{setting: its text in each variant}; plugin options as `plugin.option`."""
    settings = [flat(variant) for variant in variants]
    keys = list(dict.fromkeys(key for each in settings for key in each))
    return {key: [each[key] if key in each else default(key) for each in settings] for key in keys}


def flat(variant: Variant) -> dict[str, str]:
    """{setting: text}; plugin options that no recipe sets are left out."""
    values = by_address(variant)
    found = {name: shown(values[name]) for name in values if name not in (*LEFT_OUT, *TABLES)}
    found |= {f"stage2.views.{name}": shown(value) for name, value in variant.stage2.views.items()}
    for plugin, options in variant.options.items():
        found |= {f"{plugin}.{option}": shown(value) for option, value in options.items()}
    return found


def default(key: str) -> str:
    """The default of a plugin's option `plugin.option`.

    Raises:
        ClickException: a recipe sets an option of a plugin that nobody has registered.
    """
    plugin, _, option = key.partition(".")
    for family in KINDS:
        if plugin in registry(family).names():
            return shown(options_of(registry(family).get(plugin))[option].default)
    raise click.ClickException(f"A recipe sets {key}, and there is no plugin {plugin!r}.")


def evaluations(variants: Sequence[Variant]) -> dict[str, list[str]]:
    """{`evaluate.PROTOCOL.NAME`: its text for each variant}."""
    found: dict[str, list[str]] = {}
    for name, (protocol, relation) in PROTOCOLS.items():
        for variant in variants:
            settings = settings_of(variant, protocol, {}, relation=relation)
            for one in dataclasses.fields(settings):
                if one.name in ("protocol", "seed"):
                    continue
                values = found.setdefault(f"evaluate.{name}.{one.name}", [])
                values.append(shown(getattr(settings, one.name)))
    return found


def shown(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, tuple | list):
        return ",".join(shown(part) for part in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(inner)}" for name, inner in value.items())
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else cell(str(value))


def rows() -> str:
    """A table with a row per row recipe."""
    parts = ["| command | first line of the recipe | it sets |\n| --- | --- | --- |\n"]
    for name in recipes.names():
        if name in BASES:
            continue
        sets = ", ".join(f"`{key}: {shown(value)}`" for key, value in dotted(recipes.load(name)))
        line = cell(recipes.headline(name))
        parts.append(f"| `sm3kit pretrain --recipe {name} --data SPEC` | {line} | {sets} |\n")
    return "".join(parts)


def dotted(settings: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(address, value) of the settings of a recipe."""
    pairs: list[tuple[str, Any]] = []
    for key, value in settings.items():
        inner = dotted(value) if isinstance(value, dict) else []
        pairs += [(f"{key}.{name}", one) for name, one in inner] or [(key, value)]
    return pairs


@click.command()
@click.option("--check", is_flag=True, help="Compare, and write nothing.")
def main(check: bool) -> None:
    """Writes recipes.md, or checks that it is up to date."""
    settle("recipes.md", page(), check)


if __name__ == "__main__":
    main()

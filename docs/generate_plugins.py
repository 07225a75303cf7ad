"""Writes plugins.md from the registry: python docs/generate_plugins.py [--check]."""

from __future__ import annotations

import re

import click
from generated_page import cell, note, settle

from sm3kit.cli.plugins import default_text, description
from sm3kit.core.kinds import KINDS
from sm3kit.core.options import options_of
from sm3kit.core.registry import registry

HEAD = """
# Plugins

Everything that comes with sm3kit, by family. Set an option with `-o NAME.OPTION=VALUE`, for
example `-o simclr.temperature=0.2`. `sm3kit plugins show NAME` says the same in a terminal, and
`sm3kit plugins list` lists other people's plugins as well.

"""


def page() -> str:
    """The whole page."""
    parts = [note("plugins.md"), HEAD, "| family | what it does | names |\n| --- | --- | --- |\n"]
    own = {family: names(family) for family in KINDS}
    for family, found in own.items():
        listed = ", ".join(f"`{name}`" for name in found)
        parts.append(f"| [{family}](#{family}) | {cell(KINDS[family].does)} | {listed} |\n")
    for family, found in own.items():
        parts.append(f"\n## {family}\n")
        parts += [section(family, name) for name in found]
    return "".join(parts)


def names(family: str) -> list[str]:
    """The names that sm3kit itself declares."""
    declared = registry(family).declarations()
    return [one.name for one in declared if one.distribution == "sm3kit"]


def section(family: str, name: str) -> str:
    """One plugin: what its docstring says, and a table of its options."""
    component = registry(family).get(name)
    declared = registry(family).declarations(name)[0]
    text, about = description(component)
    text = re.sub(r"\n+(Source:|Differs from )", r"\n\n\1", text)  # Paragraphs of their own.
    parts = [f"\n### {name} ({KINDS[family].noun})\n\n`{declared.target}`\n\n{text}\n\n"]
    options = options_of(component)
    if not options:
        return "".join([*parts, "No options.\n"])
    parts.append("| option | default | type | meaning |\n| --- | --- | --- | --- |\n")
    for option in options.values():
        meaning = cell(about.get(option.name, ""))
        default, kind = cell(default_text(option.default)), cell(option.type_text)
        parts.append(f"| `{option.name}` | `{default}` | {kind} | {meaning} |\n")
    return "".join(parts)


@click.command()
@click.option("--check", is_flag=True, help="Compare, and write nothing.")
def main(check: bool) -> None:
    """Writes plugins.md, or checks that it is up to date."""
    settle("plugins.md", page(), check)


if __name__ == "__main__":
    main()

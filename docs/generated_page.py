"""Writes a generated page of the documentation, or says that it is out of date."""

from __future__ import annotations

from pathlib import Path

import click

DOCS = Path(__file__).parent


def settle(name: str, text: str, check: bool) -> None:
    """Writes `docs/NAME`, or with `check` compares it and writes nothing.

    Raises:
        ClickException: `check`, and the page holds something else.
    """
    page = DOCS / name
    if not check:
        page.parent.mkdir(exist_ok=True)
        page.write_text(text, encoding="utf-8")
        return
    if not page.is_file() or page.read_text(encoding="utf-8") != text:
        raise click.ClickException(
            f"docs/{name} is out of date. Write it anew with: python docs/{_script(name)}"
        )


def note(name: str) -> str:
    """The comment at the head of a generated page."""
    return f"<!-- Written by docs/{_script(name)}. Do not edit. -->\n"


def _script(name: str) -> str:
    """What writes a page, or a folder of pages."""
    return f"generate_{name.partition('/')[0].removesuffix('.md')}.py"


def cell(text: str) -> str:
    """Text that a Markdown table can hold."""
    return " ".join(text.split()).replace("|", "\\|")

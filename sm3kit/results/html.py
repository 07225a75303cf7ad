"""HTML from templates, without network: pages for light, dark and print, and pieces of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from sm3kit.results.legend import legend
from sm3kit.results.table import Table

if TYPE_CHECKING:
    from sm3kit.results.picture import Rendering


def page(table: Table, curves: Sequence[Rendering] = ()) -> str:
    """The page of a table and its curves; heads of columns are buttons that sort."""
    return render("table.html", title=table.title, table=table, curves=curves)


def fragment(table: Table) -> str:
    """The sections of a table for a notebook: with their own style, and without a script."""
    return render("fragment.html", table=table)


def render(template: str, **content: Any) -> str:
    """A template of `sm3kit/results/templates` with its content; text is escaped.

    Args:
        template: name of the file.
        content: what it names.
    """
    return _environment().get_template(template).render(content)


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        keep_trailing_newline=True,
        loader=PackageLoader("sm3kit.results"),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    environment.globals["legend"] = legend
    return environment

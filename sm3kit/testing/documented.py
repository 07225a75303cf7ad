"""Laws of every plugin: it says what it is, and every option has a type and a default."""

from __future__ import annotations

import inspect
from typing import Any

from sm3kit.core.options import options_of
from sm3kit.testing.law import Laws, Plugin, require

LAWS: Laws[Plugin] = Laws()


def check_documented(plugin: Plugin) -> None:
    """Has a docstring, and every option a type and a default.

    Raises:
        ContractError: a law does not hold.
    """
    LAWS.enforce(plugin, plugin)


@LAWS.law("docstring")
def docstring(plugin: Plugin) -> None:
    """A docstring says what it is."""
    require(bool(inspect.getdoc(plugin)), "has no docstring")


@LAWS.law("options")
def options(plugin: Plugin) -> None:
    """Every option has a type and a default."""
    maker: Any = plugin.__init__ if inspect.isclass(plugin) else plugin
    parameters = inspect.signature(maker).parameters
    for one in options_of(plugin).values():
        has_default = one.default is not inspect.Parameter.empty
        require(has_default, f"option {one.name!r} has no default")
        typed = parameters[one.name].annotation is not inspect.Parameter.empty
        require(typed, f"option {one.name!r} has no type")
    unnamed = [one.name for one in parameters.values() if one.kind is one.VAR_KEYWORD]
    require(not unnamed, "takes **options without names, which nobody can list or check")

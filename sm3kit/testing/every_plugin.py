"""Laws of every plugin: how it is declared, found, imported and documented."""

from __future__ import annotations

import functools
import inspect
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from sm3kit.core.errors import BrokenPlugin
from sm3kit.core.installed import API_CONSTANT, API_GROUP, API_VERSION, Declaration
from sm3kit.core.options import options_of
from sm3kit.core.plugin_files import VARIABLE
from sm3kit.core.registry import Registry, registry
from sm3kit.testing.law import Laws, NotTried, Plugin, require

# Families whose members are methods of somebody.
WITH_SOURCE = (
    *("objectives", "fusions", "relations", "clusterers"),
    *("classifiers", "losses", "samplers"),
)

LISTING = """
import json, sys
sys.path[:] = {path!r}
before = set(sys.modules)
from sm3kit.core.inspection import why_broken
from sm3kit.core.registry import REGISTRIES
for family in REGISTRIES.values():
    for one in family.declarations():
        why_broken(one)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@dataclass(frozen=True)
class InstalledTrial:
    """One declaration of a plugin."""

    family: str
    declaration: Declaration

    @property
    def registry(self) -> Registry:
        """The registry of its family."""
        return registry(self.family)


INSTALLATION: Laws[InstalledTrial] = Laws()


@INSTALLATION.law("name", first=True)
def name_is_free(trial: InstalledTrial) -> None:
    """Nobody else claims its name."""
    name = trial.declaration.name
    others = {twin.origin for twin in trial.registry.declarations(name)} - {
        trial.declaration.origin
    }
    require(not others, f"claims a name that {' and '.join(sorted(others))} claims too")


@INSTALLATION.law("discovery")
def listing_imports_nothing(trial: InstalledTrial) -> None:
    """Listing plugins imports neither it nor torch."""
    if trial.declaration.file or trial.declaration.distribution == "this session":
        raise NotTried("it is in no distribution, and is imported to be listed")
    loaded = modules_of_listing()
    module = trial.declaration.target.partition(":")[0].strip()
    require(module not in loaded, "is imported when plugins are listed")
    require("torch" not in loaded, "is listed together with something that imports torch")


@functools.cache
def modules_of_listing() -> frozenset[str]:
    """The modules that listing all plugins imports, in a process of its own."""
    environment = {name: text for name, text in os.environ.items() if name != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", LISTING.format(path=sys.path)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return frozenset(json.loads(done.stdout.splitlines()[-1]))


@INSTALLATION.law("import", first=True)
def imports(trial: InstalledTrial) -> None:
    """It can be imported."""
    try:
        trial.registry.load(trial.declaration.name)
    except BrokenPlugin as error:
        require(False, f"does not load: {error}".rstrip("."))


@INSTALLATION.law("API version")
def api_version(trial: InstalledTrial) -> None:
    """It was written for this version of the plugin API."""
    declaration = trial.declaration
    if not declaration.api and declaration.file:
        raise NotTried(f"it does not say; add to the file: {API_CONSTANT} = {API_VERSION}")
    if not declaration.api:
        raise NotTried(
            f"its distribution does not say; add to its entry points the group {API_GROUP} with "
            f"the line: {API_VERSION} = {declaration.target.partition(':')[0].partition('.')[0]}"
        )
    versions = " and ".join(declaration.api)
    require(
        not declaration.mismatch,
        f"was written for version {versions} of the plugin API, not {API_VERSION}",
    )


@INSTALLATION.law("source")
def has_source(trial: InstalledTrial) -> None:
    """Its docstring has a line "Source:"."""
    if trial.family not in WITH_SOURCE:
        raise NotTried(f"a {trial.registry.kind.noun} needs none")
    text = inspect.getdoc(trial.registry.load(trial.declaration.name)) or ""
    lines = [line.strip() for line in text.splitlines()]
    named = any(line.startswith("Source:") and line != "Source:" for line in lines)
    require(named, 'has no line "Source: authors, year, link" in its docstring')


@INSTALLATION.law("keywords")
def options_are_keywords(trial: InstalledTrial) -> None:
    """Whatever has a default is a keyword, and so an option."""
    if trial.family not in WITH_SOURCE:
        raise NotTried(f"a {trial.registry.kind.noun} may have others")
    plugin = trial.registry.load(trial.declaration.name)
    maker: Any = plugin.__init__ if inspect.isclass(plugin) else plugin
    by_position = [
        parameter.name
        for parameter in inspect.signature(maker).parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        and parameter.default is not inspect.Parameter.empty
    ]
    names = ", ".join(map(repr, by_position))
    why = "which makes it no option: put a * before it in the signature"
    require(not by_position, f"takes {names} by position, {why}")


DOCUMENTATION: Laws[Plugin] = Laws()


def check_documented(plugin: Plugin) -> None:
    """Has a docstring, and every option a type and a default.

    Raises:
        ContractError: a law does not hold.
    """
    DOCUMENTATION.enforce(plugin, plugin)


@DOCUMENTATION.law("docstring")
def docstring(plugin: Plugin) -> None:
    """A docstring says what it is."""
    require(bool(inspect.getdoc(plugin)), "has no docstring")


@DOCUMENTATION.law("options")
def options(plugin: Plugin) -> None:
    """Every option has a type and a default."""
    maker: Any = plugin.__init__ if inspect.isclass(plugin) else plugin
    parameters = inspect.signature(maker).parameters
    for option in options_of(plugin).values():
        has_default = option.default is not inspect.Parameter.empty
        require(has_default, f"has no default for option {option.name!r}")
        typed = parameters[option.name].annotation is not inspect.Parameter.empty
        require(typed, f"has no type for option {option.name!r}")
    unnamed = [option.name for option in parameters.values() if option.kind is option.VAR_KEYWORD]
    require(not unnamed, "takes **options without names, which cannot be listed or checked")

"""Laws of every plugin that is installed: how it is declared, found and imported."""

from __future__ import annotations

import functools
import inspect
import json
import os
import subprocess
import sys
from dataclasses import dataclass

from sm3kit.core.errors import BrokenPlugin
from sm3kit.core.installed import API_CONSTANT, API_GROUP, API_VERSION, Declaration
from sm3kit.core.plugin_files import VARIABLE
from sm3kit.core.registry import Registry, registry
from sm3kit.testing.law import Laws, NotTried, require

# Families whose members are methods of somebody.
WITH_SOURCE = ("objectives", "fusions", "relations", "clusterers")

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


LAWS: Laws[InstalledTrial] = Laws()


@LAWS.law("name", first=True)
def name_is_free(trial: InstalledTrial) -> None:
    """Nobody else claims its name."""
    name = trial.declaration.name
    others = {one.origin for one in trial.registry.declarations(name)} - {trial.declaration.origin}
    require(not others, f"claims a name that {' and '.join(sorted(others))} claims too")


@LAWS.law("discovery")
def listing_imports_nothing(trial: InstalledTrial) -> None:
    """Listing plugins imports neither it nor torch."""
    if trial.declaration.file or trial.declaration.distribution == "this session":
        raise NotTried("it is in no distribution, and is imported to be listed")
    loaded = loaded_by_listing()
    module = trial.declaration.target.partition(":")[0].strip()
    require(module not in loaded, "is imported when plugins are listed")
    require("torch" not in loaded, "is listed together with something that imports torch")


@functools.cache
def loaded_by_listing() -> frozenset[str]:
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


@LAWS.law("import", first=True)
def imports(trial: InstalledTrial) -> None:
    """It can be imported."""
    try:
        trial.registry.load(trial.declaration.name)
    except BrokenPlugin as error:
        require(False, f"does not load: {error}".rstrip("."))


@LAWS.law("API version")
def api_version(trial: InstalledTrial) -> None:
    """It was written for this version of the plugin API."""
    one = trial.declaration
    if not one.api and one.file:
        raise NotTried(f"it does not say; add to the file: {API_CONSTANT} = {API_VERSION}")
    if not one.api:
        raise NotTried(
            f"its distribution does not say; add to its entry points the group {API_GROUP} with "
            f"the line: {API_VERSION} = {one.target.partition(':')[0].partition('.')[0]}"
        )
    versions = " and ".join(one.api)
    require(
        not one.mismatch, f"was written for version {versions} of the plugin API, not {API_VERSION}"
    )


@LAWS.law("source")
def has_source(trial: InstalledTrial) -> None:
    """Its docstring has a line "Source:"."""
    if trial.family not in WITH_SOURCE:
        raise NotTried(f"a {trial.registry.kind.noun} needs none")
    text = inspect.getdoc(trial.registry.load(trial.declaration.name)) or ""
    lines = [line.strip() for line in text.splitlines()]
    told = any(line.startswith("Source:") and line != "Source:" for line in lines)
    require(told, 'has no line "Source: authors, year, link" in its docstring')

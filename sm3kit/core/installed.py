"""What installed distributions declare, read as text from their metadata, and for which plugin API."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from importlib import metadata

from sm3kit.core.kinds import KINDS

# Counts changes of a contract that a plugin written for the version before would not survive.
API_VERSION = 1
# The entry-point group in which a distribution says what it was written for: `1 = my_package`.
API_GROUP = "sm3kit.api"
# The constant in which a single file says it: `SM3KIT_API = 1`.
API_CONSTANT = "SM3KIT_API"


def api_mismatch(declared: tuple[str, ...], owner: str) -> str:
    """A sentence on plugins that were written for another version; nothing if they say none.

    Args:
        declared: the versions that they were written for.
        owner: the distribution, or the file.
    """
    if not declared or str(API_VERSION) in declared:
        return ""
    numbers = [int(version) for version in declared if version.isdecimal()]
    newer = bool(numbers) and min(numbers) > API_VERSION
    return (
        f"{owner} was written for version {' and '.join(declared)} of the plugin API, and this "
        f"sm3kit has version {API_VERSION}: it may not work. Upgrade {'sm3kit' if newer else owner}."
    )


@dataclass(frozen=True)
class Declaration:
    """A name, where it leads, and who says so: a line of a distribution's entry points, or a file.

    Attributes:
        name: as on the command line.
        target: `module:attribute`.
        distribution: the project; a file by its name, or "this session".
        version: of the distribution.
        api: the versions of the plugin API that it was written for; empty if it does not say.
        file: the single file that registers it, if there is one.
    """

    name: str
    target: str
    distribution: str
    version: str
    api: tuple[str, ...] = ()
    file: str = ""

    @property
    def origin(self) -> str:
        """The distribution and its version, as people write it."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def mismatch(self) -> str:
        """A sentence, if it was written for another version of the plugin API."""
        return api_mismatch(self.api, self.distribution)


@functools.cache
def installed_plugins() -> dict[str, list[Declaration]]:
    """Every declaration of every family, from one pass over the installed distributions."""
    by_group: dict[str, list[Declaration]] = {kind.group: [] for kind in KINDS.values()}
    seen: set[str] = set()
    for distribution in metadata.distributions():
        text = distribution.read_text("entry_points.txt")
        if text is None or "sm3kit." not in text:
            continue
        # A folder on sys.path can show one distribution twice; the first hides the others.
        spelling, version = _name_and_version(distribution)
        name = re.sub(r"[-_.]+", "-", spelling).lower()
        if name in seen:
            continue
        seen.add(name)
        entries = _entries(distribution)
        api = tuple(entry.name for entry in entries if entry.group == API_GROUP)
        if name == "sm3kit":
            api = (str(API_VERSION),)
        for entry in entries:
            if entry.group in by_group:
                by_group[entry.group].append(
                    Declaration(entry.name, entry.value, name, version, api)
                )
    return by_group


def _name_and_version(distribution: metadata.Distribution) -> tuple[str, str]:
    """What a distribution calls itself; nothing where half of it has been removed."""
    try:
        facts = distribution.metadata  # Parsed anew at each look.
    except FileNotFoundError:  # Of importlib_metadata, which replaces Python's own once imported.
        return "", ""
    return facts["Name"] or "", facts["Version"] or ""


def _entries(distribution: metadata.Distribution) -> list[metadata.EntryPoint]:
    try:
        return list(distribution.entry_points)
    except TypeError:  # A line without "=": no installer writes it, and it hides nobody else's.
        return []

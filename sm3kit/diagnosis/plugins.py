"""Plugins that cannot be used: names claimed twice, imports that fail, another plugin API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sm3kit.core.inspection import why_broken
from sm3kit.core.installed import API_GROUP, API_VERSION, Declaration, installed
from sm3kit.core.kinds import KINDS
from sm3kit.core.libraries import pip_line
from sm3kit.core.plugin_files import named_files
from sm3kit.diagnosis.finding import Finding, pip
from sm3kit.diagnosis.importing import Tried

SECTION = "plugins"
NEEDS = "No module named "


def targets() -> list[str]:
    """What is imported to try all plugins; those that cannot work are left out."""
    whole = [one.target for _, one in _all() if not why_broken(one)]
    return [*whole, *map(str, named_files())]


def plugins(results: Mapping[str, Tried]) -> Iterator[Finding]:
    """How many plugins there are, and a line for each that cannot be used."""
    found = _all()
    count = len({(family, one.name) for family, one in found})
    owners = {one.distribution: one for _, one in found}
    yield Finding(SECTION, "declared", "ok", f"{count}, by {', '.join(sorted(owners))}")
    for family, one in found:
        yield from _broken(family, one, results)
    for file in named_files():
        tried = results[str(file)]
        if tried.error:
            yield Finding(SECTION, str(file), "broken", tried.error, "unset SM3KIT_PLUGINS")
        else:
            yield Finding(SECTION, str(file), "ok", "can be imported")
    yield from _clashes(found)
    for name, one in sorted(owners.items()):
        if name != "sm3kit":
            yield _version(one)


def _all() -> list[tuple[str, Declaration]]:
    return [(family, one) for family, kind in KINDS.items() for one in installed()[kind.group]]


def _broken(family: str, one: Declaration, results: Mapping[str, Tried]) -> Iterator[Finding]:
    error = why_broken(one)
    if not error and one.target in results:
        error = results[one.target].error
    if not error:
        return
    # What can be done about others' plugins: give them what they need, or get better ones.
    remedy = f"{pip()} install --upgrade {one.distribution}"
    text, colon, line = error.rpartition(": pip install ")
    if colon:
        error, remedy = text, f"{pip()} install {line}"
    elif NEEDS in error:
        missing = error.partition(NEEDS)[2].strip("'")
        remedy = pip_line(missing).replace("pip", pip(), 1)
    text = f"of {one.origin}: {error}"
    yield Finding(SECTION, f"{family}/{one.name}", "broken", text, remedy)


def _clashes(found: list[tuple[str, Declaration]]) -> Iterator[Finding]:
    claims: dict[str, list[str]] = {}
    for family, one in found:
        claims.setdefault(f"{family}/{one.name}", []).append(one.distribution)
    for name, claiming in claims.items():
        if len(claiming) > 1:
            owners = sorted(claiming, key=lambda owner: (owner != "sm3kit", owner))
            text = f"is claimed by {' and '.join(owners)}; keep one of them"
            yield Finding(SECTION, name, "broken", text, f"{pip()} uninstall {owners[-1]}")


def _version(one: Declaration) -> Finding:
    """What plugin API a distribution of others was written for."""
    name = one.distribution
    if not one.api:
        line = f"{API_GROUP} = {API_VERSION} = {one.target.partition('.')[0].partition(':')[0]}"
        text = "does not say which plugin API it was written for"
        remedy = f"# for its author, in setup.cfg under [options.entry_points]: {line}"
        return Finding(SECTION, name, "hint", text, remedy)
    if one.mismatch:
        which = "sm3kit" if one.mismatch.endswith("Upgrade sm3kit.") else name
        remedy = f"{pip()} install --upgrade {which}"
        return Finding(SECTION, name, "hint", one.mismatch.partition(": ")[0], remedy)
    return Finding(SECTION, name, "ok", f"plugin API {API_VERSION}")

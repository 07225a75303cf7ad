"""Plugins that cannot be used, and editable installs that do not know what they declare."""

from __future__ import annotations

import configparser
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sm3kit.core.inspection import why_broken
from sm3kit.core.installed import API_GROUP, API_VERSION, Declaration, installed_plugins
from sm3kit.core.kinds import KINDS
from sm3kit.core.libraries import pip_line
from sm3kit.core.plugin_files import named_files
from sm3kit.diagnosis.finding import Finding, ImportTrial, pip

SECTION = "plugins"
NEEDS = "No module named "
Lines = dict[tuple[str, str], str]  # {(group, name): target}


def targets() -> list[str]:
    """What is imported to try all plugins; those that cannot work are left out."""
    whole = [
        declaration.target for _, declaration in _all_declarations() if not why_broken(declaration)
    ]
    return [*whole, *map(str, named_files())]


def plugins(results: Mapping[str, ImportTrial]) -> Iterator[Finding]:
    """How many plugins there are, and a line for each that cannot be used."""
    declarations = _all_declarations()
    count = len({(family, declaration.name) for family, declaration in declarations})
    owners = {declaration.distribution: declaration for _, declaration in declarations}
    yield Finding(SECTION, "declared", "ok", f"{count}, by {', '.join(sorted(owners))}")
    for family, declaration in declarations:
        yield from _faults(family, declaration, results)
    for file in named_files():
        trial = results[str(file)]
        if trial.error:
            yield Finding(SECTION, str(file), "broken", trial.error, "unset SM3KIT_PLUGINS")
        else:
            yield Finding(SECTION, str(file), "ok", "can be imported")
    yield from _clashes(declarations)
    for name, declaration in sorted(owners.items()):
        if name != "sm3kit":
            yield _version(declaration)


def _all_declarations() -> list[tuple[str, Declaration]]:
    return [
        (family, declaration)
        for family, kind in KINDS.items()
        for declaration in installed_plugins()[kind.group]
    ]


def _faults(
    family: str, declaration: Declaration, results: Mapping[str, ImportTrial]
) -> Iterator[Finding]:
    error = why_broken(declaration)
    if not error and declaration.target in results:
        error = results[declaration.target].error
    if not error:
        return
    # What can be done about others' plugins: give them what they need, or get better ones.
    remedy = f"{pip()} install --upgrade {declaration.distribution}"
    text, colon, line = error.rpartition(": pip install ")
    if colon:
        error, remedy = text, f"{pip()} install {line}"
    elif NEEDS in error:
        missing = error.partition(NEEDS)[2].strip("'")
        remedy = pip_line(missing).replace("pip", pip(), 1)
    text = f"of {declaration.origin}: {error}"
    yield Finding(SECTION, f"{family}/{declaration.name}", "broken", text, remedy)


def _clashes(declarations: list[tuple[str, Declaration]]) -> Iterator[Finding]:
    claims: dict[str, list[str]] = {}
    for family, declaration in declarations:
        claims.setdefault(f"{family}/{declaration.name}", []).append(declaration.distribution)
    for name, claiming in claims.items():
        if len(claiming) > 1:
            owners = sorted(claiming, key=lambda owner: (owner != "sm3kit", owner))
            text = f"is claimed by {' and '.join(owners)}; keep one of them"
            yield Finding(SECTION, name, "broken", text, f"{pip()} uninstall {owners[-1]}")


def _version(declaration: Declaration) -> Finding:
    """What plugin API a distribution of others was written for."""
    name = declaration.distribution
    if not declaration.api:
        line = f"{API_GROUP} = {API_VERSION} = {declaration.target.partition('.')[0].partition(':')[0]}"
        text = "does not say which plugin API it was written for"
        remedy = f"# for its author, in setup.cfg under [options.entry_points]: {line}"
        return Finding(SECTION, name, "hint", text, remedy)
    if declaration.mismatch:
        which = "sm3kit" if declaration.mismatch.endswith("Upgrade sm3kit.") else name
        remedy = f"{pip()} install --upgrade {which}"
        return Finding(SECTION, name, "hint", declaration.mismatch.partition(": ")[0], remedy)
    return Finding(SECTION, name, "ok", f"plugin API {API_VERSION}")


def check_checkouts() -> Iterator[Finding]:
    """A line for each editable distribution with plugins: its checkout against its metadata."""
    for name, distribution in distributions().items():
        checkout = _checkout(distribution)
        wanted = None if checkout is None else _declarations(checkout)
        if checkout is None or wanted is None:
            continue
        installed = _ours((e.group, e.name, e.value) for e in distribution.entry_points)
        fresh = [entry for entry, target in wanted.items() if installed.get(entry) != target]
        stale = [entry for entry in installed if entry not in wanted]
        if not fresh and not stale:
            yield Finding(SECTION, name, "ok", f"as declared in {checkout}")
            continue
        changes = [f"not installed yet: {_entry_names(fresh)}"] if fresh else []
        changes += [f"gone: {_entry_names(stale)}"] if stale else []
        text = f"its checkout {checkout} has changed since it was installed; {'; '.join(changes)}"
        remedy = f"{pip()} install --no-deps -e {quote(str(checkout))}"
        yield Finding(SECTION, name, "broken", text, remedy)


def distributions() -> dict[str, metadata.Distribution]:
    """The installed distributions with plugins, each as the registry sees it."""
    known: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        if "sm3kit." in (distribution.read_text("entry_points.txt") or ""):
            name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()
            known.setdefault(name, distribution)
    return dict(sorted(known.items()))


def _checkout(distribution: metadata.Distribution) -> Path | None:
    """The folder that an editable install points to."""
    link = json.loads(distribution.read_text("direct_url.json") or "{}")
    if link.get("dir_info", {}).get("editable"):
        return Path(url2pathname(urlsplit(link["url"]).path))
    # Python that was started inside the checkout finds what the build left there.
    beside = Path(str(distribution.locate_file("")))
    return beside if (beside / "setup.cfg").is_file() else None


def _declarations(checkout: Path) -> Lines | None:
    """The entry points in setup.cfg or pyproject.toml; None where neither has any."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(checkout / "setup.cfg", encoding="utf-8")
    if parser.has_section("options.entry_points"):
        return _ours(
            (group, *re.split(r"\s*=\s*", line.strip(), maxsplit=1))
            for group, text in parser["options.entry_points"].items()
            for line in text.splitlines()
            if "=" in line
        )
    if sys.version_info >= (3, 11) and (checkout / "pyproject.toml").is_file():
        import tomllib

        with (checkout / "pyproject.toml").open("rb") as file:
            project = tomllib.load(file).get("project", {})
        if "entry-points" in project:
            groups = project["entry-points"].items()
            return _ours((g, name, to) for g, table in groups for name, to in table.items())
    return None


def _ours(entries: Iterable[tuple[str, ...]]) -> Lines:
    return {(group, name): to for group, name, to in entries if group.startswith("sm3kit.")}


def _entry_names(entries: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{group.removeprefix('sm3kit.')}/{name}" for group, name in entries)

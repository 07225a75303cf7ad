"""Whether an editable install knows the plugins that its checkout declares."""

from __future__ import annotations

import configparser
import json
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from shlex import quote
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sm3kit.diagnosis.finding import Finding, pip

SECTION = "plugins"
Lines = dict[tuple[str, str], str]  # {(group, name): target}


def declared() -> Iterator[Finding]:
    """A line for each editable distribution with plugins: its checkout against its metadata."""
    for name, distribution in distributions().items():
        checkout = _checkout(distribution)
        wanted = None if checkout is None else _declared(checkout)
        if checkout is None or wanted is None:
            continue
        installed = _ours((e.group, e.name, e.value) for e in distribution.entry_points)
        fresh = [entry for entry, target in wanted.items() if installed.get(entry) != target]
        stale = [entry for entry in installed if entry not in wanted]
        if not fresh and not stale:
            yield Finding(SECTION, name, "ok", f"as declared in {checkout}")
            continue
        told = [f"not known yet: {_told(fresh)}"] if fresh else []
        told += [f"gone: {_told(stale)}"] if stale else []
        text = f"its checkout {checkout} has changed since it was installed; {'; '.join(told)}"
        remedy = f"{pip()} install --no-deps -e {quote(str(checkout))}"
        yield Finding(SECTION, name, "broken", text, remedy)


def distributions() -> dict[str, metadata.Distribution]:
    """The installed distributions with plugins, each as the registry sees it."""
    found: dict[str, metadata.Distribution] = {}
    for one in metadata.distributions():
        if "sm3kit." in (one.read_text("entry_points.txt") or ""):
            name = re.sub(r"[-_.]+", "-", one.metadata["Name"] or "").lower()
            found.setdefault(name, one)
    return dict(sorted(found.items()))


def _checkout(distribution: metadata.Distribution) -> Path | None:
    """The folder that an editable install points to."""
    link = json.loads(distribution.read_text("direct_url.json") or "{}")
    if link.get("dir_info", {}).get("editable"):
        return Path(url2pathname(urlsplit(link["url"]).path))
    # Python that was started inside the checkout finds what the build left there.
    beside = Path(str(distribution.locate_file("")))
    return beside if (beside / "setup.cfg").is_file() else None


def _declared(checkout: Path) -> Lines | None:
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


def _told(entries: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{group.removeprefix('sm3kit.')}/{name}" for group, name in entries)

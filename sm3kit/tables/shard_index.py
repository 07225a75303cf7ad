"""The index of a tar shard: beside it, in the cache, or made anew."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from glob import escape, glob
from itertools import product
from pathlib import Path
from typing import Any

from sm3kit.core.errors import DataError, SM3Error
from sm3kit.core.files import cache_root, regular_file, whole_file
from sm3kit.core.members import Member, member_path
from sm3kit.core.plain_json import check_shape
from sm3kit.tables.shard_entry import FACTS_SHAPE, FORMAT, Entry, Shard
from sm3kit.tables.shard_listing import digest_of, make_index

BRACES = re.compile(r"\{([^{}]*)\}")
SPAN = re.compile(r"(\d+)\.\.(\d+)")
WILD = re.compile(r"[*?[]")
INDEX_REMEDY = "Delete it: the shard is then listed anew."


def open_shard(path: Path) -> Shard:
    """The studies of a shard, from the index beside it, else from the cache, else from its headers.

    The index beside it counts if the JSON files in the shard are those that it was made of.

    Raises:
        DataError: the shard or its index is missing, damaged or truncated, or a study has no JSON
            file, or one that cannot be understood.
    """
    file = regular_file(path, "shard", "Copy it here, or name only the shards that are.", DataError)
    state = file.stat()
    beside = index_file(path)
    if beside.exists():
        index = _read(beside)
        if index["bytes"] != state.st_size:
            raise DataError(
                f"{path} has {state.st_size:,} bytes, but {index['bytes']:,} by its index "
                f"{beside.name}: one of them is truncated, or of another copy. Copy both again, or "
                "delete the index: the shard is then listed anew."
            )
        if _belongs(path, state, index):
            return _shard(path, index, beside)
    cached = _cached(path, state)
    if cached.exists():
        try:
            shard = _shard(path, _read(cached), cached)
        except DataError:  # Damaged in the cache; it is made again.
            with suppress(OSError):
                cached.unlink()
        else:
            _use(cached)
            return shard
    index = make_index(path)
    with suppress(SM3Error):  # A full disk costs another listing, not the training.
        write_index(cached, index)
    return _shard(path, index, cached)


def _cached(path: Path, state: os.stat_result, more: str = "") -> Path:
    """Where the cache keeps what is known of a shard until it changes."""
    facts = f"{FORMAT} {os.path.realpath(path)} {state.st_size} {state.st_mtime_ns} {more}".rstrip()
    name = hashlib.blake2b(facts.encode(), digest_size=20).hexdigest()
    return cache_root() / "shards" / f"{name}.json"


def _use(cached: Path) -> None:
    with suppress(OSError):  # A folder of somebody else.
        os.utime(cached)


def _belongs(path: Path, state: os.stat_result, index: Mapping[str, Any]) -> bool:
    """Whether an index was made of this shard; they are compared once, until one of them changes."""
    try:
        digest, places = index["digest"], index["digested"]
        compared = _cached(path, state, str(digest))
        if compared.exists():
            _use(compared)
            return True
        if digest_of(path, places) != digest:
            return False
    # Of an older sm3kit, or the shard is damaged.
    except (OSError, KeyError, TypeError, ValueError):
        return False
    with suppress(SM3Error), whole_file(compared, lasting=False) as part:
        part.write_text(json.dumps(digest), encoding="utf-8")
    return True


def index_file(path: Path) -> Path:
    """Where the index of a shard lies beside it."""
    return path.with_name(f"{path.name}.json")


def write_index(file: Path, index: Mapping[str, Any]) -> None:
    """Writes an index: whole, and equal bytes for equal shards."""
    with whole_file(file) as part:
        part.write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")


def _read(file: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads(file.read_bytes())
        if index["format"] == FORMAT and isinstance(index["bytes"], int):
            return index
        reason = f"its format is {index['format']!r}, not {FORMAT}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
    raise _not_an_index(file, reason)


def _shard(path: Path, index: Mapping[str, Any], file: Path) -> Shard:
    try:
        if index["facts"] is not None:
            check_shape(index["facts"], FACTS_SHAPE, "facts")
        entries = [
            Entry(
                f"{path}, {key}.json",
                key,
                dict(facts),
                {name: _paths(path, key, rows) for name, rows in images.items()},
            )
            for key, facts, images in index["studies"]
        ]
        return Shard(path, index["facts"], entries, index["unused"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _not_an_index(file, f"{type(error).__name__}: {error}") from error


def _paths(path: Path, key: str, rows: Sequence[Sequence[Any]]) -> tuple[str, ...]:
    paths = []
    for ending, start, size, part in rows:
        member = member_path(path, Member(f"{key}.{ending}", int(start), int(size)))
        paths.append(f"{member}#{part}" if part else member)
    return tuple(paths)


def _not_an_index(file: Path, reason: str) -> SM3Error:
    return DataError(f"{file} is damaged, or is not an index of a shard: {reason}. {INDEX_REMEDY}")


def matching_files(pattern: str, within: str) -> list[Path]:
    """The files that a pattern stands for, each once, in order; those of `*` are there and sorted.

    Args:
        pattern: of a path, with `*`, `?`, `[...]`, and braces: `{00..12}` for numbers,
            `{train,val}` for words. A folder that is there counts as it is written.
        within: what files of a folder are meant, where the path is one: `*.tar`.
    """
    path = Path(pattern).expanduser()
    if path.is_file():
        return [path]
    folder = next((place for place in (path, *path.parents) if place.is_dir()), Path())
    parts = BRACES.split(str(path.relative_to(folder)))
    choices = [[text] if number % 2 == 0 else _inside(text) for number, text in enumerate(parts)]
    texts = ["".join(chosen) for chosen in product(*choices)]
    return list(dict.fromkeys(file for text in texts for file in _globbed(folder, text, within)))


def _inside(text: str) -> list[str]:
    """What stands for braces with a text: numbers as wide as the first if it begins with 0."""
    span = SPAN.fullmatch(text)
    if span is None:
        return text.split(",")
    first, last = span.groups()
    width = len(first) if first.startswith("0") else 0
    return [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]


def _globbed(folder: Path, text: str, within: str) -> list[Path]:
    path = folder / Path(text).expanduser()
    if path.is_dir():
        folder, text = path, within
    elif path.exists() or not WILD.search(text):
        return [path]
    found = glob(str(Path(escape(str(folder)), text)))  # noqa: PTH207  absolute, or not, as written
    return sorted(file for file in map(Path, found) if not file.name.startswith("."))

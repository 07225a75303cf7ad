"""The index of a tar shard: beside it, in the cache, or made from its headers."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from glob import glob
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sm3kit.core.errors import DataError, SM3Error
from sm3kit.core.files import cache_root, regular_file, whole_file
from sm3kit.core.members import AGAIN, Member, member_path, scan
from sm3kit.core.plain_json import check_shape, parse
from sm3kit.tables.shard_entry import FACTS, FACTS_SHAPE, FORMAT, STUDY_SHAPE, Entry, Shard

KEY = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)", re.DOTALL)  # As webdataset cuts a name.
NUMBERED = re.compile(r"([^.]+)(?:\.(\d+))?\.(\D[^.]*(?:\.[^.]+)*)")
BRACES = re.compile(r"\{([^{}]*)\}")
SPAN = re.compile(r"(\d+)\.\.(\d+)")
WILD = re.compile(r"[*?[]")
INDEX_REMEDY = "Delete it: the shard is then listed anew."


def open_shard(path: Path) -> Shard:
    """The studies of a shard, from the index beside it, else from the cache, else from its headers.

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
        return _shard(path, index, beside)
    facts = f"{FORMAT} {os.path.realpath(path)} {state.st_size} {state.st_mtime_ns}"
    cached = (
        cache_root()
        / "shards"
        / f"{hashlib.blake2b(facts.encode(), digest_size=20).hexdigest()}.json"
    )
    if cached.exists():
        try:
            shard = _shard(path, _read(cached), cached)
        except DataError:  # Damaged in the cache; it is made again.
            with suppress(OSError):
                cached.unlink()
        else:
            with suppress(OSError):  # A folder of somebody else.
                os.utime(cached)
            return shard
    index = make_index(path)
    with suppress(SM3Error):  # A full disk costs another listing, not the training.
        write_index(cached, index)
    return _shard(path, index, cached)


def index_file(path: Path) -> Path:
    """Where the index of a shard lies beside it."""
    return path.with_name(f"{path.name}.json")


def write_index(file: Path, index: Mapping[str, Any]) -> None:
    """Writes an index: whole, and equal bytes for equal shards."""
    with whole_file(file) as part:
        part.write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")


def make_index(path: Path) -> dict[str, Any]:
    """The index of a shard, made from its headers and the JSON file of each study.

    Raises:
        DataError: as `open_shard`.
    """
    facts, unused = None, 0
    samples: dict[str, dict[str, Member]] = {}
    texts: dict[str, bytes] = {}
    for member, content in scan(path, lambda name: name.endswith(".json")):
        if member.name == FACTS:
            facts = _parsed(path, FACTS, content, FACTS_SHAPE)
        elif found := KEY.fullmatch(member.name):
            samples.setdefault(found[1], {})[found[2]] = member
            if found[2] == "json":
                texts[found[1]] = content
        else:
            unused += 1
    studies = []
    for key, members in samples.items():
        if key not in texts:
            raise DataError(
                f"{path} has no {key}.json beside {next(iter(members.values())).name}. Add one; {{}} "
                "is enough for a study without labels."
            )
        study = _parsed(path, f"{key}.json", texts[key], STUDY_SHAPE)
        images, others = _images(path, key, members, study.pop("images", None))
        unused += others
        kept = {
            name: study[name]
            for name in ("id", "group", "split", "labels", "weak")
            if name in study
        }
        studies.append([key, kept, images])
    size = path.stat().st_size
    return {"format": FORMAT, "bytes": size, "unused": unused, "facts": facts, "studies": studies}


def _images(
    path: Path, key: str, members: Mapping[str, Member], named: Mapping[str, Sequence[str]] | None
) -> tuple[dict[str, list[list[Any]]], int]:
    """{modality: [[ending, start, bytes, part]]} of a study, and how many members are no image."""
    if named is None:
        named = _by_name(members)
    images: dict[str, list[list[Any]]] = {}
    used = {"json"}
    for modality, names in named.items():
        for name in names:
            ending, _, part = name.partition("#")
            if ending not in members:
                raise DataError(
                    f"{path}: {key}.json names the image {key}.{ending}, which is not there. {AGAIN}"
                )
            used.add(ending)
            member = members[ending]
            images.setdefault(modality, []).append([ending, member.start, member.size, part])
    return images, len(members.keys() - used)


def _by_name(members: Mapping[str, Member]) -> dict[str, list[str]]:
    """{modality: endings} of members such as KEY.derm.jpg, or KEY.clinic.0.jpg and KEY.clinic.1.jpg."""
    found = [match for ending in members if (match := NUMBERED.fullmatch(ending))]
    named: dict[str, list[str]] = {}
    for match in sorted(found, key=lambda match: int(match[2] or 0)):
        named.setdefault(unquote(match[1]), []).append(match[0])
    return named


def _parsed(path: Path, name: str, content: bytes, shape: Any) -> dict[str, Any]:
    try:
        value: dict[str, Any] = parse(content.decode("utf-8-sig"))
        check_shape(value, shape)
    except (DataError, UnicodeDecodeError) as error:
        why = "it is not UTF-8 text." if isinstance(error, UnicodeDecodeError) else error
        raise DataError(f"{path}: the member {name} cannot be understood: {why}") from error
    if value.get("format", FORMAT) != FORMAT and shape is FACTS_SHAPE:
        raise DataError(f"{path} was packed by a newer sm3kit. Update this one.")
    return value


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
            `{train,val}` for words.
        within: what files of a folder are meant, where the path is one: `*.tar`.
    """
    parts = BRACES.split(pattern)
    choices = [[text] if number % 2 == 0 else _inside(text) for number, text in enumerate(parts)]
    texts = ["".join(chosen) for chosen in product(*choices)]
    return list(dict.fromkeys(file for text in texts for file in _globbed(text, within)))


def _inside(text: str) -> list[str]:
    """What stands for braces with a text: numbers as wide as the first if it begins with 0."""
    span = SPAN.fullmatch(text)
    if span is None:
        return text.split(",")
    first, last = span.groups()
    width = len(first) if first.startswith("0") else 0
    return [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]


def _globbed(text: str, within: str) -> list[Path]:
    path = Path(text).expanduser()
    path = path / within if path.is_dir() else path
    if path.exists() or not WILD.search(str(path)):
        return [path]
    files = [Path(name) for name in glob(str(path))]  # noqa: PTH207  absolute, or not, as written
    return sorted(file for file in files if not file.name.startswith("."))

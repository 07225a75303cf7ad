"""The index of a tar shard is made from its headers and the JSON file of each study."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sm3kit.core.errors import DataError
from sm3kit.core.members import AGAIN, BLOCK, Member, scan
from sm3kit.core.plain_json import check_shape, parse
from sm3kit.tables.shard_entry import FACTS, FACTS_SHAPE, FORMAT, STUDY_SHAPE

KEY = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)", re.DOTALL)  # As webdataset cuts a name.
NUMBERED = re.compile(r"([^.]+)(?:\.(\d+))?\.(\D[^.]*(?:\.[^.]+)*)")


def make_index(path: Path) -> dict[str, Any]:
    """The index of a shard, made from its headers and the JSON file of each study.

    Raises:
        DataError: as `open_shard`.
    """
    facts, unused, end = None, 0, 0
    samples: dict[str, dict[str, Member]] = {}
    texts: dict[str, bytes] = {}
    digested = []  # The headers and contents of JSON files, and what follows the last member.
    for member, content in scan(path, lambda name: name.endswith(".json")):
        end = member.start + -(-member.size // BLOCK) * BLOCK
        if member.name.endswith(".json"):
            digested.append([member.start - BLOCK, BLOCK + member.size])
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
    digested.append([end, BLOCK])
    made_of = {"digest": digest_of(path, digested), "digested": digested}
    size = path.stat().st_size
    known = {"format": FORMAT, "bytes": size, "unused": unused, "facts": facts, "studies": studies}
    return {**known, **made_of}


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


def _by_name(endings: Iterable[str]) -> dict[str, list[str]]:
    """{modality: endings} of members such as KEY.derm.jpg, or KEY.clinic.0.jpg and KEY.clinic.1.jpg."""
    found = [match for ending in endings if (match := NUMBERED.fullmatch(ending))]
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


def digest_of(path: Path, places: Iterable[Sequence[int]]) -> str:
    """The digest of the bytes at some places, [start, count], of a file.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=20)
    with path.open("rb") as stream:
        for start, count in places:
            stream.seek(start)
            digest.update(stream.read(count))
    return digest.hexdigest()

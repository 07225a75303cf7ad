"""YAML of tables, lists, texts and numbers alone, within limits: all YAML is read here."""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sm3kit.core.errors import DataError, SM3Error, VariantError
from sm3kit.core.files import regular_file
from sm3kit.core.names import unknown
from sm3kit.core.ranges import WHOLE
from sm3kit.core.text import in_units

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

LARGEST = 2**20  # Bytes of a file that somebody has written by hand.
LARGEST_RECORD = 2**26  # Bytes of a file that sm3kit has written: a grid of 10,000 runs has 20 MB.
DEEPEST = 32  # Tables and lists within each other.
BYTES_PER_VALUE = 8  # An alias counts as all that it stands for.
LONGEST_NUMBER = 400  # Characters.
KEY, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
# A date stays the text that it is, and so does a lone equals sign.
LEFT_AS_TEXT = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(file: Path, noun: str, error: type[SM3Error], largest: int = LARGEST) -> Any:
    """The content of a YAML file.

    Args:
        file: where it is.
        noun: what it should be, for the message: "recipe file".
        error: the class of what is raised where the file cannot be opened.
        largest: bytes that it may have.

    Raises:
        SM3Error: of the given class; there is no regular file.
        DataError: it is no YAML, or beyond the limits; the message does not name the file.
    """
    _check_size(regular_file(file, noun, error=error).stat().st_size, largest)
    return parse(file.read_bytes(), largest)


def parse(content: bytes, largest: int = LARGEST) -> Any:
    """The tables, lists, texts and numbers of YAML; names of a table are always text.

    Args:
        content: of a file.
        largest: bytes that it may have; it may hold an eighth as many values.

    Raises:
        DataError: what it is no YAML for, in a sentence.
    """
    _check_size(len(content), largest)
    text = _decode(content)
    try:
        _check(text, largest // BYTES_PER_VALUE)
        return yaml.load(text, _Plain)
    except yaml.YAMLError as error:
        raise DataError(_sentence(error)) from error


def built_in(folder: Traversable) -> list[str]:
    """The names of the files in a folder of the package, sorted."""
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_named(noun: str, name: str, folder: Traversable) -> Any:
    """The content of a built-in file, or of a user's.

    Args:
        noun: what it is, for messages: "recipe" or "grid".
        name: of a built-in file, or a path.
        folder: of the built-in ones.

    Raises:
        VariantError: no such name or file, no valid YAML, or a name that stands there twice.
    """
    names = built_in(folder)
    try:
        if name in names:
            return parse((folder / f"{name}.yaml").read_bytes())
        if os.path.lexists(name):
            return read(Path(name), f"{noun} file", VariantError)
    except DataError as error:
        raise VariantError(f"{noun.capitalize()} {name!r} is not valid YAML: {error}") from error
    if name.endswith((".yaml", ".yml")):
        raise VariantError(f"No {noun} file {name!r}. Built-in {noun}s: {', '.join(names)}.")
    raise VariantError(unknown(noun, name, names) + " Or give a .yaml file.")


def _check_size(size: int, largest: int) -> None:
    if size > largest:
        raise DataError(f"it has {in_units(size)}, and {in_units(largest)} are allowed.")


def _decode(content: bytes) -> str:
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"line {line} is not UTF-8 text. Save it as UTF-8.") from error


def _sentence(error: Exception) -> str:
    """What a library says, without its drawing of the place."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = getattr(error, "problem", None) or str(error)
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    said = " ".join(str(said).replace('in "<unicode string>", ', "").split())
    return f"{said}{place}".removesuffix(".") + "."


class _Count:
    """The values of a text so far: in all, in what is open, and of each anchor."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.total = 0
        self.open: list[tuple[str | None, int]] = []
        self.of_anchor: dict[str, int] = {}

    def add(self, values: int, line: int) -> None:
        self.total += values
        if self.total > self.most:
            raise yaml.YAMLError(
                f"it holds more than {self.most:,} values, with aliases expanded (line {line})"
            )

    def begin(self, anchor: str | None, line: int) -> None:
        if len(self.open) == DEEPEST:
            raise yaml.YAMLError(f"more than {DEEPEST} tables and lists are nested (line {line})")
        self.of_anchor.pop(anchor or "", None)
        self.open.append((anchor, self.total))

    def end(self) -> None:
        anchor, before = self.open.pop()
        if anchor:
            self.of_anchor[anchor] = self.total - before + 1

    def alias(self, anchor: str, line: int) -> None:
        if any(anchor == name for name, _ in self.open) and anchor not in self.of_anchor:
            raise yaml.YAMLError(f"the alias *{anchor} refers to itself (line {line})")
        self.add(self.of_anchor.get(anchor, 1), line)


def _check(text: str, most: int) -> None:
    """Refuses what would take too long or too deep to build, before anything of it is built."""
    count, documents = _Count(most), 0
    event: Any
    for event in yaml.parse(text, _Plain):
        line = event.start_mark.line + 1
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise yaml.YAMLError(f"it holds several documents (line {line})")
        if isinstance(event, yaml.CollectionEndEvent):
            count.end()
        elif isinstance(event, yaml.AliasEvent):
            count.alias(str(event.anchor), line)
        elif isinstance(event, yaml.NodeEvent):
            _check_node(event, line)
            count.add(1, line)
            if isinstance(event, yaml.CollectionStartEvent):
                count.begin(event.anchor, line)
            elif event.anchor:
                count.of_anchor[event.anchor] = 1


def _check_node(event: Any, line: int) -> None:
    if event.tag is not None:
        raise yaml.YAMLError(f"the tag {event.tag!r} is not allowed (line {line})")
    if isinstance(event, yaml.ScalarEvent) and not event.value.isascii():
        if any("\ud800" <= letter <= "\udfff" for letter in event.value):
            raise yaml.YAMLError(f"an unpaired Unicode surrogate is in line {line}")
    elif isinstance(event, yaml.ScalarEvent) and "\0" in event.value:
        raise yaml.YAMLError(f"a NUL is in line {line}")


def _number(loader: Any, node: Any) -> int | float:
    """A number of 64 bits; infinite where it is written so."""
    line = node.start_mark.line + 1
    whole = node.tag.endswith("int")
    if len(node.value) > LONGEST_NUMBER:
        raise yaml.YAMLError(f"a number of {len(node.value)} characters is in line {line}")
    make = loader.construct_yaml_int if whole else loader.construct_yaml_float
    try:
        number: int | float = make(node)
    except (ValueError, OverflowError):
        raise yaml.YAMLError(f"{node.value[:40]!r} in line {line} is not a number") from None
    if whole and not WHOLE.holds(number):
        raise yaml.YAMLError(f"the number {node.value[:40]} in line {line} is beyond 64 bits")
    return number


class _Plain(_Loader):  # type: ignore[misc]
    """Takes names as they are written, and refuses two of one name, of which YAML takes the last."""

    yaml_implicit_resolvers = {  # PyYAML's own way of settings.
        first: [(tag, form) for tag, form in forms if tag not in LEFT_AS_TEXT]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {
        **yaml.SafeLoader.yaml_constructors,
        "tag:yaml.org,2002:int": _number,
        "tag:yaml.org,2002:float": _number,
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key.value, str):
                raise yaml.YAMLError(f"a name in line {line} is not a word or a number")
            if key.value in seen:
                raise yaml.YAMLError(
                    f"{key.value!r} is there twice, the second time in line {line}"
                )
            seen.add(key.value)
        self.flatten_mapping(node)
        for key, _ in node.value:
            key.tag = KEY
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]

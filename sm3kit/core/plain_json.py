"""JSON within limits, and the shape that a record must have before anybody looks into it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sm3kit.core.errors import DataError, SM3Error
from sm3kit.core.files import regular_file
from sm3kit.core.ranges import WHOLE

DEEPEST = 64  # Tables and lists within each other.
LONGEST_WHOLE = 20  # Digits and sign of a number of 64 bits.
NUMBER = (int, float)
# A type, several, [the shape of each], or {name: shape}; "name?" may be missing, "*" is any name.
Shape = Any
WORDS = {dict: "a table", list: "a list", str: "a text", bool: "true or false"}
WORDS |= {int: "a number", float: "a number", type(None): "null"}


def read(file: Path, noun: str, remedy: str, shape: Shape, error: type[SM3Error]) -> Any:
    """The content of a JSON file.

    Args:
        file: where it is.
        noun: what it should be, for messages: "record of an evaluation".
        remedy: what a user can do if it is not, a sentence.
        shape: see `check_shape`.
        error: the class of what is raised.

    Raises:
        SM3Error: of the given class; it is missing, damaged or of another shape.
    """
    content = regular_file(file, noun, remedy, error).read_bytes()
    try:
        value = parse(content.decode("utf-8-sig"))
        check_shape(value, shape)
    except (DataError, UnicodeDecodeError) as cause:
        why = "it is not UTF-8 text." if isinstance(cause, UnicodeDecodeError) else cause
        article = "an" if noun[0] in "aeiou" else "a"
        raise error(f"{file} is damaged, or is not {article} {noun}: {why} {remedy}") from cause
    return value


def parse(text: str) -> Any:
    """The value of a JSON text; numbers may be NaN or infinite, as Python writes them.

    Raises:
        DataError: what it is not JSON for, in a sentence.
    """
    try:
        value = json.loads(text, parse_int=_whole)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise DataError(f"it is not JSON: {str(error).removesuffix('.')}.") from error
    level = [value]
    for _ in range(DEEPEST):
        level = [part for above in level for part in _parts(above)]
        if not level:
            return value
    raise _too_deep()


def check_shape(value: Any, shape: Shape, place: str = "") -> None:
    """Makes sure that a value is built as it should be.

    Args:
        value: tables, lists, texts and numbers.
        shape: a type, a tuple of types, `[shape]` for a list, or `{name: shape}` for a table, in
            which `"name?"` may be missing and `"*"` stands for all other names.
        place: of the value, for messages: "mean.auc".

    Raises:
        DataError: a part is missing or of another kind.
    """
    kinds, inside = _kinds(shape), value
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(dict.fromkeys(WORDS[kind] for kind in kinds))
        raise DataError(f"{place or 'it'} is not {wanted}, but {_quote(value)}.")
    if isinstance(shape, list):
        for number, part in enumerate(inside):
            check_shape(part, shape[0], f"{place}[{number}]")
    if isinstance(shape, Mapping):
        _check_table(inside, shape, place)


def _check_table(table: Mapping[str, Any], shape: Mapping[str, Shape], place: str) -> None:
    above = f"{place}." if place else ""
    for name, inner in shape.items():
        bare = name.removesuffix("?")
        if bare in table:
            check_shape(table[bare], inner, above + bare)
        elif name == bare != "*":
            raise DataError(f"it has no {above}{bare}.")
    for name in table if "*" in shape else ():
        if not {name, f"{name}?"} & shape.keys():
            check_shape(table[name], shape["*"], above + name)


def _kinds(shape: Shape) -> tuple[type, ...]:
    if isinstance(shape, list | Mapping):
        return (list,) if isinstance(shape, list) else (dict,)
    return shape if isinstance(shape, tuple) else (shape,)


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _quote(value: Any) -> str:
    return (
        repr(value) if isinstance(value, int | float) else WORDS.get(type(value), "something else")
    )


def _whole(text: str) -> int:
    if len(text) > LONGEST_WHOLE or not WHOLE.holds(int(text)):
        raise ValueError(f"the number {text[:40]} is beyond 64 bits")
    return int(text)


def _too_deep() -> DataError:
    return DataError(f"more than {DEEPEST} tables and lists are nested.")

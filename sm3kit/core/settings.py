"""Records of settings: tables laid over them, and single settings by their address."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from sm3kit.core.errors import OptionError, VariantError
from sm3kit.core.names import unknown
from sm3kit.core.options import convert, fields_of

Record = TypeVar("Record")


def lay_over(
    record: Record,
    changes: Mapping[str, Any],
    source: str,
    noun: str = "setting",
    above: str = "",
    known: tuple[str, ...] = (),
) -> Record:
    """A copy of a record with a table of settings laid over it.

    A field that is a record itself takes a table, a table of tables is merged owner by owner,
    another table setting by setting, and all else is converted to the type of the field.

    Args:
        record: a dataclass.
        changes: field names and values, text or typed.
        source: where they come from, for messages.
        noun: what messages call a field.
        above: the address of the record in another one, with a dot behind it.
        known: the addresses that messages list; those of the record by default.

    Raises:
        VariantError: an unknown field, or a value that must be a table.
        OptionError: a value of another type or out of range.
    """
    record_type: type = type(record)
    fields = fields_of(record_type)
    known = known or addresses(record_type)
    values: dict[str, Any] = {}
    for name, value in changes.items():
        address = f"{above}{name}"
        if name not in fields and address in known:
            part, _, rest = address.rpartition(".")
            raise VariantError(
                f"{source}: {address} must be set in its table, {part}: {{{rest}: …}}."
            )
        if name not in fields:
            raise VariantError(f"{source}: {unknown(noun, address, known)}")
        kind, own = fields[name].type, getattr(record, name)
        is_record = dataclasses.is_dataclass(kind)
        if not is_record and typing.get_origin(kind) is not dict:
            option = dataclasses.replace(fields[name], name=address)
            values[name] = convert(option, value, source)
            continue
        if not isinstance(value, Mapping):
            raise VariantError(f"{source}: {address} must be a table, not {value!r}.")
        if is_record:
            values[name] = lay_over(own, value, source, noun, f"{address}.", known)
        elif typing.get_origin(typing.get_args(kind)[1]) is dict:
            values[name] = _merged(own, value, f"{source}: {address}")
        else:
            values[name] = {**own, **value}
    changed: Record = dataclasses.replace(record, **values)  # type: ignore[type-var]
    return changed


def _merged(
    base: Mapping[str, Mapping[str, Any]], more: Mapping[str, Any], source: str
) -> dict[str, dict[str, Any]]:
    """{owner: {setting: value}} with another such table laid over it, setting by setting."""
    merged = {owner: dict(values) for owner, values in base.items()}
    for owner, values in more.items():
        if not isinstance(values, Mapping):
            raise VariantError(f"{source} of {owner!r} must be a table, not {values!r}.")
        merged.setdefault(owner, {}).update(values)
    return merged


def refuse_unknown_owners(
    owners: Iterable[str],
    noun: str,
    known: Iterable[str],
    listed: Iterable[str] = (),
    advice: str = "",
) -> None:
    """Makes sure that options of the command line are those of something that is there.

    Args:
        owners: what options were given of.
        noun: what is known, for the message.
        known: names.
        listed: what else may stand before the dot on the command line, for the message.
        advice: what else to do, for the message.

    Raises:
        OptionError: an owner is not known.
    """
    names = set(known)
    for owner in owners:
        if owner not in names:
            message = f"Option -o {owner}.…: {unknown(noun, owner, {*names, *listed})}"
            raise OptionError(f"{message} {advice}".rstrip())


@functools.cache
def addresses(record_type: type) -> tuple[str, ...]:
    """The address of every field: `seed`, and `stage1.lr` where a field is a record itself."""
    names: list[str] = []
    for name, option in fields_of(record_type).items():
        is_record = dataclasses.is_dataclass(option.type)
        inner = addresses(typing.cast(type, option.type)) if is_record else ()
        names += [f"{name}.{part}" for part in inner] or [name]
    return tuple(names)


def by_address(record: Any) -> dict[str, Any]:
    """{address: value} of every field."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            values |= {f"{field.name}.{name}": inner for name, inner in by_address(value).items()}
        else:
            values[field.name] = value
    return values


def plain(value: Any) -> Any:
    """Lists, tables and values instead of tuples and mappings."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    return value

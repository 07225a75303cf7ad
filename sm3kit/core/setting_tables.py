"""Tables of settings: laid over each other, typed, and made plain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sm3kit.core.errors import VariantError
from sm3kit.core.names import unknown
from sm3kit.core.options import Option, convert


def merged(
    base: Mapping[str, Mapping[str, Any]], more: Mapping[str, Any], source: str
) -> dict[str, dict[str, Any]]:
    """{owner: {setting: value}} with another such table laid over it, setting by setting.

    Raises:
        VariantError: the settings of an owner are no table.
    """
    found = {owner: dict(values) for owner, values in base.items()}
    for owner, values in more.items():
        if not isinstance(values, Mapping):
            raise VariantError(f"{source} of {owner!r} want a table, not {values!r}.")
        found.setdefault(owner, {}).update(values)
    return found


def typed(
    table: Mapping[str, Mapping[str, Any]], known: Mapping[str, Option], source: str
) -> dict[str, dict[str, Any]]:
    """Settings of single modalities, checked and typed.

    Raises:
        VariantError: a setting that modalities do not have of their own.
        OptionError: a value of another type.
    """
    found: dict[str, dict[str, Any]] = {}
    for modality, settings in table.items():
        for name, value in settings.items():
            if name not in known:
                where = f"{source}: per_modality {modality}"
                raise VariantError(f"{where}: {unknown('setting', str(name), known)}")
            value = convert(known[name], value, f"{source} ({modality})")
            found.setdefault(modality, {})[name] = value
    return found


def plain(value: Any) -> Any:
    """Lists, tables and values instead of tuples and mappings."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    return value

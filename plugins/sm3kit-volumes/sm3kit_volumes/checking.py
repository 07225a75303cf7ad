"""Options of scans that are out of range."""

from __future__ import annotations

from sm3kit.api import OptionError


def check(option: str, value: object, wanted: str, holds: bool) -> None:
    """Refuses a value.

    Raises:
        OptionError: it does not hold; the message names option, value and what was wanted.
    """
    if not holds:
        raise OptionError(f"The option {option!r} of a scan wants {wanted}, not {value!r}.")

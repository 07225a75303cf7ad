"""Every answer is one line that a terminal shows as it is."""

from __future__ import annotations

import pytest

from sm3kit.core.errors import DataError, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Column 'é' of \U0001fa7a.", "Column 'é' of \U0001fa7a."),
        ("a\nb\r\nc", "a b c"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\u2028b", "a\\u2028b"),
        ("a\udcffb", "a\\udcffb"),
        ("x" * 299, "x" * 299),
        ("y " + "x" * 1_000_000 + " z", "y " + "x" * 150 + "…" + "x" * 100 + " z"),
    ],
)
def test_one_line(text: str, shown: str) -> None:
    assert one_line(text) == shown
    assert str(DataError(text)) == shown

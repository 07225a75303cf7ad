"""JSON within limits, and the shape of a record."""

import json
import os

import pytest

from sm3kit.core.errors import CheckpointError, DataError
from sm3kit.core.plain_json import NUMBER, check_shape, parse, read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is not JSON: Expecting value: line 1 column 1 (char 0)."),
        ("[1", "it is not JSON: Expecting ',' delimiter: line 1 column 3 (char 2)."),
        ("\0", "it is not JSON: Expecting value: line 1 column 1 (char 0)."),
        (str(2**63), "it is not JSON: the number 9223372036854775808 is beyond 64 bits."),
        ("9" * 5000, f"it is not JSON: the number {'9' * 40} is beyond 64 bits."),
        ("[" * 65 + "]" * 65, "more than 64 tables and lists are nested."),
        ("[" * 100_000, "more than 64 tables and lists are nested."),
        ('{"a":' * 5000 + "1" + "}" * 5000, "more than 64 tables and lists are nested."),
    ],
)
def test_what_is_no_json(text, said):
    with pytest.raises(DataError) as caught:
        parse(text)
    assert str(caught.value) == said


@pytest.mark.parametrize("text", ["NaN", "[1.5, -9223372036854775808]", "[" * 64 + "]" * 64, '"é"'])
def test_what_is_json(text):
    # As text: NaN is not equal to itself.
    assert repr(parse(text)) == repr(json.loads(text))


SHAPE = {"name": str, "auc?": (*NUMBER, type(None)), "rows": [{"*": int}]}
GOOD = {"name": "a", "rows": [{"x": 1}]}


@pytest.mark.parametrize("more", [{}, {"auc": None}, {"auc": 0.5}, {"rows": []}, {"other": 3}])
def test_what_has_the_shape(more):
    content = GOOD | more
    check_shape(content, SHAPE)
    assert content == GOOD | more


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "it is not a table, but a list."),
        ({"rows": []}, "it has no name."),
        (GOOD | {"name": 5}, "name is not a text, but 5."),
        (GOOD | {"auc": "high"}, "auc is not a number or null, but a text."),
        (GOOD | {"auc": True}, "auc is not a number or null, but True."),
        (GOOD | {"rows": {}}, "rows is not a list, but a table."),
        (GOOD | {"rows": [{"x": 1}, 2]}, "rows[1] is not a table, but 2."),
        (GOOD | {"rows": [{"x": None}]}, "rows[0].x is not a number, but null."),
    ],
)
def test_what_has_another_shape(value, said):
    with pytest.raises(DataError) as caught:
        check_shape(value, SHAPE)
    assert str(caught.value) == said


def refusal(file):
    with pytest.raises(CheckpointError) as caught:
        read(file, "record", "Write it again.", SHAPE, CheckpointError)
    return str(caught.value)


def test_a_file(tmp_path):
    file = tmp_path / "one.json"
    assert refusal(file) == f"There is no record {file}. Write it again."
    file.write_bytes(b"\xff\xfe")
    assert refusal(file) == (
        f"{file} is damaged, or is not a record: it is not UTF-8 text. Write it again."
    )
    file.write_text("[]")
    assert refusal(file) == (
        f"{file} is damaged, or is not a record: it is not a table, but a list. Write it again."
    )
    file.write_text('{"name": "a", "rows": []}')
    assert read(file, "record", "", SHAPE, CheckpointError) == {"name": "a", "rows": []}
    file.unlink()
    os.mkfifo(file)
    assert refusal(file) == f"{file} is a named pipe, not a record. Write it again."

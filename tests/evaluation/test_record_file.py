"""The record of an evaluation: what was written is read, and what is damaged is said."""

import copy
import json

import pytest
from violations import violations

from sm3kit.core.errors import DataError
from sm3kit.evaluation.record_file import read_record

METRICS = {"auc": 0.5, "sens": None, "spec": 1, "prec": 0.0, "intervals": {"auc": [None, 0.6]}}
RECORD = {
    **dict.fromkeys(("protocol", "split", "select", "data_hash", "scope"), "x"),
    **dict.fromkeys(("leaky", "transfer"), False),
    **dict.fromkeys(("options", "settings", "machine", "studies", "map", "chosen"), {}),
    **dict.fromkeys(("cases", "groups", "resamples", "trained_on", "trainable_parameters"), 1),
    "data": ["synthetic"],
    "notes": [],
    "seeds": [0],
    "of": {"model": "x", "stage": "mlssl", "recipe": [], "splits": [], "data": []},
    "labels": {"DIAG": {**METRICS, "support": {}}},
    "mean": METRICS,
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "probe-test.json"
    path.write_text(json.dumps(RECORD), "utf-8")
    return path


def test_a_record(file):
    assert read_record(file) == RECORD


def test_another_value(file):
    """It is taken where it does no harm, and else said."""

    def read(name, value):
        file.write_text(json.dumps({**RECORD, name: value}), "utf-8")
        try:
            assert isinstance(read_record(file)[name], type(RECORD[name]))
        except DataError as error:
            assert str(error).startswith(
                f"{file} is damaged, or is not a record of an evaluation: "
            )
            assert name in str(error)
            assert str(error).endswith(" Evaluate again.")

    values = [None, 5, "text", [{}], {"a": "b"}, {"a": {"auc": "high"}}]
    assert violations(read, [(name, value) for name in RECORD for value in values]) == []


def test_what_is_missing(file):
    def read(name):
        rest = copy.deepcopy(RECORD)
        del rest[name]
        file.write_text(json.dumps(rest), "utf-8")
        with pytest.raises(DataError, match=f"it has no {name}"):
            read_record(file)

    assert violations(read, [(name,) for name in RECORD]) == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"5", b"\xff", b"\0", b"[" * 100_000, b"9" * 5000, b'{"a":' * 500]
)
def test_what_is_damaged(content, file):
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_record(file, "Delete it.")
    assert str(caught.value).startswith(f"{file} is damaged, or is not a record of an evaluation: ")
    assert str(caught.value).endswith(" Delete it.")

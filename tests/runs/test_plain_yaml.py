"""YAML of every kind of harm, in the roles in which it is read; each gets one line, and soon."""

import time
import warnings

import pytest
import yaml
from hostile_yaml import VALUES, hostile_yaml, laughs, merges, whole_files
from violations import violations

from sm3kit.core.errors import CheckpointError, DataError, SM3Error, VariantError
from sm3kit.core.variant import Variant
from sm3kit.grids import grid
from sm3kit.runs import plain_yaml, recipes
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.record import RunRecord, versions

LONGEST = 2.0  # Seconds for one file, on a busy machine.


def answer(make):
    """What a call says, in one line; nothing if it takes what it got."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            make()
            said = ""
        except SM3Error as error:
            said = str(error)
    assert time.process_time() - start < 5 * LONGEST
    assert "\n" not in said
    assert len(said) < 200_000
    return said


READERS = {
    "recipe": lambda file: recipes.resolve(recipes.Layer({"recipe": file})),
    "grid": grid.load,
}


@pytest.mark.parametrize("role", READERS)
def test_hostile_files(role, tmp_path, monkeypatch):
    """Over two hundred for each role; what is taken is only what is plain."""
    monkeypatch.chdir(tmp_path)
    files = hostile_yaml(role)
    assert len(files) > 200
    answers = {}
    for name, content in files.items():
        file = tmp_path / f"{name}.yaml"
        file.write_bytes(content)
        answers[name] = answer(lambda file=file: READERS[role](str(file)))
    refused = [name for name, said in answers.items() if said]
    assert len(refused) > 150
    assert not (tmp_path / "hostile").exists()
    for name in ("laughs", "merges", "brackets", "too-large", "many-values", "documents", "nul"):
        assert "is not valid YAML: " in answers[name]


@pytest.mark.parametrize("name", ["laughs", "merges", "list", "text", "nuls", "empty", "documents"])
def test_a_record_of_a_run(name, tmp_path):
    run = RunFolder(tmp_path)
    run.variant_file.write_bytes(whole_files()[name])
    with pytest.raises(CheckpointError, match=r"variant\.yaml is not a valid record of a run: "):
        run.record()


@pytest.mark.parametrize("name", ["data_hash", "hardware", "plugin_files", "versions", "stage1"])
def test_a_record_with_another_value(name, tmp_path):
    run = RunFolder(tmp_path)
    RunRecord(Variant(), "0" * 16, {"device": "CPU"}, versions()).write(run.variant_file)
    record = yaml.safe_load(run.variant_file.read_text())
    record.pop(name, None)
    others = yaml.safe_dump(record)

    def read(value):
        run.variant_file.write_text(f"{others}{name}: {value}\n", encoding="utf-8")
        said = answer(run.record)
        assert not said or said.startswith(f"{run.variant_file} is not a valid record of a run: ")

    assert violations(read, [(text,) for text in VALUES.values() if len(text) < 9999]) == []


def test_a_record_is_read_again(tmp_path):
    run = RunFolder(tmp_path)
    written = RunRecord(Variant(seed=3), "0" * 16, {"device": "CPU"}, versions())
    written.write(run.variant_file)
    assert run.record() == written


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2020-01-01", {"a": "2020-01-01"}),
        ("a: =", {"a": "="}),
        ("no: 1\n1: 2\n~: 3", {"no": 1, "1": 2, "~": 3}),
        ("a: &a [1]\nb: *a", {"a": [1], "b": [1]}),
        ("a: {<<: {x: 1, y: 1}, x: 2}", {"a": {"x": 2, "y": 1}}),
        ("a: -9223372036854775808", {"a": -(2**63)}),
        ("a: [.inf, 1.5, true]", {"a": [float("inf"), 1.5, True]}),
        ("\ufeffa: é", {"a": "é"}),
        ("", None),
    ],
)
def test_what_is_plain(text, value):
    assert plain_yaml.parse(text.encode()) == value
    assert plain_yaml.parse(text.encode("utf-16")) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 9223372036854775808", "the number 9223372036854775808 in line 1 is beyond 64 bits."),
        ("\na: 1" + "0" * 400, "a number of 401 characters is in line 2."),
        ("a: 0b_", "'0b_' in line 1 is not a number."),
        ("a: 1\na: 2", "'a' is there twice, the second time in line 2."),
        ("1: 1\n'1': 2", "'1' is there twice, the second time in line 2."),
        ("[1]: 1", "a name in line 1 is not a word or a number."),
        ("a: !!int foo", "the tag 'tag:yaml.org,2002:int' is not allowed (line 1)."),
        ("a: 1\n---\nb: 2", "it holds several documents (line 2)."),
        ("a: &x\n- *x", "the alias *x refers to itself (line 2)."),
        ("a: *x", "found undefined alias (line 1, column 4)."),
        ('a: "\\0"', "a NUL is in line 1."),
        ("[" * 33 + "]" * 33, "more than 32 tables and lists are nested (line 1)."),
        (laughs(), "it holds more than 131,072 values, with aliases expanded (line 6)."),
        (merges(), "it holds more than 131,072 values, with aliases expanded (line 6)."),
    ],
)
def test_what_is_said(text, said):
    with pytest.raises(DataError) as caught:
        plain_yaml.parse(text.encode())
    assert str(caught.value) == said


def test_text_that_is_not_utf_8_names_its_line():
    with pytest.raises(DataError, match=r"^line 2 is not UTF-8 text\. Save it as UTF-8\.$"):
        plain_yaml.parse(b"a: 1\nb: \xe9\n")


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    """Its size is looked up; 100 GB of nothing take no time."""
    file = tmp_path / "large.yaml"
    with file.open("wb") as handle:
        handle.truncate(100 * 10**9)
    said = answer(lambda: grid.load(str(file)))
    assert said.endswith("is not valid YAML: it has 93 GiB, and 1.0 MiB are allowed.")


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(VariantError) as caught:
        recipes.load(str(tmp_path))
    assert str(caught.value) == f"{tmp_path} is a folder, not a recipe file. Check the path."


@pytest.mark.parametrize("value", ["5", "[a]", "{a: 1}", ".nan", "2020-01-01"])
@pytest.mark.parametrize("name", ["data", "base"])
def test_what_chooses_the_base_of_a_recipe_is_a_name(name, value, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(f"{name}: {value}\n", encoding="utf-8")
    said = answer(lambda: recipes.resolve(recipes.Layer({"recipe": str(file)})))
    if name == "base":
        assert "base must be the name of a recipe" in said or "No recipe named" in said

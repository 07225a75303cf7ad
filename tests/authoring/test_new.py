"""`sm3kit plugins new` writes distributions that work as they are, for every family."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from scaffolds import NOUNS, write_with_longest_names

from sm3kit.authoring.scaffold import FILES, plan, write
from sm3kit.cli.main import cli
from sm3kit.core.errors import NameClash, OptionError, SM3Error, UnknownName

ROOT = Path(__file__).parents[2]
RULES = ROOT / "ruff.toml"


def new(*words):
    return CliRunner().invoke(cli, ["plugins", "new", *map(str, words)], prog_name="sm3kit")


@pytest.mark.parametrize("noun", NOUNS)
def test_singular_and_plural_mean_the_same(noun):
    one, two = plan("my_plugin", noun), plan("my_plugin", NOUNS[noun])
    assert one == two
    assert one.kind.noun == noun


@pytest.mark.parametrize("noun", NOUNS)
def test_every_name_is_put_in(noun, tmp_path):
    done = new("my_plugin", "--family", noun, "--out", tmp_path / "made")
    assert done.exit_code == 0, done.output
    files = [file for file in (tmp_path / "made").rglob("*") if file.is_file()]
    assert len(files) == len(FILES)
    for file in files:
        text = file.read_text("utf-8")
        assert not re.search(r"\$(?!\{\{)", text), f"{file.name} has a name that was not put in"
        assert max(map(len, text.splitlines())) <= 160
    listed = {line.strip() for line in done.output.splitlines()}
    assert {"setup.cfg", "README.md", "sm3kit_my_plugin.py", "tests/test_my_plugin.py"} <= listed
    assert "sm3kit plugins check my_plugin" in listed


def test_it_says_where_it_writes_without_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = new("my_plugin", "--family", "fusion")
    assert done.output.splitlines()[0] == "sm3kit-my-plugin contains a working fusion:"
    assert (tmp_path / "sm3kit-my-plugin" / "sm3kit_my_plugin.py").is_file()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "mine.txt").write_text("mine")
    done = new("my_plugin", "--family", "fusion", "--out", tmp_path / "made")
    assert done.exit_code == 1
    assert str(tmp_path / "made") in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert [file.name for file in tmp_path.rglob("*")] == ["made", "mine.txt"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my-plugin", "such as 'my_plugin', not 'my-plugin'"),
        ("MyPlugin", "such as 'myplugin', not 'MyPlugin'"),
        ("2fast", "such as 'fast', not '2fast'"),
        ("a__b", "such as 'a_b', not 'a__b'"),
        ("", "such as 'my_modality', not ''"),
        ("../up", "such as 'up', not '../up'"),
        ("class", "'class' is a Python keyword"),
        ("x" * 31, "has 31 characters; use at most 30"),
    ],
)
def test_names_that_cannot_be(name, said):
    with pytest.raises(OptionError) as caught:
        plan(name, "fusion")
    assert said in str(caught.value)


def test_a_name_that_is_taken():
    with pytest.raises(NameClash, match="The fusion name 'concat' is taken by sm3kit "):
        plan("concat", "fusion")
    assert plan("concat", "relation").name == "concat"


def test_a_distribution_that_is_there(fake_distribution):
    fake_distribution("sm3kit-own", {"fusions": {"other": "sm3kit_own:Other"}})
    with pytest.raises(
        NameClash, match="distribution sm3kit-own with other plugins is already installed"
    ):
        plan("own", "fusion")


def test_an_unknown_family():
    with pytest.raises(
        UnknownName, match="No plugin family named 'modalty'. Did you mean 'modality'"
    ):
        plan("own", "modalty")


@pytest.mark.parametrize(
    ("name", "family", "expected"),
    [
        ("my_fusion", "fusion", "MyFusion"),
        ("fusion", "fusion", "FusionFusion"),
        ("tensor", "relation", "TensorRelation"),
        ("image", "modality", "ImageModality"),
    ],
)
def test_the_class_hides_no_other(name, family, expected):
    assert plan(name, family).class_name == expected


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SM3Error, match="Cannot write"):
        write(plan("own", "fusion", tmp_path / "file" / "own"))


def test_the_code_is_clean(tmp_path):
    """Ruff by the rules of sm3kit, with the longest of names; types are in tests/test_types.py."""
    for folder in write_with_longest_names(tmp_path).values():
        run(folder, "ruff", "check", "--config", RULES, ".")


def run(folder, *words, **environment):
    """Runs a tool that is installed beside this Python."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# Each of these is trained with by its README; the others all at once.
ALONE = ("modality", "dataset", "backbone")
OF_LABELS = ("classifier", "loss", "sampler")
TOGETHER = tuple(noun for noun in NOUNS if noun not in ALONE)


def made_in(workshop, noun):
    """The folder of a new distribution, and the commands that its README trains with."""
    folder = workshop.folder / f"sm3kit-my-{noun}"
    text = (folder / "README.md").read_text("utf-8")
    checks, training = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.M)
    lines = ['pip install -e ".[test]"', "pytest", f"sm3kit plugins check my_{noun}"]
    assert checks.splitlines() == lines
    return folder, training.splitlines()


@pytest.mark.slow
def test_all_install_and_pass_and_train_by_their_readmes(workshop):
    """Installed, tested and checked in one go, as each README says for its own."""
    workshop.type_in([f"sm3kit plugins new my_{noun} --family {noun}" for noun in NOUNS])
    made = {noun: made_in(workshop, noun) for noun in NOUNS}
    folders = [str(folder) for folder, _ in made.values()]
    workshop.run("pip install " + " ".join(f'-e "{folder}[test]"' for folder in folders))
    assert " passed" in workshop.run("pytest " + " ".join(folders))
    for noun in ALONE:
        folder, training = made[noun]
        workshop.type_in(training, folder)
        assert len(list(folder.glob("runs/*/model.safetensors"))) == 1
    for noun in TOGETHER:
        assert f"--{noun} my_{noun}" in "\n".join(made[noun][1])
    of_training = [f"--{noun} my_{noun}" for noun in TOGETHER if noun not in OF_LABELS]
    of_evaluation = [f"--{noun} my_{noun}" for noun in OF_LABELS]
    small = "--data synthetic:60 --epochs 1 --mlssl-epochs 2 --out together"
    checks = [f"sm3kit plugins check my_{noun}" for noun in NOUNS]
    training = f"sm3kit pretrain {small} {' '.join(of_training)}"
    said = workshop.type_in(
        [*checks, training, f"sm3kit evaluate together {' '.join(of_evaluation)}"]
    )
    assert all("0 FAILED" in said[check] for check in checks)

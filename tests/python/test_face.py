"""The Python face: what it names, what it refuses, and that it is the command line's twin."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import click
import pytest

import sm3kit
from sm3kit.cli.main import cli
from sm3kit.python.calls import words

INIT = Path(sm3kit.__file__)
# Words of the command line that mean the same in Python under another name, or nothing there.
RENAMED = {"protocols": "protocol", "rows": "row", "rename": "map", "form": "format"}
OF_A_TERMINAL = {"as_json", "help"}
OF_A_COMMAND = {
    "pretrain": {"no_cache", "dry_run"},
    "evaluate": {"no_cache", "runs"},
    "ablate": {"no_cache", "dry_run", "submit_script", "worker", "parent"},
}


def test_types_and_names_agree() -> None:
    """What type checkers see is what is imported."""
    (block,) = [
        node for node in ast.parse(INIT.read_text("utf-8")).body if isinstance(node, ast.If)
    ]
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    homes = {name: f"sm3kit.{home}" for name, home in sm3kit._HOMES.items()}
    assert seen == homes
    assert sorted(homes) == sorted(sm3kit.__all__)


@pytest.mark.parametrize("name", sm3kit.__all__)
def test_everything_is_documented(name: str) -> None:
    thing = getattr(sm3kit, name)
    assert inspect.getdoc(thing)
    if inspect.isclass(thing) and not issubclass(thing, BaseException):
        for member, value in inspect.getmembers(thing):
            if not member.startswith("_") and callable(value):
                assert inspect.getdoc(value), f"{name}.{member}"


def test_every_keyword_of_a_call_is_explained() -> None:
    calls = [getattr(sm3kit, name) for name in sm3kit.__all__ if name[0].islower()]
    calls += [sm3kit.Run.embed, sm3kit.Run.report, sm3kit.Run.export, sm3kit.Run.backbone]
    for call in calls:
        text = inspect.getdoc(call) or ""
        for name in inspect.signature(call).parameters:
            if name not in ("self", "folder"):
                assert f"{name}:" in text or f"{name}, " in text, f"{call.__name__}: {name}"


@pytest.mark.parametrize("name", OF_A_COMMAND)
def test_the_words_are_those_of_the_command_line(name: str) -> None:
    """An option that is added to a command is added to its twin."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    options = {RENAMED.get(p.name or "", p.name or "") for p in command.params}
    options -= OF_A_TERMINAL | OF_A_COMMAND[name]
    plugin_files = {"plugin"}  # A script imports or registers its plugins.
    keywords = set(inspect.signature(getattr(sm3kit, name)).parameters) - {"cache", "run"}
    assert options - plugin_files == keywords


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sm3kit.pretrain("synthetic", epoch=3), "has no keyword 'epoch'. Did you mean 'epochs'? "),
        (lambda: sm3kit.evaluate("runs/none", protocl="knn"), "Did you mean 'protocol'? Known: run, "),
        (lambda: sm3kit.open_run("here").embed("test", spce="joint"), "Did you mean 'space'? "),
        (lambda: sm3kit.ablate("quick", seed=[1]), "Did you mean 'seeds'? "),
    ],
)  # fmt: skip
def test_an_unknown_keyword_is_answered_with_a_near_one(
    call, message, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sm3kit.python.run.RunFolder, "record", lambda self: None)
    with pytest.raises(TypeError) as caught:
        call()
    assert isinstance(caught.value, sm3kit.SM3Error)
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: sm3kit.pretrain(stage="mmsl"), "pretrain(): stage must be 'both' or 'mmssl' or 'mlssl', not 'mmsl'. Did you mean 'mmssl'?"),
        (lambda run: run.evaluate(threshold=0.5), "evaluate(): threshold must be 'argmax' or 'f1' or 'youden', not 0.5."),
        (lambda run: run.evaluate(stack=True), "evaluate(): stack must be 'none' or 'svm', not True."),
        (lambda run: run.evaluate("prob"), "evaluate(): protocol must be 'probe' or "),
        (lambda run: sm3kit.evaluate(run, split="tst"), "Did you mean 'test'?"),
        (lambda run: run.predict(derm="a.jpg", protocol="knn"), "'probe' or 'finetune', not 'knn'."),
        (lambda run: run.embed(["test", "vall"]), "not 'vall'. Did you mean 'val'?"),
        (lambda run: run.embed("test", space=["joint", "jont"]), "not 'jont'. Did you mean 'joint'?"),
        (lambda run: run.report(space="logit"), "Did you mean 'logits'?"),
        (lambda run: run.export("tim", "x"), "Did you mean 'timm'?"),
        (lambda run: sm3kit.ablate("quick", executor="slurm"), "'local' or 'ray', not 'slurm'."),
    ],
)  # fmt: skip
def test_a_word_that_is_no_choice_is_refused(call, message, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sm3kit.SM3Error) as caught:
        call(sm3kit.Run("here"))
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_path_is_a_word_as_good_as_text(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sm3kit.SM3Error) as caught:
        sm3kit.pretrain("synthetic:40", recipe=Path("mine.yaml"))
    assert "mine.yaml" in str(caught.value)
    assert words([Path("a.yaml"), "b"]) == ("a.yaml", "b")


@pytest.mark.parametrize("value", [5, [5], ["test", None], {"derm": 1}.values()])
def test_what_is_no_word_is_refused_in_one_line(value) -> None:
    with pytest.raises(sm3kit.SM3Error, match="must be text, or a list of texts"):
        sm3kit.pretrain(value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: sm3kit.pretrain(options=["a.b=1"]), 'pretrain(): options must be a table such as {"name": value}, not '),
        (lambda run: sm3kit.pretrain(map=["a"]), "pretrain(): map must be a table"),
        (lambda run: run.evaluate(label=3), "evaluate(): label must be text, not 3."),
        (lambda run: sm3kit.ablate("quick", seeds=3), "ablate(): seeds must be a list, not 3."),
        (lambda run: sm3kit.evaluate([run]), "A run must be its folder, or what open_run gives, not "),
        (lambda run: sm3kit.pretrain("synthetic:40", weights=Path("none.pt")), "none.pt"),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused_in_one_line(
    call, message, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sm3kit.SM3Error) as caught:
        call(sm3kit.Run("here"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sm3kit' has no attribute 'pretrian'"):
        sm3kit.pretrian  # noqa: B018

"""What --help shows: groups with the basics first, a default of every option, whole lines."""

import re

import click
import pytest
from click.testing import CliRunner

from sm3kit.cli.help import setting as help_setting
from sm3kit.cli.help.command import SETTINGS
from sm3kit.cli.main import COMMANDS, cli
from sm3kit.evaluation.settings import DEFAULTS, Settings
from sm3kit.runs import recipes
from sm3kit.runs.recipes import Layer

SCREEN = 30  # Lines of a terminal.
ACTS = {"--help", "--version"}  # Options without a value, which end the command.
GROUPED = ["pretrain", "evaluate", "predict", "embed", "export", "ablate", "report"]


def walk(command=cli, words=()):
    """(words, command) of every command there is."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from walk(command.get_command(context, name), (*words, name))


ALL = dict(walk())


def shown(*words, columns=80):
    result = CliRunner().invoke(cli, [*words, "--help"], terminal_width=columns)
    assert result.exit_code == 0, result.output
    return result.output


def records(words):
    """(option, help text) of what a command shows."""
    command = ALL[words]
    context = command.context_class(command, **SETTINGS)
    for option in command.get_params(context):
        if isinstance(option, click.Option) and not option.hidden:
            yield option, option.get_help_record(context)[1].replace("\xa0", " ")


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_option_has_a_default_or_is_required(words):
    for option, text in records(words):
        if ACTS & set(option.opts):
            continue
        end = re.search(r"  \[(default: .+|from the recipe: .+|required)\]$", text)
        assert end, f"{option.opts} says no default: {text}"
        assert (end[1] == "required") == option.required
        assert not re.search(r"None|: \(\)|: $|''", end[1]), text


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_texts_are_sentences(words):
    command = ALL[words]
    assert command.help.partition("\n")[0].endswith(".")
    for option, text in records(words):
        said = text.partition("  [")[0]
        assert re.fullmatch(r"[A-Za-z`].*[.]", said), f"{option.opts}: {said}"
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            assert parameter.help.endswith("."), parameter.name


@pytest.mark.parametrize("columns", [45, 60, 80, 200])
@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_nothing_is_cut_or_too_wide(words, columns):
    text, _, examples = shown(*words, columns=columns).partition("\nExamples:\n")
    lines = text.splitlines()
    long = [line for line in lines if len(line) > columns]
    # A name and its metavar are one word.
    assert not [line for line in long if " " in line.strip().partition(" ")[2]]
    assert "..." not in text.replace("RUN...", "").replace("]...", "")
    assert all("sm3kit" in line for line in examples.splitlines())


@pytest.mark.parametrize("name", GROUPED)
def test_the_basics_are_on_the_first_screen(name):
    before, _, rest = shown(name).partition("\nBasics:\n")
    basics, _, others = rest.partition("\n\n")
    assert others
    assert len(f"{before}\nBasics:\n{basics}".splitlines()) <= SCREEN
    assert re.search(r"^  -h, --help .*\n\n(Commands|Examples):", others, re.M)


def test_the_groups_of_pretrain():
    text = shown("pretrain")
    heads = re.findall(r"^(\w+):$", text, re.M)
    assert heads == ["Basics", "Data", "Method", "Training", "Hardware", "Output", "Examples"]
    basics = re.findall(r"^  (--[\w-]+)", text.partition("\n\nData:")[0], re.M)
    assert basics[:4] == ["--data", "--recipe", "--objective", "--fusion"]
    assert {"--backbone", "--epochs", "--out", "--resume"} <= set(basics)


def test_both_stages_are_explained():
    text = " ".join(shown("pretrain").split())
    assert "Stage 1, multi-modality SSL (mmssl)" in text
    assert re.search(r"Stage 2, multi- ?label SSL \(mlssl\)", text)


def noted(command, flag):
    (option,) = [option for option in ALL[(command,)].params if flag in option.opts]
    return option.note()


def test_defaults_of_the_recipes_are_those_of_the_recipes(monkeypatch):
    values = {
        name: recipes.resolve(Layer({"recipe": name}))[0].stage1.epochs
        for name in recipes.DEFAULT_BASES
    }
    pairs = ", ".join(f"{name} {value}" for name, value in values.items())
    assert noted("pretrain", "--epochs") == f"from the recipe: {pairs}"
    assert noted("pretrain", "--seed") == "default: 0"
    monkeypatch.setattr(recipes, "DEFAULT_BASES", ("sm3",))
    help_setting.bases.cache_clear()
    assert noted("pretrain", "--epochs") == "default: 400"
    monkeypatch.undo()
    help_setting.bases.cache_clear()


def test_the_settings_of_recipes_are_known_to_a_variant():
    options = [p for p in ALL[("pretrain",)].params if isinstance(p, help_setting.VariantOption)]
    assert len(options) > 10
    for variant in help_setting.bases().values():
        assert all(variant.at(option.setting) is not None for option in options)


def test_defaults_of_an_evaluation_are_those_of_its_settings():
    text = noted("evaluate", "--batch-size")
    assert text.startswith(f"default: {Settings().batch_size}; ")
    assert f"finetune {DEFAULTS['finetune']['batch_size']}" in text
    assert "recipe quick: probe 0.03" in noted("evaluate", "--lr")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_fits(name):
    assert len(COMMANDS[name][1]) <= 80 - 15

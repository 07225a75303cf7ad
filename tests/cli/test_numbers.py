"""Every number that a user can set: declared with a range, and refused beyond it.

All of it is read from what commands, settings and plugins declare, so that new ones are in.
"""

import dataclasses
import typing
from typing import Annotated

import click
import pytest
from click.testing import CliRunner

from sm3kit.cli.main import COMMANDS, cli
from sm3kit.cli.option_types import Number, PerModality
from sm3kit.core.errors import OptionError
from sm3kit.core.kinds import KINDS
from sm3kit.core.options import Option, convert, fields_of, options_of
from sm3kit.core.ranges import Range
from sm3kit.core.registry import registry
from sm3kit.core.settings import lay_over
from sm3kit.core.stage_settings import MachineSettings, Stage1Settings, Stage2Settings
from sm3kit.core.variant import Variant
from sm3kit.evaluation.settings import Settings

RECORDS = (Variant, Stage1Settings, Stage2Settings, MachineSettings, Settings)
HOSTILE = ("-1", "0", "nan", "inf", "-inf", "1e11", "100000000000", "9" * 400, "1e-320")
TEXT = ("seeds",)  # Numbers that the command line takes as a text.
USING = {
    "objectives": "--objective",
    "fusions": "--fusion",
    "relations": "--relation",
    "clusterers": "--clusterer",
    "samplers": "--sampler",
}
EVALUATED = {"classifiers": "--classifier", "losses": "--loss"}
MODELS = {"lite": "lite/efficientnet_lite0", "mlp": "mlp/64", "timm": "timm/test_resnet"}


def run(*words):
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="sm3kit")


def commands(command=cli, words=()):
    """(words, command) of every command there is."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*words, name))


FLAGS = [
    (words, option)
    for words, command in commands()
    for option in command.params
    if isinstance(option, click.Option)
    and not isinstance(option.type, click.Choice)
    and (isinstance(option.type, Number | PerModality) or option.type.name in ("integer", "float"))
    and not option.hidden
]
PLUGIN_OPTIONS = [
    (family, name, option)
    for family in KINDS
    for name in registry(family).names()
    for option in options_of(registry(family).get(name)).values()
]


def has_number(kind):
    """Whether a type has numbers that no text could stand for."""
    inner = typing.get_args(kind)
    return kind in (int, float) or (str not in inner and any(map(has_number, inner)))


def numbers(options):
    return [option for option in options if has_number(option.type)]


def outside(option):
    """Hostile values that an option does not take, twice each where it wants two."""
    pair = 2 if "," in option.type_text and "..." not in option.type_text else 1
    return [value for value in (",".join([x] * pair) for x in HOSTILE) if refusal(option, value)]


def refusal(option, text):
    try:
        convert(option, text, "test")
    except OptionError as error:
        return str(error)
    return ""


def one_line(result, *names):
    lines = [line for line in result.output.splitlines() if line.startswith("Error")]
    assert len(lines) == 1, result.output
    assert "Unexpected error" not in result.output
    assert all(name in lines[0] for name in names), lines


def test_every_number_flag_has_a_range():
    assert len(FLAGS) >= 20
    for words, option in FLAGS:
        if isinstance(option.type, PerModality) and not isinstance(option.type.inner, Number):
            continue  # A name or a file.
        number = option.type.inner if isinstance(option.type, PerModality) else option.type
        assert isinstance(number, Number), f"{words} {option.opts} wants type=Number(…)"
        assert ranged(number.option.type), f"{words} {option.opts} declares no range"


@pytest.mark.parametrize(("words", "option"), FLAGS, ids=lambda one: getattr(one, "name", str(one)))
def test_a_flag_refuses_what_is_out_of_its_range(words, option, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    number = getattr(option.type, "inner", option.type)
    if not isinstance(number, Number):
        pytest.skip("takes names")
    refused = outside(number.option)
    assert refused
    for text in refused:
        result = run(*words, option.opts[-1], text)
        assert result.exit_code == 2, result.output
        one_line(result, option.opts[-1])
    assert not list(tmp_path.iterdir())


def ranged(kind):
    """Whether the numbers of a type have a range."""
    if typing.get_origin(kind) is Annotated:
        return any(isinstance(one, Range) for one in typing.get_args(kind)[1:])
    inner = [one for one in typing.get_args(kind) if has_number(one)]
    return bool(inner) and all(map(ranged, inner))


@pytest.mark.parametrize("record", RECORDS)
def test_every_number_setting_has_a_range_and_checks_itself(record):
    for option in numbers(fields_of(record).values()):
        assert ranged(option.type), f"{record.__name__}.{option.name} declares no range"
        refused = outside(option)
        assert refused
        for text in refused:
            with pytest.raises(OptionError, match=f"'{option.name}' must be"):
                lay_over(record(), {option.name: text}, "a recipe")
        made = [float(text) for text in ("nan", "1e11") if text in refused]
        for number in made:
            pair = typing.get_origin(typing.get_args(option.type)[0]) is tuple
            value = (number, number) if pair else number
            with pytest.raises(OptionError, match=option.name):
                dataclasses.replace(record(), **{option.name: value})


def test_every_number_of_our_plugins_has_a_range():
    found = [
        (family, name, option) for family, name, option in PLUGIN_OPTIONS if has_number(option.type)
    ]
    assert len(found) >= 80  # Of sm3kit alone; more where plugins are installed.
    bare = [f"{name}.{option.name}" for _, name, option in found if not ranged(option.type)]
    assert not bare


@pytest.mark.parametrize("family", KINDS)
def test_a_plugin_refuses_numbers_out_of_range_before_anything_is_written(
    family, tmp_path, stage1_run
):
    for name, option in [(n, o) for f, n, o in PLUGIN_OPTIONS if f == family]:
        if not has_number(option.type):
            continue
        flags = [USING[family], name] if family in USING else []
        flags += ["--backbone", MODELS[name]] if family == "backbones" else []
        refused = outside(option)
        # What is refused was found by the check itself; here it is asked by the command.
        for value in {*refused[:1], *refused[-1:]}:
            out = tmp_path / "run"
            setting = f"{name}.{option.name}={value}"
            words = ["pretrain", "--data", "synthetic:24", *flags, "--out", out]
            if family in EVALUATED:
                words = ["evaluate", stage1_run, "--protocol", "finetune", EVALUATED[family], name]
            result = run(*words, "-o", setting)
            assert result.exit_code == 1, f"{setting}: {result.output}"
            one_line(result, option.name)
            assert not out.exists(), setting
            assert not (stage1_run / "eval").exists(), setting


def test_the_defaults_lie_within_their_ranges():
    for record in RECORDS:
        for option in numbers(fields_of(record).values()):
            assert convert(option, option.default, "test") == option.default
    for _, name, option in PLUGIN_OPTIONS:
        if has_number(option.type) and option.default is not None:
            assert convert(option, option.default, name) == option.default


def test_ranges_say_what_they_are():
    words = {
        "from 0 to 1": Range(0, 1),
        "above 0": Range(above=0),
        "above 0 and at most 1": Range(above=0, most=1),
        "0 or more and below 1": Range(0, below=1),
        "0 or more, or -1": Range(0, also=(-1,)),
        "from 1 to 99, odd": Range(1, 99, odd=True),
        "above 0 and at most 1, in order": Range(above=0, most=1, rising=True),
        "": Range(),
    }
    assert {str(one): one for one in words.values()} == words


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Annotated[int, Range(1, 99, odd=True)], ["1", 3, "99"], ["2", 0, "101", "1.5", "x", True]),
        (Annotated[float, Range(above=0, most=1)], ["1", 1e-9, "0.5"], ["0", 1.1, "nan", "-0.0"]),
        (Annotated[float, Range(0, below=1)], ["0", "0.999"], ["1", 1, "inf"]),
        (Annotated[int, Range(0, 9, also=(-1,))], ["-1", 0, 9], ["-2", 10]),
        (
            Annotated[tuple[float, float], Range(above=0, most=1, rising=True)],
            ["0.1,0.2", (0.5, 0.5), [0.1, 1]],
            ["0.2,0.1", "0,1", "0.1", "0.1,nan", (0.1, 0.2, 0.3)],
        ),
        (Annotated[int | None, Range(1, 4)], ["none", None, 4], ["5", 0]),
        (float, ["1e300", "-5"], ["nan", "inf", "-inf", "1e400"]),
        (int, [str(2**63 - 1), -5], [str(2**63), "9" * 5000, "1e3"]),
    ],
)
def test_values_within_and_beyond(kind, good, bad):
    option = Option("x", kind)
    assert not [value for value in good if refusal(option, value)]
    assert not [value for value in bad if not refusal(option, value)]
    assert all(len(refusal(option, value)) < 250 for value in bad)


def test_every_command_was_looked_at():
    assert {words[0] for words, _ in commands() if words} == set(COMMANDS)

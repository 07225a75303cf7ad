"""The command line as people call it: exit codes, one-line answers, near names."""

import json
import re
import subprocess
import sys
import sysconfig
import types
from importlib.metadata import distribution
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import sm3kit as sm3kit_in_python
from sm3kit import __version__
from sm3kit.cli.data import LAYOUTS
from sm3kit.cli.main import COMMANDS, cli
from sm3kit.core.errors import Interrupted, UnknownName

SCRIPT = Path(sysconfig.get_path("scripts")) / "sm3kit"


def sm3kit(*words):
    return CliRunner().invoke(cli, words, prog_name="sm3kit")


def called(*words, **more):
    """The real console script, in a process of its own."""
    return subprocess.run(
        [SCRIPT, *words], capture_output=True, text=True, timeout=300, check=False, **more
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["-h"], 0),
        (["--version"], 0),
        (["plugins", "list"], 0),
        (["plugins", "show", "nosuch"], 1),
        (["--debug", "plugins", "list"], 0),
        ([], 2),
        (["nosuch"], 2),
        (["--nosuch"], 2),
        (["plugins"], 2),
        (["plugins", "nosuch"], 2),
        (["plugins", "show"], 2),
        (["plugins", "list", "--family", "nosuch"], 2),
        (["data", "synth"], 2),
        (["data", "synth", "--layout", "nosuch", "--out", "x"], 2),
        (["pretrain", "--epochs", "many"], 2),
        (["pretrain", "--epochs", "-1"], 2),
        (["pretrain", "--map", "clinic"], 2),
    ],
)
def test_exit_codes(words, code):
    result = sm3kit(*words)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output


def test_the_version():
    assert sm3kit("--version").output == f"sm3kit, version {__version__}\n"


def test_help_lists_the_commands_in_order():
    lines = sm3kit("--help").output.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines if re.match(r"  \S", line)] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_table_says_what_the_command_says(name):
    """The lines stand in the table so that --help imports nothing; here they are compared."""
    command = cli.get_command(click.Context(cli), name)
    assert command.name == name
    assert command.help.partition("\n")[0] == COMMANDS[name][1]
    assert sm3kit(name, "--help").exit_code == 0


def test_an_unknown_command_offers_the_near_and_the_known():
    result = sm3kit("pretain")
    assert result.exit_code == 2
    known = ", ".join(COMMANDS)
    assert result.stderr.endswith(
        f"Error: No command named 'pretain'. Did you mean 'pretrain'? Known: {known}.\n"
    )
    assert f"No command named 'qqqq'. Known: {known}." in sm3kit("qqqq").stderr


def test_a_mistake_is_one_line_on_stderr():
    result = sm3kit("plugins", "show", "simcrl")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(
        "Error: No plugin named 'simcrl'. Did you mean 'simclr'? Known:"
    )
    assert result.stderr.count("\n") == 1


def test_debug_shows_the_traceback():
    result = sm3kit("--debug", "plugins", "show", "simcrl")
    assert isinstance(result.exception, UnknownName)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["pretrain", "-o", "simclr=2"],
            "-o needs PLUGIN.OPTION=VALUE, such as simclr.temperature=0.2, not 'simclr=2'.",
        ),
        (
            ["data", "check", "synthetic", "-o", "x.y"],
            "-o needs PLUGIN.OPTION=VALUE, such as simclr.temperature=0.2, not 'x.y'.",
        ),
        (["pretrain", "--resume"], "--resume needs to know which run: add --out RUN."),
        (["pretrain", "--recipe", "byool"], "No recipe named 'byool'. Did you mean 'byol'?"),
        (["pretrain", "-o", "stage1.speed=3"], "command line: No setting named 'stage1.speed'."),
        (
            ["pretrain", "-o", "stage1.mlssl_lr=3"],
            "command line: No setting named 'stage1.mlssl_lr'. Did you mean 'stage1.lr'",
        ),
        (
            ["pretrain", "-o", "weight_decay=3"],
            "command line: No setting named 'weight_decay'. Did you mean 'stage1.weight_decay' or",
        ),
        (
            ["pretrain", "-o", "stage1.eps=x"],
            "The command line: option 'stage1.eps' must be a number",
        ),
    ],
)
def test_mistakes_that_are_seen_before_the_work(words, line):
    result = sm3kit(*words)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {line}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [["data", "check", "{}"], ["pretrain", "--data", "{}"], ["ablate", "--grid", "--data", "{}"]],
)
def test_a_file_without_the_name_of_its_data_set(words, tmp_path):
    file = tmp_path / "my.csv"
    for text, known in [(f"{file}", f"manifest:{file}"), ("MY.CSV", "manifest:MY.CSV")]:
        result = sm3kit(*(word.format(text) for word in words))
        assert result.exit_code == 1
        said = f"--data {text} lacks the name of a data set. Did you mean {known!r}?\n"
        assert result.stderr.endswith(said)
    result = sm3kit(*(word.format(tmp_path) for word in words))
    said = f"--data {tmp_path} lacks the name of a data set. Write --data NAME:{tmp_path}, NAME"
    assert f"{said} being one of" in result.stderr
    assert "manifest" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["pretrain", "--fusion", "mine"],
        ["pretrain", "--objective", "mine"],
        ["pretrain", "--relation", "mine"],
        ["pretrain", "-o", "mine.width=3"],
        ["data", "check", "mine:folder"],
        ["plugins", "show", "mine"],
        ["plugins", "check", "mine"],
    ],
)
def test_an_unknown_plugin_may_stand_in_a_file(words):
    result = sm3kit(*words)
    assert result.exit_code == 1
    assert "named 'mine'." in result.stderr
    assert result.stderr.endswith(" Add --plugin FILE.py to load a plugin from a file.\n")
    assert result.stderr.count("\n") == 1


def test_resume_of_an_empty_folder(tmp_path):
    result = sm3kit("pretrain", "--resume", "--out", str(tmp_path))
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: --out {tmp_path} holds no run to resume: there is no variant.yaml in it. "
        "Check the folder, or leave --resume out to start over.\n"
    )


def test_a_map_without_two_names():
    result = sm3kit("pretrain", "--map", "clinic")
    assert result.stderr.endswith("must be NAME=DATA, such as clinic=close-up, not 'clinic'.\n")


def test_the_layouts_are_those_of_the_synthesis():
    from sm3kit.synthesis import layouts

    assert tuple(layouts.LAYOUTS) == LAYOUTS


def test_synthetic_data_can_be_written_and_checked(tmp_path):
    out = tmp_path / "lesions"
    words = ["--layout", "manifest", "--out", str(out), "--pairs", "12", "--size", "32"]
    result = sm3kit("data", "synth", *words)
    assert result.exit_code == 0
    spec = f"manifest:{out / 'manifest.csv'}"
    assert result.output == f"Wrote 12 lesions to {out}. Use them with: --data {spec}\n"
    # The same folder again is a mistake, not a silent overwriting.
    again = sm3kit("data", "synth", *words)
    assert again.exit_code == 1
    assert again.stderr.count("\n") == 1
    checked = sm3kit("data", "check", spec, "--json")
    assert checked.exit_code == 0
    assert sum(json.loads(checked.stdout)["studies"].values()) == 12


def test_check_of_data_that_are_not_there(tmp_path):
    result = sm3kit("data", "check", f"manifest:{tmp_path / 'no.csv'}")
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert str(tmp_path / "no.csv") in result.output.replace("\n", "")


# In processes of their own


def test_the_console_script():
    done = called("--version")
    assert (done.returncode, done.stdout) == (0, f"sm3kit, version {__version__}\n")


@pytest.mark.parametrize(("words", "code"), [(["plugins", "show", "nosuch"], 1), (["nosuch"], 2)])
def test_the_exit_code_reaches_the_shell(words, code):
    done = called(*words)
    assert done.returncode == code
    assert done.stdout == ""
    assert "Error: No " in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_reaches_the_shell():
    done = called("--debug", "plugins", "show", "nosuch")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "UnknownName: No plugin named 'nosuch'" in done.stderr


def test_main_exits_with_the_code():
    from sm3kit.cli.main import main

    with pytest.raises(SystemExit) as caught:
        main(["nosuch"])
    assert caught.value.code == 2


def test_a_reader_that_stops_early_is_no_error():
    done = subprocess.run(
        f"'{SCRIPT}' plugins list | '{sys.executable}' -c 'import sys; sys.stdin.readline()'",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


class TestWhatGoesWrong:
    """Every end of a command is one line; only --debug shows a traceback."""

    @pytest.fixture
    def failing(self, monkeypatch):
        def install(error):
            @click.command()
            def command():
                raise error

            monkeypatch.setitem(COMMANDS, "fail", ("tests_fail:command", "Fails."))
            module = types.ModuleType("tests_fail")
            module.command = command
            monkeypatch.setitem(sys.modules, "tests_fail", module)

        return install

    def test_an_unexpected_error_is_one_line(self, failing):
        failing(KeyError("derm"))
        result = CliRunner().invoke(cli, ["fail"])
        assert result.exit_code == 1
        assert result.stderr == (
            "Error: Unexpected error in sm3kit or in a plugin: KeyError: 'derm'. "
            "Run `sm3kit --debug …` for the traceback.\n"
        )

    def test_debug_shows_the_error_itself(self, failing):
        failing(KeyError("derm"))
        result = CliRunner().invoke(cli, ["--debug", "fail"])
        assert isinstance(result.exception, KeyError)

    def test_an_interruption_is_no_error(self, failing):
        failing(Interrupted("Stopped in epoch 2 of 9."))
        result = CliRunner().invoke(cli, ["fail"])
        assert result.exit_code == 1
        assert result.stderr == "Stopped in epoch 2 of 9.\n"


# Chosen by other options, or of no use there.
NOT_OFFERED = {"pretrain --objective": {"crossmodal"}, "pretrain --sampler": {"label_balanced"}}


@pytest.mark.parametrize(
    ("command", "option", "family"),
    [
        ("pretrain", "--objective", "objectives"),
        ("pretrain", "--fusion", "fusions"),
        ("pretrain", "--relation", "relations"),
        ("pretrain", "--clusterer", "clusterers"),
        ("pretrain", "--sampler", "samplers"),
        ("evaluate", "--classifier", "classifiers"),
        ("evaluate", "--loss", "losses"),
        ("evaluate", "--sampler", "samplers"),
    ],
)
def test_help_names_every_built_in_plugin(command, option, family):
    (own,) = [one for one in cli.get_command(None, command).params if option in one.opts]
    built_in = {
        entry.name
        for entry in distribution("sm3kit").entry_points
        if entry.group == f"sm3kit.{family}"
    }
    hidden = NOT_OFFERED.get(f"{command} {option}", set())
    assert built_in - hidden <= set(re.findall(r"\w+", own.help))
    if command == "pretrain":  # The documentation of `evaluate` names some of them.
        assert built_in - hidden <= set(re.findall(r"\w+", sm3kit_in_python.pretrain.__doc__))
    assert not hidden - built_in

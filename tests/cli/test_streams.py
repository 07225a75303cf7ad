"""A terminal that is full, has gone, or has few letters; an environment that lies."""

import json
import os
import subprocess
import sysconfig
from pathlib import Path

import click
import pytest

from sm3kit.cli.main import _one_line
from sm3kit.core.errors import DataError, of_system

SCRIPT = Path(sysconfig.get_path("scripts")) / "sm3kit"
FULL = Path("/dev/full")
ASCII = [
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": "1"},
]
EMPTY = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_PROCID", "OMP_NUM_THREADS", "HOME")
COMMANDS = [["--help"], ["plugins", "list"], ["ablate", "-h"]]
FULL_LINE = (
    "Error: Cannot write to standard output: No space left on device. Free some disk space, or "
    "redirect it elsewhere.\n"
)
full = pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")


def slow(more):
    """An environment of a test that takes more than a few seconds for each."""
    return pytest.param(more, marks=pytest.mark.slow)


def called(*words, more=None, **streams):
    """The console script with its streams as bytes."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    environment = {**os.environ, **(more or {})}
    return subprocess.run([SCRIPT, *words], env=environment, timeout=300, check=False, **streams)


@full
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", COMMANDS)
def test_a_full_device_is_one_line(words, unbuffered):
    with FULL.open("wb") as out:
        done = called(*words, stdout=out, more={"PYTHONUNBUFFERED": unbuffered})
    assert (done.returncode, done.stderr.decode()) == (1, FULL_LINE)


@full
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_stderr_ends_without_a_word(unbuffered):
    more = {"PYTHONUNBUFFERED": unbuffered}
    with FULL.open("wb") as out:
        assert called("nosuch", stderr=out, more=more).returncode == 1
        assert called("plugins", "list", stdout=out, stderr=out, more=more).returncode == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", COMMANDS)
def test_a_reader_that_has_gone_is_no_mistake(words, unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = called(*words, stdout=writer, more={"PYTHONUNBUFFERED": unbuffered})
    finally:
        os.close(writer)
    assert done.returncode == 1
    assert done.stderr == b""


@pytest.mark.parametrize("more", [ASCII[0], *(slow(more) for more in ASCII[1:])])
def test_a_terminal_of_few_letters(more, tmp_path):
    folder = tmp_path / "é…"
    folder.mkdir()
    more = {**more, "SM3KIT_CACHE": str(folder)}
    for words in COMMANDS[1:]:
        done = called(*words, more=more)
        assert (done.returncode, done.stderr) == (0, b""), words
        assert done.stdout.isascii(), words
    assert b"/?" in called("cache", more=more).stdout
    done = called("plugins", "show", folder.name, more=more)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert done.stderr.isascii() and b"No plugin named" in done.stderr


@pytest.mark.parametrize("more", ASCII)
def test_json_keeps_every_letter(more, tmp_path):
    folder = tmp_path / "é"
    folder.mkdir()
    done = called("cache", "--json", more={**more, "SM3KIT_CACHE": str(folder)})
    assert done.stdout.isascii()
    assert os.fsencode(json.loads(done.stdout)["folder"]) == os.fsencode(folder)


@pytest.fixture(scope="module")
def usual():
    """The plugins on a terminal of the usual size."""
    return called("plugins", "list").stdout


@pytest.mark.parametrize("size", ["0", "1", "abc", "99999999999", "-5", ""])
def test_a_size_that_no_terminal_has(size, usual):
    done = called("plugins", "list", more={"COLUMNS": size, "LINES": size})
    assert (done.returncode, done.stdout, done.stderr) == (0, usual, b"")


@pytest.mark.parametrize(
    "more",
    [
        slow(dict.fromkeys(EMPTY, "") | {"TMPDIR": "/nowhere/at/all"}),
        slow({"SLURM_JOB_ID": "5", "SLURM_NTASKS": "4"}),
    ],
)
def test_an_environment_that_does_no_harm(more):
    """`plugins show` imports the plugin, and with it what reads the environment."""
    done = called("plugins", "show", "simclr", more=more)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_NTASKS", "OMP_NUM_THREADS"])
def test_a_number_that_is_none_is_one_line(name):
    done = called("plugins", "show", "simclr", more={name: "x"})
    assert done.returncode == 1
    assert done.stderr.decode() == (
        f"Error: The environment variable {name} must be a number, not 'x'. Run `unset {name}` "
        "first.\n"
    )


def test_what_the_system_says_of_a_file(tmp_path):
    def said(name):
        with pytest.raises((OSError, ValueError)) as caught:
            (tmp_path / name).open("rb")
        return _one_line(caught.value)

    assert said("gone") == (
        f"Cannot use {tmp_path / 'gone'}: No such file or directory. Check the path."
    )
    assert said("a" * 300).endswith(
        "aaa: File name too long. A file name may have at most 255 bytes, and a path 4,096. Choose a shorter one."
    )
    assert said("a\0b") == "A file name cannot contain a NUL character. Check the paths."


def test_other_errors_are_not_of_the_system():
    assert (
        of_system(OSError("no name")) == of_system(ValueError("x")) == of_system(KeyError()) == ""
    )
    assert "Unexpected error" in _one_line(OSError("no name"))


def test_an_answer_is_one_line_and_ends():
    assert "\n" not in _one_line(DataError("one\ntwo"))
    assert len(_one_line(DataError("x " * 100_000))) == 2001


def test_click_knows_the_streams_of_this_process(capsys):
    """Nothing is replaced where the streams are somebody else's."""
    click.echo("é")
    assert capsys.readouterr().out == "é\n"

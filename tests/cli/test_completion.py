"""Completion in shells: names of plugins and the like, without anything heavy."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner

from sm3kit.cli import completion
from sm3kit.cli.main import COMMANDS, cli
from sm3kit.core.registry import registry
from sm3kit.grids import grid
from sm3kit.runs import recipes

SCRIPT = Path(sysconfig.get_path("scripts")) / "sm3kit"
PATH = f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"
# Calls the function as readline does, with the words as Bash cuts them.
TRY = """
source "$1"
shift
compopt() { echo "compopt $1 $2" >&2; }
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_sm3kit_completion sm3kit
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a run, another folder and a table."""
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "variant.yaml").write_text("")
    (tmp_path / "runs" / "more").mkdir()
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "manifest.csv").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_bash(folder, line):
    """What Bash offers behind a line, and what it was told to do with it."""
    words = re.findall(r"[:=]+|[^\s:=]+", line) + [""] * line.endswith(" ")
    done = subprocess.run(
        ["bash", "--norc", "-c", TRY, "bash", script_of_bash(folder), *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=os.environ | {"PATH": PATH},
    )
    return done.stdout.split(), done.stderr


def typed_in_bash(folder, line):
    """What a line is after the Tab key in a Bash on a terminal."""
    master, slave = pty.openpty()
    script = script_of_bash(folder)
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=folder,
        env=os.environ | {"PATH": PATH, "PS1": "", "TERM": "dumb"},
        start_new_session=True,
    )
    os.close(slave)
    # Control-A goes to the start of the line.
    os.write(master, f"source {script}\r{line}\t\x01echo answer: \rexit\r".encode())
    read = b""
    try:
        while part := os.read(master, 4096):
            read += part
    except OSError:  # Linux says so at the end of a terminal.
        pass
    os.close(master)
    assert shell.wait(20) == 0
    return re.findall(r"^answer: (.*)", read.decode().replace("\r", ""), re.MULTILINE)[-1]


def script_of_bash(folder):
    script = folder / "completion.bash"
    script.write_text(CliRunner().invoke(cli, ["completion", "bash"]).stdout)
    return str(script)


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
@pytest.mark.parametrize(
    ("line", "offered", "then"),
    [
        ("sm3kit pret", ["pretrain"], ""),
        ("sm3kit pretrain --fus", ["--fusion"], ""),
        ("sm3kit pretrain --fusion sep", ["sep_sep", "sep_shared"], ""),
        ("sm3kit pretrain --data synth", ["synthetic", "synthetic:"], "nospace"),
        # Bash takes only what is behind the colon for its word.
        ("sm3kit pretrain --data manifest:m", ["my/"], "nospace"),
        ("sm3kit pretrain --data manifest:my/", ["my/manifest.csv"], ""),
        ("sm3kit pretrain --data manifest:", ["completion.bash", "my/", "runs/"], "nospace"),
        ("sm3kit pretrain --data manifest:a.csv --fus", ["--fusion"], ""),
        ("sm3kit pretrain --fusion=sep_sh", ["sep_shared"], ""),
        ("sm3kit pretrain --backbone derm=timm/resnet18", ["timm/resnet18", "timm/resnet18d"], ""),
        ("sm3kit pretrain -o stage2.lr", ["stage2.lr="], "nospace"),
        ("sm3kit evaluate ", ["runs/more/", "runs/one"], "nospace"),
        ("sm3kit ablate --grid table", [f"table{number}" for number in range(1, 7)], ""),
        ("sm3kit cache clear ", ["images", "features", "shards"], ""),
        ("sm3kit nosuch --x", [], ""),
    ],
)
def test_bash_completes(folder, line, offered, then):
    found, told = in_bash(folder, line)
    assert found == offered
    assert ("compopt -o nospace" in told) == (then == "nospace")


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("sm3kit pret", "sm3kit pretrain"),
        ("sm3kit pretrain --data manifest:m", "sm3kit pretrain --data manifest:my/"),
        ("sm3kit pretrain --fusion=sep_sh", "sm3kit pretrain --fusion=sep_shared"),
        ("sm3kit pretrain -o stage2.lr", "sm3kit pretrain -o stage2.lr="),
        ("sm3kit pretrain --plugin my/m", "sm3kit pretrain --plugin my/manifest.csv"),
    ],
)
def test_tab_completes_in_a_terminal(folder, line, completed):
    assert typed_in_bash(folder, line) == completed


def offered(*words, shell="fish"):
    """What click answers a shell, the last word being the one that is typed."""
    done = subprocess.run(
        [SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ
        | {
            "_SM3KIT_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": " ".join(["sm3kit", *words]),
            "COMP_CWORD": str(len(words)) if shell == "zsh" else words[-1],
        },
    )
    lines = done.stdout.splitlines()
    return lines[1::3] if shell == "zsh" else [line.partition(",")[2] for line in lines if line]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_whole_words(folder, shell):
    assert "manifest:my/manifest.csv" in offered("pretrain", "--data", "manifest:my/m", shell=shell)
    assert "sep_sep" in offered("pretrain", "--fusion", "sep", shell=shell)


@pytest.mark.parametrize(
    ("option", "family"),
    [
        ("--objective", "objectives"),
        ("--fusion", "fusions"),
        ("--relation", "relations"),
        ("--clusterer", "clusterers"),
    ],
)
def test_every_name_of_a_family_is_offered(option, family):
    assert offered("pretrain", option, "") == registry(family).names()


def test_recipes_and_grids_are_offered_and_files_otherwise():
    assert offered("pretrain", "--recipe", "") == recipes.names()
    assert offered("ablate", "--grid", "") == grid.names()
    assert offered("pretrain", "--recipe", "./mine") == ["./mine"]


def test_plugins_to_show_are_offered():
    assert "crossmodal" in offered("plugins", "show", "cr")
    assert "fusions/none" in offered("plugins", "show", "fusions/n")


def test_a_plugin_of_another_distribution_is_offered(fake_distribution, monkeypatch):
    home = fake_distribution("sonokit", {"fusions": {"sono": "sonokit:Mean"}})
    monkeypatch.setenv("PYTHONPATH", str(home))
    assert offered("pretrain", "--fusion", "so") == ["sono"]


def test_the_models_of_timm_are_those_that_timm_lists():
    from timm import list_models

    assert set(completion.model_names("timm")) == set(list_models())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell):
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    head, line, *_ = result.stdout.splitlines()
    assert head.startswith("# To enable completion, add this line to ~/.")
    assert f"sm3kit completion {shell}" in line
    assert "_SM3KIT_COMPLETE" in result.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n", "-c", result.stdout], check=True)


@pytest.mark.parametrize(
    "words",
    [
        [""],
        ["pretrain", "--fusion", "s"],
        ["pretrain", "--backbone", "timm/res"],
        ["pretrain", "--data", "m"],
        ["pretrain", "--recipe", "s"],
        ["pretrain", "-o", "training."],
        ["ablate", "--grid", "t"],
        ["evaluate", "r"],
    ],
)
def test_completion_imports_nothing_heavy(words):
    code = (
        "import json, os, sys\n"
        "from sm3kit.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ
        | {
            "_SM3KIT_COMPLETE": "fish_complete",
            "COMP_WORDS": " ".join(["sm3kit", *words]),
            "COMP_CWORD": words[-1],
        },
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr)}
    assert not loaded & {"torch", "timm", "numpy", "rich", "lightly", "faiss", "sklearn", "cv2"}


def test_every_command_can_be_completed():
    found = offered("")
    assert [one.partition("\t")[0] for one in found] == list(COMMANDS)

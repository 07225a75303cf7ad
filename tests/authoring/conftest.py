"""An environment of its own in which written distributions are installed, as a user would."""

import json
import os
import shlex
import subprocess
import sys
import sysconfig
import venv
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAUNCHER = '#!/bin/sh\nexec "{python}" -m {module} "$@"\n'
# Commands of sm3kit one after the other, so that libraries are imported once.
SEVERAL = """
import json, sys
from click.testing import CliRunner
from sm3kit.cli.main import cli
ends = []
for words in json.loads(sys.argv[1]):
    end = CliRunner().invoke(cli, words, prog_name="sm3kit")
    ends.append([end.exit_code, end.output])
print()
print(json.dumps(ends))
"""


class Workshop:
    """A virtual environment that sees what is installed here, and a folder to work in."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "work"
        self.folder.mkdir()
        self.home = root / "venv"
        venv.create(self.home, with_pip=False, symlinks=True)
        scripts = self.home / "bin"
        site = Path(sysconfig.get_path("purelib", vars={"base": str(self.home)}))
        # What is installed here, editable distributions included.
        here = sysconfig.get_path("purelib")
        site.joinpath("here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        self.python = scripts / "python"
        for module in ("pip", "pytest", "sm3kit"):
            launcher = scripts / module
            launcher.write_text(LAUNCHER.format(python=self.python, module=module))
            launcher.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "SM3KIT_CACHE": str(root / "cache"),
            # Nothing is downloaded: what is needed is installed here.
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # As pip has it: zero is "no isolation".
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self.environment.pop("PYTHONPATH", None)

    def run(self, command: str, code: int = 0) -> str:
        """Types a line in a shell; gives what it prints."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=580,
        )
        assert done.returncode == code, f"$ {command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def type_in(self, lines: list[str], folder: Path | None = None) -> dict[str, str]:
        """Types lines in a shell; commands of sm3kit that follow each other share a process.

        Returns:
            What each line prints.
        """
        said = {}
        place = shlex.quote(str(folder or self.folder))
        for ours, group in groupby(lines, lambda line: line.startswith("sm3kit ")):
            own = list(group)
            if not ours:
                said |= {line: self.run(f"cd {place}; {line}") for line in own}
                continue
            words = json.dumps([shlex.split(line)[1:] for line in own])
            python = f"{shlex.quote(str(self.python))} -c {shlex.quote(SEVERAL)}"
            ends = json.loads(
                self.run(f"cd {place}; {python} {shlex.quote(words)} 2>/dev/null").splitlines()[-1]
            )
            for line, (code, output) in zip(own, ends, strict=True):
                assert code == 0, f"$ {line}\n{output}"
                said[line] = output
        return said


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    if sys.platform == "win32":
        pytest.skip("the commands are those of a shell")
    return Workshop(tmp_path_factory.mktemp("workshop"))

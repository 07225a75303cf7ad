"""An environment of its own in which written distributions are installed, as a user would."""

import os
import shlex
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import warm_processes

ROOT = Path(__file__).parents[2]
LAUNCHER = '#!/bin/sh\nexec "{python}" -m {module} "$@"\n'
TIMEOUT = 580


class Workshop:
    """A virtual environment that sees what is installed here, and a folder to work in."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "work"
        self.folder.mkdir()
        self.home = root / "venv"
        venv.create(self.home, with_pip=False, symlinks=True)
        scripts = self.home / "bin"
        self.site = Path(sysconfig.get_path("purelib", vars={"base": str(self.home)}))
        # What is installed here, editable distributions included.
        here = sysconfig.get_path("purelib")
        self.site.joinpath("here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        python = scripts / "python"
        for module in ("pip", "pytest"):
            launcher = scripts / module
            launcher.write_text(LAUNCHER.format(python=python, module=module))
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

    def run(self, command: str, code: int = 0, folder: Path | None = None) -> str:
        """Types a line in a shell; gives what it prints.

        A command of sm3kit runs in a warm process that sees what is installed in the environment.
        """
        place = folder or self.folder
        if command.startswith("sm3kit "):
            found, *said = warm_processes.run(
                *shlex.split(command)[1:],
                timeout=TIMEOUT,
                cwd=place,
                environment=self.environment,
                packages=self.site,
            )
        else:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command],
                cwd=place,
                env=self.environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT,
            )
            found, said = done.returncode, [done.stdout, done.stderr]
        assert found == code, "\n".join([f"$ {command}", *said])
        return "".join(said)

    def type_in(self, lines: list[str], folder: Path | None = None) -> dict[str, str]:
        """What each of some lines prints, typed one after the other."""
        return {line: self.run(line, folder=folder) for line in lines}


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    if sys.platform == "win32":
        pytest.skip("the commands are those of a shell")
    return Workshop(tmp_path_factory.mktemp("workshop"))

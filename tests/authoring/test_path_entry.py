"""Python started beside the clone finds the package, and not the folder of the clone."""

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_editable(sys.argv[1])"


@pytest.mark.slow
def test_an_editable_install_beside_the_clone(tmp_path):
    """As `pip install -e .` makes it; the clone has the name of the package, as git gives it."""
    clone = tmp_path / "sm3kit"
    clone.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    code = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "sm3kit", clone / "sm3kit", ignore=code)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    words = [sys.executable, "-c", BUILD, str(wheels)]
    subprocess.run(words, cwd=clone, check=True, capture_output=True)
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    site = sysconfig.get_path("purelib", vars={"base": str(home)})
    for wheel in wheels.iterdir():
        zipfile.ZipFile(wheel).extractall(site)
    for folder in (tmp_path, clone, wheels):  # Beside, within, and away from the clone.
        done = subprocess.run(
            [home / "bin" / "python", "-c", "import sm3kit; print(sm3kit.__file__)"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            env={},
        )
        assert Path(done.stdout.strip()) == clone / "sm3kit" / "__init__.py"

"""The fixtures for plugin authors, in a session of pytest as an author has it."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

AUTHORS = '''
import csv
from pathlib import Path


class Own:
    """A fusion."""


def test_studies(tiny_studies):
    two, three = tiny_studies(), tiny_studies(10, ("ct", "mr", "pet"), missing=0.9)
    assert two != three and two.startswith("manifest:")
    rows = list(csv.DictReader(open(three.partition(":")[2])))
    assert len(rows) == 10
    cells = [[row[name] for name in ("ct", "mr", "pet") if row[name]] for row in rows]
    assert all(cells) and any(len(cell) < 3 for cell in cells)
    folder = Path(three.partition(":")[2]).parent
    assert all((folder / name).is_file() for cell in cells for name in cell)


def test_command(sm3kit_command, tiny_studies, tmp_path):
    done = sm3kit_command("data", "check", tiny_studies(missing=0.3))
    assert done.exit_code == 0, done.output
    assert Path.cwd() == tmp_path / "command"


def test_registered(registered, sm3kit_command):
    registered("fusions", "own", Own)
    assert sm3kit_command("plugins", "show", "own").output.startswith("fusion own, this session")


def test_forgotten(sm3kit_command):
    assert sm3kit_command("plugins", "show", "own").exit_code == 1


def test_installed(fake_distribution, sm3kit_command):
    files = {"own.py": "class Own:\\n    \\"One.\\"\\n"}
    fake_distribution("ownkit", {"fusions": {"own": "own:Own"}}, files, version="3.1", api=1)
    assert sm3kit_command("plugins", "show", "own").output.startswith("fusion own, ownkit 3.1")
'''


@pytest.mark.slow
def test_an_author_has_them_without_any_import(tmp_path):
    (tmp_path / "test_own.py").write_text(AUTHORS, encoding="utf-8")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_pytest_starts_without_importing_anything_heavy(tmp_path):
    """Everybody who has sm3kit installed pays for this at each start of pytest."""
    code = (
        "import sys, pytest\n"
        "pytest.main(['--collect-only', '-q'])\n"
        "heavy = {'torch', 'numpy', 'click', 'PIL', 'cv2', 'rich', 'yaml'}\n"
        "print(sorted(name for name in sys.modules if name.startswith('sm3kit')))\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    words = [sys.executable, "-c", code]
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "sm3kit.pytest_plugin"}
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-2:] == ["['sm3kit', 'sm3kit.pytest_plugin']", "[]"]


def test_studies_have_all_splits_and_classes(tiny_studies):
    table = Path(tiny_studies(30).partition(":")[2])
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for split in ("train", "val", "test"):
        found = [row for row in rows if row["split"] == split]
        assert {row["shade"] for row in found} == {"dark", "light"}
        assert {row["stripes"] for row in found} == {"few", "many", "some"}

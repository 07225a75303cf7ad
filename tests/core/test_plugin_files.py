"""Single files with plugins: found by this process and its children, and told when they fail."""

import os
import subprocess
import sys

import pytest

from sm3kit.core.errors import BrokenPlugin, UnknownName
from sm3kit.core.plugin_files import VARIABLE, name_files, named_files
from sm3kit.core.registry import registered_from, registry, with_plugin_files

OWN = """
from sm3kit.core.registry import registry
SM3KIT_API = 1

@registry("fusions").register("own")
class Own:
    def value(self):
        return 7
"""
SPAWN = """
import multiprocessing, sys
from sm3kit.core.registry import registry

def asked(one):
    return one.value()

if __name__ == "__main__":
    component = registry("fusions").get("own")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map_async(asked, [component()]).get(60))
"""


@pytest.fixture
def own(tmp_path):
    def write(source=OWN, name="own_plugin.py"):
        file = tmp_path / name
        file.write_text(source, encoding="utf-8")
        return file

    return write


@pytest.fixture
def fusions():
    return registry("fusions")


def test_a_file_is_known_within_a_block_and_forgotten_after(own, fusions):
    before, path = fusions.names(), list(sys.path)
    file = own()
    with with_plugin_files([file]):
        assert "own_plugin" not in sys.modules  # Imported when it is asked for.
        assert fusions.get("concat").__name__ == "Concat"
        assert "own_plugin" not in sys.modules
        assert fusions.get("own").__name__ == "Own"
        (declared,) = fusions.declarations("own")
        assert (declared.origin, declared.target) == ("own_plugin.py", "own_plugin:Own")
        assert (declared.api, declared.file) == (("1",), str(file))
        assert fusions.names() == sorted([*before, "own"])
    assert fusions.names() == before
    assert "own_plugin" not in sys.modules
    assert sys.path == path
    assert VARIABLE not in os.environ


def test_a_file_that_the_environment_names_stays(own, fusions, monkeypatch):
    file = own()
    monkeypatch.setenv(VARIABLE, str(file))
    with with_plugin_files([file]):
        component = fusions.get("own")
    assert fusions.get("own") is component
    monkeypatch.undo()
    with with_plugin_files([file]):  # Forgets it at its end.
        assert registered_from(file) == [("fusions", "own")]


def test_a_file_that_changed_is_read_anew(own, fusions):
    for name in ("first", "second"):
        with with_plugin_files([own(OWN.replace('"own"', f'"{name}"') + f"# {name}\n")]):
            assert fusions.get(name).__name__ == "Own"


def test_several_files(own, fusions):
    other = own(OWN.replace('"own"', '"other"'), "other_plugin.py")
    with with_plugin_files([own(), other]):
        assert {"own", "other"} <= set(fusions.names())
        assert named_files() == [own(), other]


def test_children_find_it(own, monkeypatch):
    """Both a process of its own, and one that gets its objects pickled."""
    file = own()
    monkeypatch.setenv(VARIABLE, "")
    name_files([file])
    words = [sys.executable, "-c", "from sm3kit.core.registry import registry as r; "]
    words[-1] += "print(r('fusions').get('own')().value())"
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "7\n"
    script = own(SPAWN, "main_program.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == "[7]\n"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = (\n", "cannot be imported: SyntaxError: '(' was never closed"),
        ("raise OSError('no licence')\n", "cannot be imported: OSError: no licence. Fix it."),
        ("import sys\nsys.exit(3)\n", "cannot be imported: SystemExit: 3. Fix it."),
        ("import cv9\n", "No module named 'cv9'. Install what it needs: pip install cv9"),
        ("import skimage.gone\n", "Install what it needs: pip install scikit-image"),
        ("x = 1\n", "registers nothing. Put @register(family, name) from sm3kit.api above its "),
        (
            OWN.replace('"own"', '"concat"'),
            "cannot be used: The fusion name 'concat' is taken by sm3",
        ),
        (OWN.replace('"fusions"', '"fusion"'), "cannot be used: No plugin family named 'fusion'"),
    ],
)
def test_a_file_that_cannot_be_used(own, fusions, source, said):
    file = own(source)
    before = fusions.names()
    with with_plugin_files([file]):
        for _ in range(2):  # It is told again, and leaves nothing half done.
            with pytest.raises(BrokenPlugin) as caught:
                fusions.names()
            assert f"plugin file {file} " in str(caught.value)
            assert said in str(caught.value)
            assert "\n" not in str(caught.value)
        assert fusions.get("concat").__name__ == "Concat"
    assert fusions.names() == before


def test_what_a_failing_file_registered_is_forgotten(own, fusions):
    file = own(OWN + "raise OSError\n")
    with with_plugin_files([file]), pytest.raises(BrokenPlugin):
        fusions.names()
    with pytest.raises(UnknownName):
        fusions.get("own")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("json.py", "has the name of the module 'json' of "),
        ("sys.py", "has the name of the module 'sys' of Python. Rename it."),
        (
            "own.plugin.py",
            "A plugin file must be named NAME.py, without further dots, not own.plugin.py.",
        ),
        ("own.txt", "A plugin file must be named NAME.py"),
    ],
)
def test_names_that_cannot_be(own, fusions, name, said):
    with with_plugin_files([own(OWN, name)]), pytest.raises(BrokenPlugin) as caught:
        fusions.names()
    assert said in str(caught.value)


def test_a_file_that_is_gone(tmp_path, fusions, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone.py"))
    with pytest.raises(BrokenPlugin, match=r"There is no plugin file .*gone\.py\. Check the path"):
        fusions.names()

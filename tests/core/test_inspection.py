"""Faults of plugins are found by reading; nothing of a plugin runs."""

import sys

import pytest

from sm3kit.core.inspection import why_broken
from sm3kit.core.installed import Declaration
from sm3kit.core.kinds import KINDS
from sm3kit.core.registry import registry


@pytest.fixture
def reason(fake_distribution):
    """reason(target, files): why the declaration is broken; nothing was imported."""

    def find(target, files):
        fake_distribution("sonokit", {"fusions": {"mean": target}}, files)
        (declared,) = registry("fusions").declarations("mean")
        before = set(sys.modules)
        found = why_broken(declared)
        mine = {path.partition("/")[0].removesuffix(".py") for path in files}
        assert not mine & {name.partition(".")[0] for name in sys.modules}
        assert set(sys.modules) == before
        return found

    return find


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("class Other:\n    pass\n", "sonokit has no 'Mean'"),
        ("", "sonokit has no 'Mean'"),
        ("def f(:\n", "sonokit.py: invalid syntax (sonokit.py, line 1)"),
        ("raise OSError('no licence')\nclass Mean: ...\n", "OSError('no licence')"),
        (
            "import qqq\nclass Mean: ...\n",
            "sonokit needs 'qqq', which is not installed: pip install qqq",
        ),
        ("import sys, qqq.deep as q\nclass Mean: ...\n", "sonokit needs 'qqq', which is"),
        ("from qqq.deep import x\nclass Mean: ...\n", "sonokit needs 'qqq', which is"),
        ("class Mean: ...\n# \N{BULLET}\x00\n", "sonokit.py: "),
    ],
)
def test_faults_that_reading_shows(reason, source, expected):
    assert expected in reason("sonokit:Mean", {"sonokit.py": source})


def test_a_raise_is_quoted(reason):
    found = reason("sonokit:Mean", {"sonokit.py": "raise OSError('no licence')\n"})
    assert found == "sonokit raises at import: OSError('no licence')"


@pytest.mark.parametrize(
    ("target", "files"),
    [
        ("sonokit:Mean", {}),
        ("sonokit.fusions:Mean", {"sonokit/__init__.py": ""}),
        ("sonokit.fusions:Mean", {"sonokit.py": "class Mean: ...\n"}),
    ],
)
def test_a_missing_module(reason, target, files):
    assert reason(target, files) == f"there is no module {target.partition(':')[0]!r}"


@pytest.mark.parametrize(
    "source",
    [
        "class Mean: ...\n",
        "def Mean(widths): ...\n",
        "from elsewhere import Mean\n",
        "from elsewhere import Other as Mean\n",
        "from elsewhere import *\n",
        "Mean = make()\n",
        "Mean: type = make()\n",
        "Other, (Mean, more) = make()\n",
        "def __getattr__(name): ...\n",
        "if fast:\n    class Mean: ...\nelse:\n    Mean = None\n",
        "try:\n    from qqq import Mean\nexcept ImportError:\n    Mean = None\n",
        "try:\n    import qqq\nexcept ImportError:\n    class Mean: ...\n",
        "try:\n    import qqq\nfinally:\n    class Mean: ...\n",
        "with context:\n    class Mean: ...\n",
        "match kind:\n    case 1:\n        class Mean: ...\n",
        "for Mean in (1, 2): ...\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import qqq\nclass Mean: ...\n",
        "def f():\n    import qqq\nclass Mean: ...\n",
    ],
)
def test_plugins_that_are_fine(reason, source):
    files = {"sonokit.py": source, "elsewhere.py": "class Mean: ...\nclass Other: ...\n"}
    assert reason("sonokit:Mean", files) == ""


def test_a_name_inside_a_function_is_no_definition(reason):
    source = "def f():\n    class Mean: ...\n    return Mean\n"
    assert reason("sonokit:Mean", {"sonokit.py": source}) == "sonokit has no 'Mean'"


@pytest.mark.parametrize(
    "path", ["sonokit/mean.py", "sonokit/deep/mean.py", "sonokit/deep/down/mean.py"]
)
def test_namespace_packages(reason, path):
    module = path.removesuffix(".py").replace("/", ".")
    assert reason(f"{module}:Mean", {path: "class Mean: ...\n"}) == ""


def test_a_package_may_define_the_plugin(reason):
    assert reason("sonokit:Mean", {"sonokit/__init__.py": "from .mean import Mean\n"}) == ""


def test_a_parent_package_does_not_run(reason):
    files = {"sonokit/__init__.py": "raise OSError\n", "sonokit/mean.py": "class Mean: ...\n"}
    assert reason("sonokit.mean:Mean", files) == ""


def test_a_nested_attribute(reason):
    assert reason("sonokit:Fusions.Mean", {"sonokit.py": "class Fusions: ...\n"}) == ""


def test_the_extras_of_a_target_are_no_part_of_its_name(reason):
    assert reason("sonokit:Mean [fast]", {"sonokit.py": "class Mean: ...\n"}) == ""


def test_a_compiled_module_is_left_to_the_import():
    assert why_broken(Declaration("mean", "math:Mean", "sonokit", "1.0")) == ""


@pytest.mark.parametrize("family", KINDS)
def test_the_built_in_plugins_are_fine(family):
    ours = [one for one in registry(family).declarations() if one.distribution == "sm3kit"]
    assert {one.name: why_broken(one) for one in ours} == {one.name: "" for one in ours}

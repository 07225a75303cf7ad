"""Fifty distributions, one broken and one slow to import: everything else works, and is light."""

import importlib.util
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "many_plugins.py"


@pytest.fixture(scope="module")
def many():
    spec = importlib.util.spec_from_file_location("many_plugins", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(many, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    many.install(folder)
    return folder


def test_all_are_listed_and_none_is_imported(many, site):
    start = time.perf_counter()
    listed = many.run(site, "plugins", "list")
    assert time.perf_counter() - start < 60  # Importing the slow one would take longer.
    lines = listed.splitlines()
    for number in range(many.COUNT):
        assert any(line.split()[:1] == [f"dummy_{number:02}"] for line in lines)
    said = "broken: dummy_00 needs 'not_to_be_found', which is not installed: pip install "
    assert [line.strip() for line in lines if "dummy_00 needs" in line] == [
        said + "not_to_be_found"
    ]
    assert listed.count("broken: ") == 1


@pytest.mark.slow
def test_the_rest_works_beside_the_broken_one(many, site):
    assert "pretrain" in many.run(site, "--help")
    assert "fusion concat, sm3kit" in many.run(site, "plugins", "show", "concat")
    assert "rate = 0.5  (float)" in many.run(site, "plugins", "show", "dummy_07")

"""`sm3kit plugins`: what is installed, what is broken and why, what each plugin takes."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner

from sm3kit.cli.main import cli
from sm3kit.core.kinds import KINDS
from sm3kit.core.options import options_of
from sm3kit.core.registry import registry

SCRIPT = Path(sysconfig.get_path("scripts")) / "sm3kit"
PLUGINS = [(family, name) for family in KINDS for name in registry(family).names()]
BROKEN = {
    "gone": ("nowhere:Mean", "there is no module 'nowhere'"),
    "empty": ("sonokit.empty:Mean", "sonokit.empty has no 'Mean'"),
    "torn": ("sonokit.torn:Mean", "torn.py: '(' was never closed (torn.py, line 1)"),
    "poor": (
        "sonokit.poor:Mean",
        "sonokit.poor needs 'qqq', which is not installed: pip install qqq",
    ),
}
FILES = {
    "sonokit/__init__.py": "",
    "sonokit/empty.py": "",
    "sonokit/torn.py": "x = (\n",
    "sonokit/poor.py": "import qqq\nclass Mean: ...\n",
    "sonokit/fine.py": (
        "class Mean:\n"
        '    """Takes the mean of all.\n\n'
        "    Args:\n"
        "        rate: a share,\n"
        "            0 to 1.\n"
        '    """\n'
        "    def __init__(self, widths, *, rate: float = 0.5, more: int = 1): ...\n"
    ),
    "sonokit/sly.py": "open('/nowhere/at/all')\nclass Mean: ...\n",
}


def sm3kit(*words):
    return CliRunner().invoke(cli, words, prog_name="sm3kit")


@pytest.mark.parametrize("family", list(KINDS))
def test_the_columns_of_the_list_are_straight(family):
    head, *lines = sm3kit("plugins", "list", "--family", family).output.splitlines()
    assert head == f"{family}: {KINDS[family].does}"
    declared = registry(family).declarations()
    assert [line.split()[0] for line in lines] == [plugin.name for plugin in declared]
    pairs = list(zip(lines, declared, strict=True))
    for part in ("origin", "target"):
        starts = {line.index(f"  {getattr(plugin, part)}") for line, plugin in pairs}
        assert len(starts) == 1, starts


@pytest.fixture
def broken(fake_distribution):
    """A distribution of one fine plugin and several broken ones."""
    targets = {name: target for name, (target, _) in BROKEN.items()}
    targets |= {"fine": "sonokit.fine:Mean", "sly": "sonokit.sly:Mean"}
    return fake_distribution("sonokit", {"fusions": targets}, FILES)


def listed(*words):
    result = sm3kit("plugins", "list", "--json", *words)
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_the_list_has_every_family_and_plugin():
    result = sm3kit("plugins", "list")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    for family, kind in KINDS.items():
        assert f"{family}: {kind.does}" in lines
    for family, name in PLUGINS:
        (declared,) = registry(family).declarations(name)
        assert any(
            line.split() == [name, *declared.origin.split(), declared.target] for line in lines
        )
    assert "broken" not in result.output


def test_the_list_as_json():
    found = listed()
    assert [(family, one["name"]) for family, rows in found.items() for one in rows] == PLUGINS
    assert set(found["fusions"][0]) == {"name", "origin", "target", "broken", "warning"}


def test_one_family():
    assert list(listed("--family", "fusions")) == ["fusions"]
    result = sm3kit("plugins", "list", "--family", "fusions")
    assert "fusions: " in result.output
    assert "objectives" not in result.output


def test_broken_plugins_are_listed_with_the_reason(broken):
    rows = {one["name"]: one["broken"] for one in listed()["fusions"]}
    assert {name: rows[name] for name in BROKEN} == {n: reason for n, (_, reason) in BROKEN.items()}
    assert {name for name, reason in rows.items() if reason} == set(BROKEN)
    text = sm3kit("plugins", "list").output
    for name, (target, reason) in BROKEN.items():
        first, second = text.partition(f"  {name} ")[2].splitlines()[:2]
        assert first.split() == ["sonokit", "1.0", target]
        assert second.strip() == f"broken: {reason}"
    assert not [name for name in sys.modules if name.startswith("sonokit")]


def test_a_plugin_for_another_api_is_marked(fake_distribution):
    fake_distribution("sonokit", {"fusions": {"fine": "sonokit.fine:Mean"}}, FILES, api=9)
    said = (
        "sonokit was written for version 9 of the plugin API, and this sm3kit has version 1: it "
        "may not work. Upgrade sm3kit."
    )
    assert {one["name"]: one["warning"] for one in listed()["fusions"]}["fine"] == said
    assert f"warning: {said}" in sm3kit("plugins", "list", "--family", "fusions").output
    assert f"warning: {said}" in sm3kit("plugins", "show", "fine").output
    assert {one["warning"] for one in listed("--family", "relations")["relations"]} == {""}


def test_loading_finds_what_reading_does_not(broken):
    rows = {
        one["name"]: one["broken"] for one in listed("--family", "fusions", "--load")["fusions"]
    }
    assert rows["sly"].startswith("The fusion 'sly' of sonokit 1.0 cannot be imported from ")
    assert "FileNotFoundError" in rows["sly"]
    assert rows["fine"] == rows["concat"] == ""
    assert rows["gone"] == BROKEN["gone"][1]


def test_everything_else_works_beside_broken_plugins(broken):
    assert "fusion concat, sm3kit" in sm3kit("plugins", "show", "concat").output
    assert (
        "fusion fine, sonokit 1.0 (sonokit.fine:Mean)" in sm3kit("plugins", "show", "fine").output
    )
    assert sm3kit("--help").exit_code == 0


def test_show_says_why_a_plugin_is_broken(broken):
    result = sm3kit("plugins", "show", "poor")
    assert result.output.splitlines() == [
        "fusion poor, sonokit 1.0 (sonokit.poor:Mean)",
        "broken: The fusion 'poor' of sonokit 1.0 cannot be imported from sonokit.poor:Mean: "
        "ModuleNotFoundError: No module named 'qqq'. Install what it needs: pip install qqq",
    ]


def test_a_broken_plugin_in_a_process_of_its_own(broken):
    done = subprocess.run(
        [SCRIPT, "plugins", "list", "--family", "fusions"],
        env=os.environ | {"PYTHONPATH": str(broken)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"broken: {BROKEN['torn'][1]}" in done.stdout


def test_a_clash_is_shown_at_both_and_hurts_nobody_else(fake_distribution):
    fake_distribution("sonokit", {"fusions": {"fine": "sonokit.fine:Mean"}}, FILES)
    fake_distribution("octkit", {"fusions": {"fine": "octkit:M", "oct": "octkit:M"}}, version="0.3")
    rows = [one for one in listed()["fusions"] if one["name"] == "fine"]
    assert [(one["origin"], one["broken"]) for one in rows] == [
        ("octkit 0.3", "the name is also claimed by sonokit 1.0"),
        ("sonokit 1.0", "the name is also claimed by octkit 0.3"),
    ]
    shown = sm3kit("plugins", "show", "fine")
    assert "broken: The fusion name 'fine' is claimed by octkit 0.3 (octkit:M) and " in shown.output
    assert sm3kit("plugins", "show", "concat").exit_code == 0


@pytest.mark.parametrize(("family", "name"), PLUGINS)
def test_every_plugin_can_be_shown_with_each_option_described(family, name):
    result = sm3kit("plugins", "show", f"{family}/{name}")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    (declared,) = registry(family).declarations(name)
    noun = KINDS[family].noun
    assert lines[0] == f"{noun} {name}, {declared.origin} ({declared.target})"
    options = options_of(registry(family).get(name))
    if not options:
        assert lines[-1] == "No options."
    for option in options.values():
        (place,) = [n for n, line in enumerate(lines) if line.startswith(f"  {option.name} = ")]
        assert lines[place].endswith(f"({option.type_text})")
        assert lines[place + 1].startswith("      "), f"{option.name} is not described"


@pytest.mark.parametrize("name", sorted({name for _, name in PLUGINS}))
def test_a_bare_name_shows_every_family_that_has_it(name):
    result = sm3kit("plugins", "show", name)
    assert result.exit_code == 0
    for family, found in PLUGINS:
        if found == name:
            assert f"{KINDS[family].noun} {name}, " in result.output


def test_a_plugin_is_shown(broken):
    assert sm3kit("plugins", "show", "fine").output.splitlines() == [
        "fusion fine, sonokit 1.0 (sonokit.fine:Mean)",
        "",
        "Takes the mean of all.",
        "",
        "Options, for -o fine.OPTION=VALUE:",
        "  rate = 0.5  (float)",
        "      a share, 0 to 1.",
        "  more = 1  (int)",
    ]


def test_unknown_names():
    result = sm3kit("plugins", "show", "fusion/concat")
    assert result.exit_code == 1
    assert "No plugin family named 'fusion'. Did you mean 'fusions'?" in result.stderr
    result = sm3kit("plugins", "show", "objectives/concat")
    assert result.exit_code == 1
    assert "No plugin named 'concat'." in result.stderr

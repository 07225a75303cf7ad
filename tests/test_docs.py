"""The documentation says what the code does: commands, options, recipes, links, generated pages."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

import click
import pytest

from sm3kit.cli.evaluate import evaluate
from sm3kit.cli.grid_progress import plan_lines
from sm3kit.cli.main import COMMANDS, cli
from sm3kit.core.errors import SM3Error
from sm3kit.core.kinds import KINDS
from sm3kit.core.options import bind, fields_of
from sm3kit.core.registry import registry
from sm3kit.core.variant import PARTS, Variant, table_at
from sm3kit.evaluation.settings import DEFAULTS, Settings
from sm3kit.grids import grid
from sm3kit.grids.runner import begin
from sm3kit.metrics.per_label import METRICS
from sm3kit.runs import recipes

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CI = ROOT / ".ci" / "run"
GENERATED = ("plugins", "recipes", "published")
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
FLAG_FAMILIES = {
    "--objective": "objectives",
    "--fusion": "fusions",
    "--relation": "relations",
    "--clusterer": "clusterers",
    "--loss": "losses",
    "--sampler": "samplers",
}
EXAMPLE = "clip"  # The plugin that the reader writes.


def without_blocks(text: str) -> str:
    """The text of a page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def commands_in(page: Path) -> Iterator[str]:
    """Every `sm3kit ...` that a page tells its reader to type."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [part for block in blocks for line in block.splitlines() for part in line.split("&&")]
    lines += re.findall(r"`(sm3kit [^`]+)`", without_blocks(text))
    for line in lines:
        found = re.search(r"(?:^|[\s/])(sm3kit [a-z].*)", line.strip())
        if found:
            yield found.group(1)


T = TypeVar("T")


def check_all(check: Callable[[T], None], places: Iterable[tuple[str, T]]) -> None:
    """That a check passes for the things of all named places; all that do not are told."""
    found = []
    for place, thing in places:
        try:
            check(thing)
        except (AssertionError, SM3Error) as error:
            found.append(f"{place}: {error}")
    assert not found, "\n".join([f"Violations: {len(found)}", *found])


def of_pages(pages: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Pages with their names, as `check_all` wants them."""
    return ((str(page.relative_to(ROOT)), page) for page in pages)


def resolved(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and the words behind its name."""
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"no command {words[0]}"
        command, words = found, words[1:]
    return command, words


def check_command(text: str) -> None:
    """That a command, its options and the names that they take are there."""
    command, words = resolved(shlex.split(text)[1:])
    families = FLAG_FAMILIES | (
        {"--classifier": "classifiers"} if command.name == "evaluate" else {}
    )
    known = {name: one for one in command.params for name in (*one.opts, *one.secondary_opts)}
    known |= {"--help": None, "--debug": None}
    for place, word in enumerate(words):
        if not word.startswith("-"):
            continue
        assert word in known, f"{text}: {word} is no option of it"
        value = words[place + 1] if place + 1 < len(words) else ""
        if isinstance(known[word], click.Parameter) and isinstance(known[word].type, click.Choice):
            assert value in known[word].type.choices, text
        if word in families:
            assert value in registry(families[word]).names() + [EXAMPLE], text
        elif word == "--recipe" and not value.endswith(".yaml"):
            assert value in recipes.names() + ["NAME"], text
        elif word == "--grid" and value and not value.startswith("-"):
            assert value.endswith(".yaml") or value in grid.names(), text
        elif word == "-o":
            check_plugin_option(value)


def test_every_command_of_the_documentation_exists() -> None:
    typed = [
        (f"{name}: {text}", text)
        for name, page in of_pages(PAGES)
        for text in dict.fromkeys(commands_in(page))
    ]
    assert typed
    check_all(check_command, typed)


def check_plugin_option(text: str) -> None:
    """That `plugin.option=value` would be taken; derm and clinic are modalities of `photo`."""
    name, _, value = text.partition("=")
    plugin, _, option = name.partition(".")
    if plugin in PARTS or name in fields_of(Variant):
        Variant().changed(table_at(name, value), text)
        return
    if plugin == "evaluate":
        Settings().changed({} if value == "VALUE" else {option: value}, text)
        return
    if plugin in ("PLUGIN", "NAME", EXAMPLE, "thermal"):
        return
    plugin = "photo" if plugin in ("derm", "clinic") else plugin
    owners = [family for family in KINDS if plugin in registry(family).names()]
    assert owners, f"-o {text}: no plugin {plugin}"
    if value != "VALUE":
        bind(registry(owners[0]).get(plugin), plugin, {option: value})


def check_options(page: Path) -> None:
    """That the options in the text of a page are there."""
    text = without_blocks(page.read_text(encoding="utf-8"))
    for code in re.findall(r"`([^`]+)`", text):
        for option in re.findall(r"(?:^| )-o ([\w-]+\.\w+=\S+)", code):
            check_plugin_option(option)


def test_every_option_of_the_text_exists() -> None:
    """Those in code blocks are part of a command, which another test looks at."""
    check_all(check_options, of_pages(PAGES))


def test_the_table_of_evaluation_settings_is_that_of_the_code() -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    table = text.partition("<!-- settings -->")[2].partition("<!-- end of settings -->")[0]
    lines = [[one.strip() for one in line.split("|")[1:-1]] for line in table.strip().splitlines()]
    flags = {one.name: one.opts[0] for one in evaluate.params}
    expected = []
    for name, value in dataclasses.asdict(Settings()).items():
        others = [
            f"{protocol}: {written(changes[name])}"
            for protocol, changes in DEFAULTS.items()
            if name in changes
        ]
        flag = f"`{flags[name]}`" if name in flags else ""
        expected.append([f"`{name}`", written(value), ", ".join(others), flag])
    assert [line[:4] for line in lines[2:]] == expected


def written(value: object) -> str:
    """A value as the table of settings has it."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {written(inner)}" for name, inner in value.items())
    if isinstance(value, tuple):
        return ",".join(written(part) for part in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_record_of_the_documentation_is_json() -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    record = json.loads(block)
    assert set(record["settings"]) <= {one.name for one in dataclasses.fields(Settings)}


def test_the_grids_of_the_documentation_are_grids(tmp_path: Path) -> None:
    """The plan of the first is shown; the others are looked up."""
    text = (ROOT / "docs" / "ablation.md").read_text(encoding="utf-8")
    plans = []
    for block in re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        (tmp_path / "mine.yaml").write_text(block, encoding="utf-8")
        file = str(tmp_path / "mine.yaml")
        run = begin(file, ["synthetic:40"], tmp_path / "grid", write=False)
        plans.append(plan_lines(run, 1, verbose=False)[1:-1])
    assert "\n".join(["grid     runs/ablation-mine", *plans[0], "```"]) in text


def test_every_built_in_grid_is_documented() -> None:
    text = (ROOT / "docs" / "ablation.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in grid.names())


def test_every_key_of_a_grid_is_documented() -> None:
    text = (ROOT / "docs" / "ablation.md").read_text(encoding="utf-8")
    keys = {one.name for one in dataclasses.fields(grid.Grid)} - {"name", "mode"}
    assert set(re.findall(r"^\| `(\w+)` \| .* \| .* \|$", text, re.M)) >= keys


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \| .* \| [\w ]+ \|$", text, re.M)) >= set(METRICS)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the generators, importable for one test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(ROOT / "docs")
    yield ROOT / "docs"
    for name in set(sys.modules) - before:
        if name.startswith("generate"):
            del sys.modules[name]


@pytest.mark.parametrize("name", GENERATED)
def test_generated_pages_are_up_to_date(
    name: str, scripts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = importlib.import_module(f"generate_{name}")
    assert not capsys.readouterr().out
    written = (scripts / f"{name}.md").read_text(encoding="utf-8")
    assert script.page() == written, f"write it anew with: python docs/generate_{name}.py"


def test_the_page_of_every_command_is_up_to_date(scripts: Path) -> None:
    pages = importlib.import_module("generate_commands").pages()
    assert {f"commands/{page.name}" for page in (scripts / "commands").glob("*.md")} == set(pages)
    assert set(pages) == {f"commands/{name}.md" for name in ("index", *COMMANDS)}
    for name, text in pages.items():
        written = (scripts / name).read_text(encoding="utf-8")
        assert text == written, "write it anew with: python docs/generate_commands.py"


def test_every_command_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"commands/(\w+)\.md", navigation)
    assert listed == ["index", *COMMANDS]


def test_the_pages_of_commands_are_checked_and_tidied(
    scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = importlib.import_module("generate_commands")
    monkeypatch.setattr(importlib.import_module("generated_page"), "DOCS", tmp_path)
    monkeypatch.setattr(script, "DOCS", tmp_path)
    script.main([], standalone_mode=False)
    script.main(["--check"], standalone_mode=False)
    (tmp_path / "commands" / "gone.md").write_text("", encoding="utf-8")
    with pytest.raises(click.ClickException) as caught:
        script.main(["--check"], standalone_mode=False)
    assert caught.value.message == "docs/commands/gone.md is of no command. Remove it."
    script.main([], standalone_mode=False)
    assert not (tmp_path / "commands" / "gone.md").exists()


def test_an_outdated_page_is_refused_with_what_to_do(
    scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = importlib.import_module("generated_page")
    monkeypatch.setattr(page, "DOCS", tmp_path)
    for name, script in (("recipes.md", "recipes"), ("commands/cache.md", "commands")):
        page.settle(name, "old", check=False)
        page.settle(name, "old", check=True)
        with pytest.raises(click.ClickException) as caught:
            page.settle(name, "new", check=True)
        assert caught.value.message == (
            f"docs/{name} is out of date. Write it anew with: python docs/generate_{script}.py"
        )


def check_recipe_is_documented(name: str) -> None:
    """That the pages that list recipes have this one."""
    for page in (README, ROOT / "docs" / "recipes.md"):
        text = page.read_text(encoding="utf-8")
        assert f"--recipe {name}`" in text or f"--recipe {name} " in text or f"`{name}`" in text


def test_every_recipe_is_documented() -> None:
    names = recipes.names()
    assert names
    check_all(check_recipe_is_documented, zip(names, names, strict=True))


def check_recipes(page: Path) -> None:
    """That the recipes that a page names are there."""
    named = set(re.findall(r"--recipe ([\w-]+)(?![\w.-])", page.read_text(encoding="utf-8")))
    assert named <= {*recipes.names(), "NAME"}


def test_every_recipe_of_a_page_exists() -> None:
    check_all(check_recipes, of_pages(PAGES))


def test_published_numbers_of_the_readme_are_those_of_the_recipes() -> None:
    rows = re.findall(r"^\| [\w +-]+ \| `([\w+-]+)` \| ([\d.]+)(.*?) \| .+ \|$", readme(), re.M)
    complete = {name for name in recipes.names() if recipes.load(name).get("complete")}
    # Without a row of their own, or with other steps than the commands above the table.
    others = {"random", "ssd-kd", "ssd-kd-internal", "f4m-full"}
    others |= {name for name in recipes.names() if name.endswith("-original")}
    assert {row[0] for row in rows} == set(recipes.names()) - complete - others
    for name, number, correction in rows:
        line = recipes.headline(name)
        assert f"published mean AUC {number} " in line
        own = re.findall(r"[\d.]+", correction)
        assert own == re.findall(r"mean of its own row is ([\d.]+)\)", line)


def test_the_row_commands_of_the_readme_work_for_every_row() -> None:
    (block,) = re.findall(r"^<!-- rows -->\n```sh\n(.*?)^```", readme(), re.DOTALL | re.M)
    for name in re.findall(r"^\| [\w +-]+ \| `([\w+-]+)` \| [\d.]+", readme(), re.M):
        for line in block.splitlines():
            check_command(line.replace("NAME", name))


def readme() -> str:
    """The text of the README."""
    return README.read_text(encoding="utf-8")


def test_the_readme_marks_the_two_commands_for_ci() -> None:
    for mark in ("install", "test"):
        assert re.search(rf"^<!-- ci: {mark} -->\n```sh\n.+\n```$", readme(), re.M)


def quickstart() -> list[str]:
    """The lines of the quick start that CI runs: bash takes them out of the page as CI does."""
    function = re.search(r"^block\(\) \{.*?^\}", CI.read_text(encoding="utf-8"), re.S | re.M)
    assert function
    done = subprocess.run(
        ["bash", "-c", f"{function.group()}\nblock quickstart docs/index.md"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout.splitlines()


def test_ci_runs_every_line_of_the_quick_start() -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    install, *others = [block.splitlines() for block in blocks]
    assert [line for block in others for line in block] == quickstart()
    assert re.search(rf"^{re.escape(install[0])} && ", readme(), re.M), "CI installs as README says"
    assert "block quickstart docs/index.md)" in CI.read_text(encoding="utf-8")


def test_the_quick_start_shows_every_command_that_a_newcomer_needs() -> None:
    named = {line.split()[1] for line in quickstart()}
    assert named == set(COMMANDS) - {"ablate", "cache", "completion"}


def test_the_fusion_of_the_page_on_python_is_the_example_that_runs() -> None:
    example = (ROOT / "examples" / "own_fusion.py").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert f"```python\n{example}```\n" in page


def check_links(page: Path) -> None:
    """That the links of a page within the project lead to a file, and to a heading of it."""
    text = without_blocks(page.read_text(encoding="utf-8"))
    pictures = re.findall(r"src(?:set)?=\"([^\"]+)\"", text)
    for link in re.findall(r"\]\(([^)\s]+)\)", text) + pictures:
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


def test_links_of_a_readme_lead_somewhere() -> None:
    check_all(check_links, of_pages([README, *(ROOT / "plugins").rglob("*.md")]))


def test_pages_read_as_source_too() -> None:
    """Nothing is included that only the site would show."""
    pages = [*PAGES, *(ROOT / "plugins").rglob("*.md")]
    including = [page for page in pages if "--8<--" in page.read_text(encoding="utf-8")]
    assert not including


def anchors(page: Path) -> set[str]:
    """What a link to a heading of a page may say."""
    heads = re.findall(r"^#+ (.+)$", without_blocks(page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in heads}


def test_the_drawing_is_there_and_describes_itself() -> None:
    drawing = ROOT / "docs" / "way-of-the-data.svg"
    tree = ElementTree.parse(drawing)
    names = {element.tag.rpartition("}")[2] for element in tree.iter()}
    assert {"svg", "title", "desc"} <= names
    assert drawing.name in (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")

"""Fixtures for the tests of plugins; pytest finds them wherever sm3kit is installed.

Nothing is imported before a fixture is used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from click.testing import Result
    from numpy.random import Generator
    from PIL.Image import Image as Picture

# A whole pre-training within seconds: what to add to `pretrain --data ...`.
TINY = (
    *("--recipe", "quick", "--image-size", "32", "--epochs", "1", "--mlssl-epochs", "1"),
    *("--batch-size", "8", "--feature-views", "1", "--workers", "0", "--precision", "32"),
)

SPLITS = ("train", "train", "train", "val", "test")
LABELS = {"shade": ("dark", "light"), "stripes": ("few", "many", "some")}


class Command(Protocol):
    """Runs `sm3kit WORDS...`; see the fixture `sm3kit_command`."""

    def __call__(self, *words: str | Path) -> Result:
        """The exit code and the output, as click tells them."""


class Studies(Protocol):
    """Writes small studies; see the fixture `tiny_studies`."""

    def __call__(
        self,
        count: int = 30,
        modalities: Sequence[str] = ("derm", "clinic"),
        missing: float = 0.0,
        size: int = 32,
    ) -> str:
        """The SPEC for --data."""


class Install(Protocol):
    """Installs a distribution on disk; see the fixture `fake_distribution`."""

    def __call__(
        self,
        name: str,
        plugins: Mapping[str, Mapping[str, str]],
        files: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        folder: str | None = None,
        api: int | None = None,
    ) -> Path:
        """The folder, for subprocesses."""


class Keep(Protocol):
    """Registers a component; see the fixture `registered`."""

    def __call__(self, family: str, name: str, component: Any) -> Any:
        """The component."""


@pytest.fixture
def sm3kit_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in this process, in an empty folder and with a cache of its own.

    done = sm3kit_command("plugins", "show", "my_fusion")
    assert done.exit_code == 0, done.output
    """
    folder = tmp_path / "command"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SM3KIT_CACHE", str(tmp_path / "cache"))

    def run(*words: str | Path) -> Result:
        from click.testing import CliRunner

        from sm3kit.cli.main import cli

        return CliRunner().invoke(cli, [str(word) for word in words], prog_name="sm3kit")

    return run


@pytest.fixture
def tiny_studies(tmp_path: Path) -> Studies:
    """Writes studies of a few pictures with two labels, and gives what --data takes.

    data = tiny_studies(modalities=("ct", "mr", "pet"), missing=0.2)
    """
    written: list[Path] = []

    def write(
        count: int = 30,
        modalities: Sequence[str] = ("derm", "clinic"),
        missing: float = 0.0,
        size: int = 32,
    ) -> str:
        folder = tmp_path / f"studies-{len(written)}"
        written.append(_write_studies(folder, count, modalities, missing, size))
        return f"manifest:{written[-1]}"

    return write


def _write_studies(
    folder: Path, count: int, modalities: Sequence[str], missing: float, size: int
) -> Path:
    """Writes pictures whose brightness and stripes are their labels, and gives a table of them.

    Three of five studies are for training. A study keeps at least one image.
    """
    import csv

    import numpy as np

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        shade, stripes = number // 5 % 2, number // 5 % 3
        row = {"id": f"study-{number:03}", "split": SPLITS[number % 5]}
        kept = number % len(modalities)
        for place, name in enumerate(modalities):
            row[name] = ""
            if place == kept or rng.random() >= missing:
                row[name] = f"{number:03}-{name}.png"
                _picture(shade, stripes, size, rng).save(folder / row[name])
        row |= {"shade": LABELS["shade"][shade], "stripes": LABELS["stripes"][stripes]}
        rows.append(row)
    table = folder / "studies.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return table


def _picture(shade: int, stripes: int, size: int, rng: Generator) -> Picture:
    import numpy as np
    from PIL import Image

    across = np.sin(np.arange(size) * (1 + stripes) * 6.28 / size)
    grey = 80 + 90 * shade + 40 * across + rng.normal(0, 10, (size, size))
    pixels = np.repeat(grey.clip(0, 255).astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
    return Image.fromarray(pixels)


@pytest.fixture
def fake_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a distribution on disk for one test.

    fake_distribution("sonokit", {"fusions": {"mean": "sonokit:Mean"}}, {"sonokit.py": "..."})
    """
    from sm3kit.core.installed import installed_plugins

    modules: set[str] = set()

    def install(
        name: str,
        plugins: Mapping[str, Mapping[str, str]],
        files: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        folder: str | None = None,
        api: int | None = None,
    ) -> Path:
        home = tmp_path / (folder or name)
        _write_metadata(home, name, version, plugins, api)
        for path, source in (files or {}).items():
            home.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
            home.joinpath(path).write_text(source, encoding="utf-8")
            modules.add(path.partition("/")[0].removesuffix(".py"))
        monkeypatch.syspath_prepend(home)
        installed_plugins.cache_clear()
        return home

    yield install
    for module in [name for name in sys.modules if name.partition(".")[0] in modules]:
        del sys.modules[module]
    installed_plugins.cache_clear()


def _write_metadata(
    home: Path,
    name: str,
    version: str,
    plugins: Mapping[str, Mapping[str, str]],
    api: int | None,
) -> None:
    """What pip writes beside an installed distribution."""
    info = home / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    info.joinpath("METADATA").write_text(text, encoding="utf-8")
    groups = {f"sm3kit.{family}": dict(entries) for family, entries in plugins.items()}
    if api is not None:
        groups["sm3kit.api"] = {str(api): name.replace("-", "_")}
    lines = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{entry} = {target}" for entry, target in entries.items())]
    info.joinpath("entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def registered() -> Iterator[Keep]:
    """Registers a component for one test.

    registered("fusions", "mean", Mean)
    """
    from sm3kit.core.registry import registry

    kept: list[tuple[str, str]] = []

    def keep(family: str, name: str, component: Any) -> Any:
        registry(family).register(name)(component)
        kept.append((family, name))
        return component

    yield keep
    for family, name in kept:
        registry(family).unregister(name)

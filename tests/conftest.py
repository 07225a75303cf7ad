"""What all tests share: one thread, no network, a cache of their own, distributions on disk."""

import os

# Before torch and huggingface_hub are imported: both read these only then.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import sys

import pytest

from sm3kit.core import registry


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """The tests neither read nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SM3KIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def fake_distribution(tmp_path, monkeypatch):
    """Installs a distribution on disk for one test; gives the folder, for subprocesses.

    fake_distribution("sonokit", {"fusions": {"mean": "sonokit:Mean"}}, {"sonokit.py": "..."})
    """
    written = set()

    def install(name, plugins, files=None, *, version="1.0", folder=None):
        home = tmp_path / (folder or name)
        info = home / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        info.joinpath("METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
        )
        lines = []
        for family, entries in plugins.items():
            lines.append(f"[sm3kit.{family}]")
            lines += [f"{entry} = {target}" for entry, target in entries.items()]
        info.joinpath("entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for path, source in (files or {}).items():
            home.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
            home.joinpath(path).write_text(source, encoding="utf-8")
            written.add(path.partition("/")[0].removesuffix(".py"))
        monkeypatch.syspath_prepend(home)
        registry._installed.cache_clear()
        return home

    yield install
    for module in [one for one in sys.modules if one.partition(".")[0] in written]:
        del sys.modules[module]
    registry._installed.cache_clear()


@pytest.fixture
def registered():
    """Registers a component for one test: registered("fusions", "mean", Mean)."""
    kept = []

    def keep(family, name, component):
        registry.registry(family).register(name)(component)
        kept.append((family, name))
        return component

    yield keep
    for family, name in kept:
        registry.registry(family).unregister(name)

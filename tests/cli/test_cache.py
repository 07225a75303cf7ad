"""`sm3kit cache`: what is kept, and that clearing harms nobody who is at work."""

import json
import os
import time

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sm3kit.cli.main import cli
from sm3kit.core.registry import registry
from sm3kit.data import cache_folders
from sm3kit.data.image_cache import ImageCache
from sm3kit.networks.feature_cache import FeatureCache

DAY = 86400


def sm3kit(*words, **more):
    return CliRunner().invoke(cli, words, prog_name="sm3kit", **more)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A cache with two images, one of them old, a table of features, and drawn studies."""
    root = tmp_path / "cache"
    monkeypatch.setenv("SM3KIT_CACHE", str(root))
    monkeypatch.setenv("SM3KIT_CACHE_LIMIT", "2")
    for path, size, days in (
        ("images/ab/new.npy", 2048, 0),
        ("images/ab/old.npy", 1024, 40),
        ("features/cd/table.npy", 512, 1),
        ("shards/ab.json", 256, 5),
        ("synthetic/x/manifest.csv", 100, 3),
    ):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size))
        moment = time.time() - days * DAY - 10
        os.utime(file, (moment, moment))
    return root


def left(root):
    return {file.name for file in root.rglob("*") if file.is_file()}


def test_what_is_kept_is_shown(root):
    assert sm3kit("cache").output == (
        f"{root}\n"
        "  images           2 files   3.0 KiB of 2.0 GiB\n"
        "            last used 40 days ago to today\n"
        "  features         1 files     512 B of 2.0 GiB\n"
        "            last used 1 day ago to 1 day ago\n"
        "  shards           1 files     256 B\n"
        "            last used 5 days ago to 5 days ago\n"
        "  synthetic        1 files     100 B\n"
        "            last used 3 days ago to 3 days ago\n"
        "  total                      3.8 KiB\n"
    )


def test_what_is_kept_as_json(root):
    document = json.loads(sm3kit("cache", "--json").stdout)
    assert document["folder"] == str(root)
    images, features, shards, drawn = document["parts"]
    assert (images["name"], images["files"], images["bytes"]) == ("images", 2, 3072)
    assert images["limit"] == features["limit"] == 2 * 2**30
    assert images["newest"] - images["oldest"] == pytest.approx(40 * DAY, abs=5)
    assert drawn["limit"] is None and shards["limit"] is None


def test_an_empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SM3KIT_CACHE", str(tmp_path / "none"))
    result = sm3kit("cache")
    assert result.exit_code == 0
    assert result.output.startswith(f"{tmp_path / 'none'}\n")
    assert result.output.endswith("      0 B\n")
    assert "0 files removed, 0 B freed" in sm3kit("cache", "clear", "--yes").output
    assert not (tmp_path / "none").exists()


def test_clearing_asks_and_tells_what_was_freed(root):
    refused = sm3kit("cache", "clear", input="n\n")
    assert refused.exit_code == 1
    assert f"Remove images, features, shards from {root}? [y/N]" in refused.output
    assert len(left(root)) == 5
    done = sm3kit("cache", "clear", input="y\n")
    assert done.output.endswith(
        "images           2 files removed, 3.0 KiB freed\n"
        "features         1 files removed, 512 B freed\n"
        "shards           1 files removed, 256 B freed\n"
    )
    assert left(root) == {"manifest.csv"}


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        (["images"], {"new.npy", "old.npy"}),
        (["features"], {"table.npy"}),
        (["shards"], {"ab.json"}),
        (["--older-than", "30"], {"old.npy"}),
        (["features", "--older-than", "30"], set()),
        (["images", "features", "--older-than", "0.5"], {"old.npy", "table.npy"}),
    ],
)
def test_a_part_is_cleared(root, words, gone):
    before = left(root)
    result = sm3kit("cache", "clear", *words, "--yes", "--json")
    assert before - left(root) == gone
    assert sum(one["files"] for one in json.loads(result.stdout)) == len(gone)


def test_what_another_process_is_writing_is_left_alone(root):
    file = root / "images" / "ab" / ".half.npy.1.part"
    file.write_bytes(b"x")
    sm3kit("cache", "clear", "--yes")
    assert file.name in left(root)
    moment = time.time() - 2 * cache_folders.STALE
    os.utime(file, (moment, moment))
    sm3kit("cache", "clear", "--yes")
    assert file.name not in left(root)


def test_a_training_goes_on_when_its_cache_is_cleared(tmp_path, monkeypatch):
    """Images are decoded again, and mapped features stay readable."""
    monkeypatch.setenv("SM3KIT_CACHE", str(tmp_path / "cache"))
    Image.effect_noise((16, 16), 50).convert("RGB").save(tmp_path / "a.png")
    photo = registry("modalities").get("photo")()
    images = ImageCache(tmp_path / "cache" / "images")
    features = FeatureCache(tmp_path / "cache" / "features")
    before = images.get(str(tmp_path / "a.png"), photo)
    rows = features.put("abcdef", np.ones((3, 2), np.float32))
    assert sm3kit("cache", "clear", "--yes").exit_code == 0
    assert not left(tmp_path / "cache")
    assert np.array_equal(images.get(str(tmp_path / "a.png"), photo), before)
    assert np.array_equal(rows, np.ones((3, 2)))
    assert features.get("abcdef") is None
    assert len(left(tmp_path / "cache")) == 1


def test_what_cannot_be_removed_is_counted(root, monkeypatch):
    def refuse(self, missing_ok=False):
        raise PermissionError(self)

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    output = sm3kit("cache", "clear", "features", "--yes").output
    assert output == "features         0 files removed, 0 B freed, 1 could not be removed\n"


def test_json_cannot_ask(root):
    result = sm3kit("cache", "clear", "--json")
    assert result.exit_code == 2
    assert result.stderr.endswith("Error: --json cannot ask for confirmation. Add --yes.\n")

"""Numbers in the environment: empty ones are unset, others are numbers or refused."""

import os
from pathlib import Path

import pytest

from sm3kit.core.errors import SM3Error, VariantError
from sm3kit.core.files import cache_root
from sm3kit.core.libraries import RANKS, THREADS, number, settle_numbers


@pytest.mark.parametrize("text", ["", " "])
def test_what_is_empty_is_unset(text, monkeypatch):
    names = [*RANKS, THREADS]
    for name in names:
        monkeypatch.setenv(name, text)
    settle_numbers()
    assert [name for name in names if name in os.environ] == []


@pytest.mark.parametrize("text", ["x", "1.5", "9" * 5000, "0x1"])
def test_what_is_no_number(text, monkeypatch):
    # However large, a number of threads is one.
    for name in RANKS if text.isdecimal() else [*RANKS, THREADS]:
        with monkeypatch.context() as patch:
            patch.setenv(name, text)
            with pytest.raises(VariantError) as caught:
                settle_numbers()
        said = str(caught.value)
        wanted = f"The environment variable {name} must be a number, not {text[:9]!r}"
        assert said.startswith(wanted[:-1])
        assert said.endswith(f". Run `unset {name}` first.")


@pytest.mark.parametrize(("name", "text"), [("RANK", "3"), ("WORLD_SIZE", "8"), (THREADS, "4,2")])
def test_numbers_stay(name, text, monkeypatch):
    monkeypatch.setenv(name, text)
    settle_numbers()
    assert os.environ[name] == text


@pytest.mark.parametrize("text", ["0", "4,", "4,0", "-1"])
def test_threads_are_counted_from_one(text, monkeypatch):
    monkeypatch.setenv(THREADS, text)
    with pytest.raises(VariantError, match="OMP_NUM_THREADS must be a number, not"):
        settle_numbers()


def test_a_number_has_a_default(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert number("RANK", 7) == 7
    monkeypatch.setenv("RANK", "5")
    assert number("RANK", 7) == 5


def test_a_cache_that_is_a_file(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("SM3KIT_CACHE", str(file))
    with pytest.raises(SM3Error) as caught:
        cache_root()
    assert (
        str(caught.value) == f"SM3KIT_CACHE must be a folder, but {file} is not one. Name another."
    )


def test_a_user_without_a_home(monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("SM3KIT_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", home)
    with pytest.raises(SM3Error) as caught:
        cache_root()
    assert str(caught.value) == "This user has no home folder. Set SM3KIT_CACHE to a folder."

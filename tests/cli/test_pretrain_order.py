"""The words of `sm3kit pretrain` mean the same in every order."""

import itertools
import re

import pytest
from click.testing import CliRunner

from sm3kit.cli.main import cli
from sm3kit.training import pretrain


class Asked(BaseException):
    """What would be trained."""


@pytest.fixture
def asked(monkeypatch):
    """asked(words): the variant that a command line asks for; nothing is trained."""

    def stop(variant, *rest):
        raise Asked(variant)

    monkeypatch.setattr(pretrain, "pretrain", stop)

    def ask(words):
        with pytest.raises(Asked) as caught:
            CliRunner().invoke(cli, ["pretrain", *words], catch_exceptions=False)
        return caught.value.args[0]

    return ask


def orders(*parts):
    return [list(itertools.chain(*order)) for order in itertools.permutations(parts)]


def test_flags_beat_recipes_wherever_they_stand(asked):
    parts = ("--recipe", "paper"), ("--lr", "0.1"), ("-o", "stage2.lr=0.5"), ("--epochs", "3")
    variants = [asked(words) for words in orders(*parts)]
    assert all(variant == variants[0] for variant in variants)
    assert variants[0].recipe == ("paper",)
    assert (variants[0].stage1.lr, variants[0].stage2.lr, variants[0].stage1.epochs) == (
        0.1,
        0.5,
        3,
    )


def test_a_fusion_that_was_asked_for_stays_wherever_it_stands(asked):
    parts = ("--modality", "derm"), ("--fusion", "sep_shared"), ("--recipe", "simclr")
    assert {asked(words).fusion for words in orders(*parts)} == {"sep_shared"}
    without = ("--modality", "derm"), ("--recipe", "sep_sep")
    assert {asked(words).fusion for words in orders(*without)} == {"none"}


def test_later_words_of_one_setting_win(asked):
    words = ["-o", "stage1.eps=1e-6", "-o", "simclr.temperature=0.3", "-o", "stage1.eps=1e-7"]
    variant = asked([*words, "-o", "simclr.temperature=0.4"])
    assert variant.stage1.eps == 1e-7
    assert float(variant.options["simclr"]["temperature"]) == 0.4


@pytest.mark.parametrize(
    "words",
    [
        ("--fusion", "wrong"),
        ("--objective", "wrong"),
        ("--relation", "wrong"),
        ("--clusterer", "wrong"),
        ("--backbone", "wrong"),
        ("--backbone", "derm=timm/wrong"),
        ("--modality", "wrong"),
        ("--data", "wrong:x"),
        ("-o", "simclr.wrong=1"),
        ("--image-size", "wrong=32"),
        ("-o", "simclr.temperature=0"),
        ("--weights", "wrong.pth"),
    ],
)
def test_nothing_is_said_about_a_run_before_its_choices_are_checked(words, tmp_path):
    """Neither where its settings come from nor its folder, which is not made either."""
    words = ["pretrain", "--data", "synthetic:20", *words, "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code != 0
    assert "wrong" in result.output or "temperature" in result.output
    assert "sm3kit 0" not in result.output
    assert "recipe quick" not in result.output
    assert not (tmp_path / "run").exists()


def test_what_is_said_first_is_where_the_settings_come_from(tmp_path):
    words = ["pretrain", "--data", "synthetic:20", "--epochs", "0", "--stage", "mmssl"]
    result = CliRunner().invoke(cli, [*words, "--out", str(tmp_path / "run")])
    first, second = result.output.splitlines()[:2]
    assert re.fullmatch(r"sm3kit \S+, recipe quick, because the built-in studies are small", first)
    assert second == f"run      {tmp_path / 'run'}"

"""The words of `sm3kit pretrain` mean the same in every order."""

import itertools

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

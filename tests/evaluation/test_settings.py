"""What an evaluation takes if nothing is said, and who beats whom."""

import dataclasses

import pytest

from sm3kit.core.errors import OptionError, VariantError
from sm3kit.core.variant import Variant
from sm3kit.evaluation.settings import MILD, settings_of

PLAIN = Variant(seed=7)
WIDE = {**MILD, "crop_scale": (0.3, 1.0)}


def of(protocol, flags=None, variant=PLAIN, relation=False):
    return settings_of(variant, protocol, flags or {}, relation=relation)


def test_the_probe_of_the_paper():
    found = of("probe")
    assert (found.epochs, found.batch_size, found.lr, found.eps) == (50, 128, 1e-3, 1e-5)
    assert (found.weight_decay, found.select, found.split) == (0.05, "val_best", "test")
    assert found.views == MILD


def test_a_probe_on_the_relation():
    found = of("probe", relation=True)
    assert (found.eps, found.views) == (1e-8, WIDE)


@pytest.mark.parametrize("recipe", [{}, {"probe-relation": {"lr": 0.5, "epochs": 9}}])
@pytest.mark.parametrize("said_by", ["user", "recipe"])
def test_heads_alone_learn_as_those_of_a_run_without_a_relation(recipe, said_by):
    evaluate = {**recipe, **({"probe": {"scope": "heads"}} if said_by == "recipe" else {})}
    variant = dataclasses.replace(PLAIN, evaluate=evaluate)
    flags = {"scope": "heads"} if said_by == "user" else {}
    found = of("probe", flags, variant, relation=True)
    assert found == of("probe", {"scope": "heads"})
    assert (found.eps, found.views, found.lr) == (1e-5, MILD, 1e-3)


def test_what_a_user_says_of_heads_stays():
    found = of("probe", {"scope": "heads", "eps": 1e-3}, relation=True)
    assert (found.scope, found.eps) == ("heads", 1e-3)


def test_the_fine_tuning_of_the_paper():
    for relation in (True, False):
        found = of("finetune", relation=relation)
        assert (found.epochs, found.batch_size, found.lr, found.eps) == (50, 64, 1e-4, 1e-8)
        assert found.views == (WIDE if relation else MILD)


def test_matching_selects_nothing():
    assert of("match").select == "last"


def test_the_seed_is_that_of_the_run_if_none_is_given():
    assert of("knn").seed == 7
    assert of("knn", {"seed": 0}).seed == 0


def test_the_protocol_is_that_of_the_run_if_none_is_given():
    assert of(None).protocol == "probe"
    assert of(None, variant=Variant(protocol="finetune")).protocol == "finetune"
    assert of("knn", variant=Variant(protocol="finetune")).protocol == "knn"


def test_flags_beat_recipes_and_recipes_beat_the_defaults():
    recipe = Variant(evaluate={"probe": {"lr": 0.5, "epochs": 3, "views": {"flip": 0.0}}})
    found = of("probe", {"epochs": 9}, recipe)
    assert (found.lr, found.epochs, found.batch_size) == (0.5, 9, 128)
    assert found.views == {**MILD, "flip": 0.0}
    assert of("finetune", variant=recipe).lr == 1e-4


@pytest.mark.parametrize("protocol", ["probe", "finetune"])
def test_what_is_said_of_a_relation_counts_for_a_relation_alone(protocol):
    recipe = Variant(evaluate={protocol: {"lr": 0.5}, f"{protocol}-relation": {"lr": 0.25}})
    assert of(protocol, variant=recipe).lr == 0.5
    assert of(protocol, variant=recipe, relation=True).lr == 0.25


def test_text_becomes_numbers():
    found = of("probe", {"lr": "0.1", "prototypes": "no", "resamples": "50"})
    assert (found.lr, found.prototypes, found.resamples) == (0.1, False, 50)


@pytest.mark.parametrize(
    ("flags", "error", "said"),
    [
        ({"speed": 1}, VariantError, "command line: No evaluation setting named 'speed'."),
        (
            {"protocol": "knn"},
            VariantError,
            "command line: the protocol is chosen by --protocol knn.",
        ),
        (
            {"epochs": 0},
            OptionError,
            "The command line: option 'epochs' must be a whole number from 1 to",
        ),
        (
            {"batch_size": 1},
            OptionError,
            "The command line: option 'batch_size' must be a whole number",
        ),
        (
            {"lr": 0.0},
            OptionError,
            "The command line: option 'lr' must be a number above 0 and at most",
        ),
        ({"lr": "x"}, OptionError, "The command line: option 'lr' must be a number above 0"),
        (
            {"views": "x"},
            VariantError,
            "command line: views must be a table in a recipe file, such as {flip: 0.5}, not 'x'.",
        ),
        ({"split": "all"}, OptionError, "The command line: option 'split' must be train|val|test"),
    ],
)
def test_mistakes(flags, error, said):
    with pytest.raises(error) as caught:
        of("probe", flags)
    assert str(caught.value).startswith(said)


def test_a_recipe_that_names_an_unknown_protocol():
    with pytest.raises(VariantError, match="No protocol named 'prob'. Did you mean 'probe'?"):
        of("knn", variant=Variant(evaluate={"prob": {}}))


def test_a_copy_leaves_the_first_as_it_was():
    first = of("probe")
    second = first.changed({"views": {"flip": 0.0}}, "test")
    assert first.views == MILD
    assert dataclasses.replace(second, views=first.views) == first

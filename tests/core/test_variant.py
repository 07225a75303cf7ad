"""The record of all choices of one run."""

import dataclasses
import typing

import pytest
import yaml

from sm3kit.core.errors import OptionError, VariantError
from sm3kit.core.options import Option, convert
from sm3kit.core.variant import MLSSL_VIEWS, OF_STAGE_2, RESUMABLE, TABLES, Variant


def test_changes_are_laid_over_a_copy():
    first = Variant()
    second = first.changed({"epochs": "7", "lr": 1, "objective": "byol,swav"}, "here")
    assert (second.epochs, second.lr, second.objective) == (7, 1.0, ("byol", "swav"))
    assert first == Variant()
    assert dataclasses.replace(second, epochs=400, lr=1e-6, objective=("simclr",)) == first


@pytest.mark.parametrize(
    ("changes", "field", "wanted"),
    [
        ({"data": "derm7pt:release_v0"}, "data", ("derm7pt:release_v0",)),
        ({"data": ["synthetic", "manifest:a.csv"]}, "data", ("synthetic", "manifest:a.csv")),
        ({"splits": "train,val"}, "splits", ("train", "val")),
        ({"precision": 32}, "precision", "32"),
        ({"betas": "0.9,0.99"}, "betas", (0.9, 0.99)),
        ({"channels_last": "no"}, "channels_last", False),
        ({"weights": "none"}, "weights", "none"),
        ({"map": {"clinic": "close-up"}}, "map", {"clinic": "close-up"}),
    ],
)
def test_text_and_typed_values(changes, field, wanted):
    assert getattr(Variant().changed(changes, "here"), field) == wanted


def test_no_changes_change_nothing():
    assert Variant().changed({}, "here") == Variant()


def test_options_are_merged_plugin_by_plugin():
    first = Variant().changed({"options": {"simclr": {"temperature": 0.1, "shards": 2}}}, "a")
    second = first.changed({"options": {"simclr": {"shards": "1"}, "photo": {"hue": 0}}}, "b")
    assert second.options == {"simclr": {"temperature": 0.1, "shards": "1"}, "photo": {"hue": 0}}
    assert first.options == {"simclr": {"temperature": 0.1, "shards": 2}}


def test_renamed_modalities_are_merged():
    first = Variant().changed({"map": {"a": "x", "b": "y"}}, "a")
    second = first.changed({"map": {"b": "z"}}, "b")
    assert second.map == {"a": "x", "b": "z"}
    assert first.map == {"a": "x", "b": "y"}


def test_variants_share_no_tables():
    first = Variant().changed({"options": {"simclr": {"shards": 2}}}, "a")
    first.changed({}, "b").changed({"options": {"simclr": {"shards": 1}}}, "c")
    Variant().options.setdefault("byol", {})
    assert first.options == {"simclr": {"shards": 2}}
    assert Variant().options == {}


def test_an_unknown_setting():
    with pytest.raises(VariantError) as caught:
        Variant().changed({"batchsize": 3}, "recipe 'mine'")
    text = str(caught.value)
    assert text.startswith(
        "recipe 'mine': No setting named 'batchsize'. Did you mean 'batch_size'? Known: backbone, "
    )
    assert all(field.name in text for field in dataclasses.fields(Variant))


def test_a_setting_that_yaml_does_not_read_as_text():
    with pytest.raises(VariantError, match=r"^recipe 'mine': No setting named 'True'\."):
        Variant().changed({True: 3}, "recipe 'mine'")


def test_an_ill_typed_setting():
    with pytest.raises(OptionError) as caught:
        Variant().changed({"epochs": "many"}, "command line")
    assert str(caught.value) == (
        "The command line: option 'epochs' wants a whole number from 0 to 1000000, not 'many'. "
        "Its default is 400."
    )
    with pytest.raises(OptionError, match=r"'last_batch' wants keep\|drop\|pad, not 'fold'\."):
        Variant().changed({"last_batch": "fold"}, "command line")
    with pytest.raises(OptionError, match=r"'objective' wants str,\.\.\., not \{'simclr': None\}"):
        Variant().changed({"objective": {"simclr": None}}, "recipe 'mine'")


@pytest.mark.parametrize("value", [None, 3, "temperature=1", ["temperature"]])
def test_options_of_a_plugin_are_a_table(value):
    with pytest.raises(VariantError) as caught:
        Variant().changed({"options": {"simclr": value}}, "recipe 'mine'")
    assert str(caught.value) == (f"recipe 'mine': options of 'simclr' want a table, not {value!r}.")


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("value", [None, 3, "simclr", ["simclr"]])
def test_tables_are_tables(name, value):
    with pytest.raises(VariantError) as caught:
        Variant().changed({name: value}, "recipe 'mine'")
    assert str(caught.value) == f"recipe 'mine': {name} wants a table, not {value!r}."


def test_differences_leave_out_what_may_change():
    first = Variant()
    second = first.changed({"epochs": 9, "lr": 1, "workers": 0, "recipe": "x"}, "here")
    assert first.differences(second) == {"lr": (1e-6, 1.0)}
    assert second.differences(first) == {"lr": (1.0, 1e-6)}
    assert first.differences(first) == {}
    assert set(RESUMABLE) <= {field.name for field in dataclasses.fields(Variant)}


def test_what_stage_2_depends_on_is_told_apart():
    first = Variant()
    changed = first.changed({"bank": "fresh", "mlssl_lr": 1, "mlssl_epochs": 9}, "here")
    assert first.differences(changed) == {"bank": ("memory", "fresh"), "mlssl_lr": (1e-4, 1.0)}
    assert set(OF_STAGE_2) <= {field.name for field in dataclasses.fields(Variant)}
    assert [name for name in Variant().as_dict() if name.startswith("mlssl_")] == [
        name for name in OF_STAGE_2 if name.startswith("mlssl_")
    ]


def test_stages_are_both_unless_one_is_named():
    assert Variant().stage == "both"
    assert Variant().changed({"stage": "mlssl"}, "here").stage == "mlssl"
    with pytest.raises(OptionError, match=r"'stage' wants both\|mmssl\|mlssl, not 'two'\."):
        Variant().changed({"stage": "two"}, "here")


def test_views_of_stage_2_are_merged():
    first = Variant().changed({"mlssl_views": {"jitter": 0.8}}, "here")
    assert first.mlssl_views == {**MLSSL_VIEWS, "jitter": 0.8}
    assert Variant().mlssl_views == MLSSL_VIEWS


def test_settings_of_evaluations_are_merged_protocol_by_protocol():
    first = Variant().changed({"evaluate": {"probe": {"epochs": 5, "lr": 1}}}, "a")
    second = first.changed({"evaluate": {"probe": {"lr": 2}, "knn": {"k": 3}}}, "b")
    assert second.evaluate == {"probe": {"epochs": 5, "lr": 2}, "knn": {"k": 3}}
    with pytest.raises(VariantError, match="b: evaluate of 'probe' want a table, not 3"):
        first.changed({"evaluate": {"probe": 3}}, "b")


def test_a_round_trip_through_yaml():
    variant = Variant().changed(
        {
            "recipe": ["quick", "byol"],
            "data": ["derm7pt:a b", "synthetic"],
            "map": {"clinic": "close-up"},
            "objective": "byol",
            "lr": 1e-6,
            "splits": "train,val",
            "precision": "32",
            "options": {"byol": {"momentum": 0.9, "hidden": "64"}, "photo": {"reduce": False}},
        },
        "here",
    )
    text = yaml.safe_dump(variant.as_dict(), sort_keys=False)
    assert Variant().changed(yaml.safe_load(text), "file") == variant
    assert "!!" not in text  # Plain YAML, which other programs read too.


def test_every_field_has_a_type_that_text_can_give():
    """Whatever is added to the variant can be set from the command line and from YAML."""
    hints = typing.get_type_hints(Variant)
    for name, value in Variant().as_dict().items():
        if name not in TABLES:
            default = getattr(Variant(), name)
            assert convert(Option(name, hints[name], default), value, "here") == default


def test_every_field_is_described():
    described = {
        name
        for line in Variant.__doc__.splitlines()
        for name in line.strip().partition(":")[0].split(", ")
        if ":" in line
    }
    assert {field.name for field in dataclasses.fields(Variant)} <= described


def test_a_variant_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Variant().epochs = 3

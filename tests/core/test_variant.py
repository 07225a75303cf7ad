"""The record of all choices of one run."""

import dataclasses
import typing

import pytest
import yaml
from tiny_runs import altered

from sm3kit.core.errors import OptionError, VariantError
from sm3kit.core.options import Option, convert
from sm3kit.core.settings import addresses, by_address
from sm3kit.core.stage_settings import (
    STAGE_2_VIEWS,
    MachineSettings,
    Stage1Settings,
    Stage2Settings,
)
from sm3kit.core.variant import OF_STAGE_2, PARTS, RESUMABLE, Variant, table_at

TABLES = ("options", "map", "evaluate", "per_modality")
RECORDS = (Variant, Stage1Settings, Stage2Settings, MachineSettings)


def test_changes_are_laid_over_a_copy():
    first = Variant()
    changes = {"stage1": {"epochs": "7", "lr": 1}, "objective": "byol,swav"}
    second = first.changed(changes, "here")
    assert (second.stage1.epochs, second.stage1.lr) == (7, 1.0)
    assert second.objective == ("byol", "swav")
    assert first == Variant()
    assert altered(second, objective=("simclr",), stage1={"epochs": 400, "lr": 1e-6}) == first


@pytest.mark.parametrize(
    ("changes", "field", "wanted"),
    [
        ({"data": "derm7pt:release_v0"}, "data", ("derm7pt:release_v0",)),
        ({"data": ["synthetic", "manifest:a.csv"]}, "data", ("synthetic", "manifest:a.csv")),
        ({"splits": "train,val"}, "splits", ("train", "val")),
        ({"stage1": {"precision": 32}}, "stage1.precision", "32"),
        ({"stage1": {"betas": "0.9,0.99"}}, "stage1.betas", (0.9, 0.99)),
        ({"machine": {"channels_last": "no"}}, "machine.channels_last", False),
        ({"weights": "none"}, "weights", "none"),
        ({"map": {"clinic": "close-up"}}, "map", {"clinic": "close-up"}),
    ],
)
def test_text_and_typed_values(changes, field, wanted):
    assert Variant().changed(changes, "here").at(field) == wanted


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
        "recipe 'mine': No setting named 'batchsize'. Did you mean 'stage1.batch_size' or "
        "'stage2.batch_size'? Known: backbone, "
    )
    assert all(address in text for address in addresses(Variant))


def test_a_setting_that_yaml_does_not_read_as_text():
    with pytest.raises(VariantError, match=r"^recipe 'mine': No setting named 'True'\."):
        Variant().changed({True: 3}, "recipe 'mine'")


def test_an_ill_typed_setting():
    with pytest.raises(OptionError) as caught:
        Variant().changed({"stage1": {"epochs": "many"}}, "command line")
    assert str(caught.value) == (
        "The command line: option 'stage1.epochs' must be a whole number from 0 to 1000000, not 'many'. "
        "Its default is 400."
    )
    with pytest.raises(
        OptionError, match=r"'stage1.last_batch' must be keep\|drop\|pad, not 'fold'\."
    ):
        Variant().changed({"stage1": {"last_batch": "fold"}}, "command line")
    with pytest.raises(
        OptionError, match=r"'objective' must be str,\.\.\., not \{'simclr': None\}"
    ):
        Variant().changed({"objective": {"simclr": None}}, "recipe 'mine'")


@pytest.mark.parametrize("value", [None, 3, "temperature=1", ["temperature"]])
def test_options_of_a_plugin_are_a_table(value):
    with pytest.raises(VariantError) as caught:
        Variant().changed({"options": {"simclr": value}}, "recipe 'mine'")
    assert str(caught.value) == (
        f"recipe 'mine': options of 'simclr' must be a table, not {value!r}."
    )


@pytest.mark.parametrize("name", [*TABLES, *PARTS])
@pytest.mark.parametrize("value", [None, 3, "simclr", ["simclr"]])
def test_tables_are_tables(name, value):
    with pytest.raises(VariantError) as caught:
        Variant().changed({name: value}, "recipe 'mine'")
    assert str(caught.value) == f"recipe 'mine': {name} must be a table, not {value!r}."


def test_differences_leave_out_what_may_change():
    first = Variant()
    second = first.changed(
        {"stage1": {"epochs": 9, "lr": 1}, "machine": {"workers": 0}, "recipe": "x"}, "here"
    )
    assert first.differences(second) == {"stage1.lr": (1e-6, 1.0)}
    assert second.differences(first) == {"stage1.lr": (1.0, 1e-6)}
    assert first.differences(first) == {}
    assert set(RESUMABLE) <= set(addresses(Variant))


def test_what_stage_2_depends_on_is_told_apart():
    first = Variant()
    changed = first.changed({"stage2": {"bank": "fresh", "lr": 1, "epochs": 9}}, "here")
    differ = {"stage2.bank": ("memory", "fresh"), "stage2.lr": (1e-4, 1.0)}
    assert first.differences(changed) == differ
    assert first.with_stage2_of(changed) == changed
    assert changed.of_stage1() == first.changed({"stage": "mmssl"}, "here")
    assert set(OF_STAGE_2) <= {field.name for field in dataclasses.fields(Variant)}


def test_stages_are_both_unless_one_is_named():
    assert Variant().stage == "both"
    assert Variant().changed({"stage": "mlssl"}, "here").stage == "mlssl"
    with pytest.raises(OptionError, match=r"'stage' must be both\|mmssl\|mlssl, not 'two'\."):
        Variant().changed({"stage": "two"}, "here")


def test_views_of_stage_2_are_merged():
    first = Variant().changed({"stage2": {"views": {"jitter": 0.8}}}, "here")
    assert first.stage2.views == {**STAGE_2_VIEWS, "jitter": 0.8}
    assert Variant().stage2.views == STAGE_2_VIEWS


def test_settings_of_evaluations_are_merged_protocol_by_protocol():
    first = Variant().changed({"evaluate": {"probe": {"epochs": 5, "lr": 1}}}, "a")
    second = first.changed({"evaluate": {"probe": {"lr": 2}, "knn": {"k": 3}}}, "b")
    assert second.evaluate == {"probe": {"epochs": 5, "lr": 2}, "knn": {"k": 3}}
    with pytest.raises(VariantError, match="b: evaluate of 'probe' must be a table, not 3"):
        first.changed({"evaluate": {"probe": 3}}, "b")


def test_a_round_trip_through_yaml():
    variant = Variant().changed(
        {
            "recipe": ["quick", "byol"],
            "data": ["derm7pt:a b", "synthetic"],
            "map": {"clinic": "close-up"},
            "objective": "byol",
            "stage1": {"lr": 1e-6, "precision": "32"},
            "splits": "train,val",
            "options": {"byol": {"momentum": 0.9, "hidden": "64"}, "photo": {"reduce": False}},
        },
        "here",
    )
    text = yaml.safe_dump(variant.as_dict(), sort_keys=False)
    assert Variant().changed(yaml.safe_load(text), "file") == variant
    assert "!!" not in text  # Plain YAML, which other programs read too.


def test_every_field_has_a_type_that_text_can_give():
    """Whatever is added to the variant can be set from the command line and from YAML."""
    for record in RECORDS:
        hints = typing.get_type_hints(record)
        for name, default in vars(record()).items():
            if not isinstance(default, dict) and not dataclasses.is_dataclass(default):
                plain = list(default) if isinstance(default, tuple) else default
                assert convert(Option(name, hints[name], default), plain, "here") == default


@pytest.mark.parametrize("record", RECORDS)
def test_every_field_is_described(record):
    described = {
        name
        for line in record.__doc__.splitlines()
        for name in line.strip().partition(":")[0].split(", ")
        if ":" in line
    }
    assert {field.name for field in dataclasses.fields(record)} <= described


def test_a_variant_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Variant().seed = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        Variant().stage1.epochs = 3


@pytest.mark.parametrize(
    ("address", "table"),
    [
        ("seed", {"seed": 3}),
        ("stage1.lr", {"stage1": {"lr": 3}}),
        ("stage2.views", {"stage2": {"views": 3}}),
        ("evaluate.probe-relation.lr", {"evaluate": {"probe-relation": {"lr": 3}}}),
        ("per_modality.t1.w.image_size", {"per_modality": {"t1.w": {"image_size": 3}}}),
        ("stage2.views.jitter", {"stage2": {"views": {"jitter": 3}}}),
        ("map.clinic", {"map": {"clinic": 3}}),
        ("simclr.temperature", {"options": {"simclr": {"temperature": 3}}}),
        ("t1.w.rotate", {"options": {"t1.w": {"rotate": 3}}}),
        ("data.rotate", {"options": {"data": {"rotate": 3}}}),
        ("options.machine.rotate", {"options": {"machine": {"rotate": 3}}}),
    ],
)
def test_an_address_is_a_place_in_a_recipe(address, table):
    assert table_at(address, 3) == table


def test_every_setting_is_found_and_changed_by_its_address():
    variant = Variant()
    for address, value in by_address(variant).items():
        assert variant.at(address) == value
        assert variant.changed(table_at(address, value), "here") == variant
    with pytest.raises(KeyError):
        variant.at("simclr.temperature")

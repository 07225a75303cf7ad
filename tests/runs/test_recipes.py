"""Recipes: one base, rows of the paper over it, flags over all."""

import dataclasses
import re

import pytest

from sm3kit.core.errors import OptionError, VariantError
from sm3kit.core.options import bind
from sm3kit.core.registry import registry
from sm3kit.core.settings import by_address
from sm3kit.core.variant import Variant
from sm3kit.evaluation.choices import check_evaluation
from sm3kit.evaluation.settings import settings_of
from sm3kit.networks.assemble import build_pool
from sm3kit.published.tables import for_recipe, is_reduced, published_row
from sm3kit.runs import recipes
from sm3kit.runs.recipes import Layer, headline, load, names

# Recipe -> the row of Table 5 as it is printed, and what the row chooses.
STAGE_1 = {
    "imagenet": ("ImageNet", {"weights": "imagenet", "stage1.epochs": 0, "fusion": "none"}),
    "simclr-derm": ("SimCLR-derm", {"modality": ("derm",), "fusion": "none"}),
    "simclr": ("SimCLR", {"objective": ("simclr",), "fusion": "none"}),
    "byol": ("BYOL", {"objective": ("byol",), "fusion": "none", "stage1.head_lr": 1e-3}),
    "swav": ("SwAV", {"objective": ("swav",), "fusion": "none", "stage1.head_lr": 1e-3}),
    "concat": ("concat", {"objective": ("simclr",), "fusion": "concat"}),
    "f4m-fs": ("F4M-FS", {"objective": ("simclr",), "fusion": "sum"}),
    "sep_shared": ("sep_shared", {"objective": ("simclr",), "fusion": "sep_shared"}),
    "sep_sep": ("sep_sep", {"objective": ("simclr",), "fusion": "sep_sep"}),
}
STAGE_2 = {"no_proj": "none", "proj": "proj", "msa": "msa", "tel": "tel", "te": "te"}
SEP_SEP = {"objective": ("simclr",), "fusion": "sep_sep"}
# Recipe -> the row of Table 1, and what the supervised system changes in its fine-tuning.
FROM_IMAGENET = {"stage": "mmssl", "weights": "imagenet", "fusion": "none", "stage1.epochs": 0}
F4M = {"classifier": "f4m", "stream_weights": "accuracy"}
F4M_ORIGINAL = {
    **F4M,
    "test_views": 6,
    "optimiser": "adam",
    "schedule": "cosine",
    "lr": 3e-5,
    "weight_decay": 0.0,
    "batch_size": 32,
    "epochs": 250,
}
BALANCED = {"classifier": "inception_combined", "sampler": "label_balanced"}
SUPERVISED = {
    "inception-combined": ("Inception-Combined", FROM_IMAGENET, BALANCED),
    "inception-combined-original": (
        "Inception-Combined",
        {**FROM_IMAGENET, "backbone": "timm/inception_v3.tv_in1k", "image_size": 512},
        {**BALANCED, "optimiser": "sgd", "weight_decay": 0.0, "lr": 1e-3},
    ),
    "hccnn": ("HcCNN", FROM_IMAGENET, {"classifier": "hccnn"}),
    "giin": ("GIIN", FROM_IMAGENET, {"classifier": "giin"}),
    "amfam": ("AMFAM", FROM_IMAGENET, {"classifier": "amfam"}),
    "f4m": ("F4M-FS", FROM_IMAGENET, F4M),
    "f4m-original": ("F4M-FS", FROM_IMAGENET, F4M_ORIGINAL),
    "f4m+sm3": ("F4M-FS + SM3", {"stage": "mmssl", **SEP_SEP}, F4M),
    "f4m+sm3-original": ("F4M-FS + SM3", {"stage": "mmssl", **SEP_SEP}, F4M_ORIGINAL),
}
ROWS = {name: (row, {"stage": "mmssl", **chosen}) for name, (row, chosen) in STAGE_1.items()} | {
    name: (name, {"stage": "both", **SEP_SEP, "relation": relation})
    for name, relation in STAGE_2.items()
}
OWN = ("derm7pt:release_v0",)
FAMILIES = (
    "backbones",
    "objectives",
    "fusions",
    "relations",
    "clusterers",
    "modalities",
    "datasets",
)


@pytest.fixture
def own_recipe(tmp_path):
    """own_recipe(text): the path of a recipe file."""

    def write(text, name="mine.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def resolve(recipe, flags):
    """What recipes and the settings of a command line give."""
    return recipes.resolve(Layer({"recipe": recipe, **flags}))


def but(variant, other):
    """The settings in which two variants differ, as the first has them."""
    own, others = by_address(variant), by_address(other)
    return {name: own[name] for name in own if name != "recipe" and own[name] != others[name]}


# The base


def test_the_built_in_studies_take_the_quick_recipe():
    variant, said = resolve([], {})
    assert variant.recipe == ("quick",)
    assert variant.backbone == "timm/test_resnet"
    assert said == "recipe quick, because the built-in studies are small"
    assert resolve([], {"data": ("synthetic:200", "synthetic")})[0].recipe == ("quick",)


@pytest.mark.parametrize("data", [OWN, ("synthetic", *OWN), ("synthetic-like:x",)])
def test_other_data_take_the_released_settings(data):
    variant, said = resolve([], {"data": data})
    assert variant.recipe == ("sm3",)
    assert (variant.backbone, variant.stage1.batch_size, variant.stage1.lr) == (
        "timm/resnet50.tv_in1k",
        96,
        1e-6,
    )
    assert variant.data == data
    assert said == (
        "recipe sm3, because the released settings on one device are the default for your own data"
    )


GIB = 1024**3


@pytest.mark.parametrize(
    ("gpu", "memory", "base"),
    [
        ("", 0, "small"),
        ("", 500 * GIB, "small"),
        ("RTX 3060", 12 * GIB, "small"),
        ("RTX 4090", 23.6 * GIB, "sm3"),
        ("H100", 80 * GIB, "sm3"),
    ],
)
def test_own_data_take_a_recipe_that_fits_the_machine(gpu, memory, base):
    chosen = recipes.base_for(gpu, int(memory))
    variant, said = recipes.resolve(Layer({"data": OWN}), own_data=chosen)
    assert variant.recipe == (chosen.name,) == (base,)
    remedy = f"; {chosen.remedy}" if base == "small" else ""
    assert said == f"recipe {base}, because {chosen.why}{remedy}"
    # The built-in studies are small on every machine.
    assert recipes.resolve(Layer({}), own_data=chosen)[0].recipe == ("quick",)


def test_the_reason_for_the_small_recipe_names_the_other_one():
    small = recipes.base_for("", 0)
    assert small.why == "this machine has no CUDA GPU and sm3 needs one with about 20 GiB"
    assert small.remedy == "--recipe sm3 selects the released settings anyway"
    assert recipes.base_for("RTX 3060", 12 * GIB).why == (
        "the RTX 3060 has 12 GiB of memory and sm3 needs one with about 20 GiB"
    )


def test_a_row_stands_on_the_recipe_for_the_machine():
    small = recipes.base_for("", 0)
    variant, said = recipes.resolve(Layer({"recipe": "byol", "data": OWN}), own_data=small)
    assert variant.recipe == ("small", "byol")
    assert said.startswith("recipe byol on small, because this machine has no CUDA GPU")
    # Whoever names a complete recipe gets it everywhere.
    named, said = recipes.resolve(Layer({"recipe": "sm3", "data": OWN}), own_data=small)
    assert (named.recipe, said) == (("sm3",), "recipe sm3")


@pytest.mark.parametrize("data", ["synthetic", "[synthetic]", "synthetic:200"])
def test_the_data_of_a_recipe_choose_the_base(own_recipe, data):
    assert resolve([own_recipe(f"data: {data}\n")], {})[0].recipe[0] == "quick"


def test_flags_choose_the_base_before_recipes(own_recipe):
    mine = own_recipe("data: [synthetic]\n")
    assert resolve([mine], {"data": OWN})[0].recipe[0] == "sm3"
    assert resolve([mine], {"data": OWN})[0].data == OWN
    theirs = own_recipe("data: derm7pt:x\n", "theirs.yaml")
    assert resolve([theirs], {})[0].recipe[0] == "sm3"
    # The later recipe counts.
    assert resolve([theirs, mine], {})[0].recipe[0] == "quick"
    assert resolve([mine, theirs], {})[0].recipe[0] == "sm3"


@pytest.mark.parametrize("name", ["quick", "small", "vit", "sm3", "release", "paper"])
def test_a_complete_recipe_has_no_base(name):
    for data in ({}, {"data": OWN}):
        variant, said = resolve([name], data)
        assert variant.recipe == (name,)
        assert said == f"recipe {name}"
    assert "base" not in load(name)


def test_a_complete_recipe_is_the_same_on_all_data():
    assert set(but(resolve(["release"], {})[0], resolve(["release"], {"data": OWN})[0])) == {"data"}


def test_a_recipe_may_name_its_base(own_recipe):
    mine = own_recipe("base: sm3\nstage1: {epochs: 3}\n")
    variant, said = resolve([mine], {})
    assert variant.recipe == ("sm3", mine)
    assert (variant.stage1.epochs, variant.backbone) == (3, "timm/resnet50.tv_in1k")
    assert said == f"recipe {mine}"


# Rows and layers


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("data", [("synthetic",), OWN])
def test_a_row_changes_only_what_the_row_says(name, data):
    base, _ = resolve([], {"data": data})
    variant, said = resolve([name], {"data": data})
    row, chosen = ROWS[name]
    assert variant.recipe == (base.recipe[0], name)
    assert said.startswith(f"recipe {name} on {base.recipe[0]}, because ")
    assert {one: variant.at(one) for one in chosen} == chosen
    assert set(but(variant, base)) <= set(chosen)


def test_rows_differ_from_each_other():
    resolved = [resolve([name], {"data": OWN})[0] for name in ROWS]
    for place, one in enumerate(resolved):
        assert all(but(one, other) for other in resolved[:place])


@pytest.mark.parametrize("name", ROWS)
def test_the_first_line_names_row_and_number(name):
    row, _ = ROWS[name]
    assert re.match(
        rf"Table 5, row {re.escape(row)}: published mean AUC \d\d\.\d\b", headline(name)
    )


@pytest.mark.parametrize("name", SUPERVISED)
@pytest.mark.parametrize("data", [("synthetic",), OWN])
def test_a_supervised_system_changes_only_its_fine_tuning(name, data):
    base, _ = resolve([], {"data": data})
    variant, _ = resolve([name], {"data": data})
    _, chosen, of_finetune = SUPERVISED[name]
    assert {setting: variant.at(setting) for setting in chosen} == chosen
    assert set(but(variant, base)) <= {*chosen, "protocol", "evaluate"}
    assert variant.protocol == "finetune"
    # All else is the paper's fine-tuning: AdamW, 1e-4, batches of 64, 50 epochs.
    usual, own = (settings_of(layers, "finetune", {}, relation=False) for layers in (base, variant))
    assert (usual.optimiser, usual.lr, usual.batch_size, usual.epochs) == ("adamw", 1e-4, 64, 50)
    views = {"views": own.views} if name.startswith("f4m") and name.endswith("original") else {}
    assert own == dataclasses.replace(usual, **of_finetune, **views)


def test_the_row_with_sm3_differs_from_f4m_by_its_pre_training_alone():
    for original in ("", "-original"):
        ours, theirs = (
            resolve([f"{name}{original}"], {"data": OWN})[0] for name in ("f4m+sm3", "f4m")
        )
        assert set(but(ours, theirs)) == {"fusion", "stage1.epochs"}
        assert ours.evaluate == theirs.evaluate
    sep_sep, _ = resolve(["sep_sep"], {"data": OWN})
    assert set(but(resolve(["f4m+sm3"], {"data": OWN})[0], sep_sep)) == {"protocol", "evaluate"}


def test_both_stages_of_f4m_are_f4m_and_machines_behind_it():
    full, first = (resolve([name], {"data": OWN})[0] for name in ("f4m-full", "f4m"))
    assert set(but(full, first)) == {"evaluate"}
    own = settings_of(full, "finetune", {}, relation=False)
    assert own == dataclasses.replace(
        settings_of(first, "finetune", {}, relation=False), stack="svm"
    )


@pytest.mark.parametrize("name", SUPERVISED)
def test_the_first_line_of_a_supervised_system_names_row_and_number(name):
    row = published_row("1", SUPERVISED[name][0])
    assert name in row.recipes
    number = row.cell("auc").printed
    assert headline(name).startswith(f"Table 1, row {row.name}: published mean AUC {number} (fine-")


def test_ssd_kd_without_other_images_is_no_row_of_the_paper():
    assert headline("ssd-kd").startswith("Table 1, row SSD-KD: published mean AUC 79.6 (probe)")
    assert headline("ssd-kd-internal").startswith("Not in the paper")
    assert for_recipe(["ssd-kd"]).cells["auc"]["mean"].printed == 79.6
    assert is_reduced(["sm3", "ssd-kd-internal"])
    chosen = {"objective": ("ssd_kd",), "fusion": "none", "stage": "mmssl"}
    for name in ("ssd-kd", "ssd-kd-internal"):
        variant, _ = resolve([name], {"data": OWN})
        assert {one: variant.at(one) for one in chosen} == chosen


@pytest.mark.parametrize("name", names())
def test_every_built_in_recipe_resolves(name):
    for data in ({}, {"data": OWN}):
        variant, _ = resolve([name], data)
        assert variant.recipe[-1] == name
        assert headline(name)
        # Its plugins and their options exist.
        registry("fusions").get(variant.fusion)
        registry("relations").get(variant.relation)
        registry("clusterers").get(variant.clusterer)
        check_evaluation(variant)
        for objective in variant.objective:
            registry("objectives").get(objective)
        for plugin, options in variant.options.items():
            families = [one for one in FAMILIES if plugin in registry(one).names()]
            assert len(families) == 1
            bind(registry(families[0]).get(plugin), plugin, options)


@pytest.mark.parametrize("name", names())
def test_a_recipe_begins_with_where_it_comes_from(name):
    text = (recipes.BUILT_IN / f"{name}.yaml").read_text(encoding="utf-8")
    assert re.match(r"# (Table|Section) \d|# The released code|# Not in the paper", text)


def test_flags_beat_recipes_beat_the_base():
    variant, _ = resolve(["byol"], {"fusion": "concat", "stage1": {"epochs": "2"}})
    assert (variant.objective, variant.fusion, variant.stage1.epochs) == (("byol",), "concat", 2)
    assert variant.stage1.batch_size == load("quick")["stage1"]["batch_size"]


def test_later_recipes_beat_earlier_ones():
    variant, said = resolve(["byol", "sep_shared"], {})
    assert variant.recipe == ("quick", "byol", "sep_shared")
    assert (variant.objective, variant.fusion) == (("simclr",), "sep_shared")
    assert said == "recipe byol, sep_shared on quick, because the built-in studies are small"
    assert resolve(["sep_shared", "byol"], {})[0].fusion == "none"


def test_a_row_over_a_complete_recipe():
    variant, said = resolve(["release", "byol"], {})
    assert variant.recipe == ("release", "byol")
    assert (variant.objective, variant.seed) == (("byol",), 3407)
    assert said == "recipe release, byol"


def test_options_of_recipes_and_flags_are_merged():
    flags = {"options": {"simclr": {"temperature": "0.5"}, "photo": {"hue": "0"}}}
    options = resolve(["release"], flags)[0].options
    assert options["simclr"] == {
        "temperature": "0.5",
        "projection": 128,
        "head": "sm3",
        "shards": 2,
        "mask_groups": False,
    }
    assert options["photo"] == {"reduce": False, "resize": "pillow", "hue": "0"}


def test_a_resolved_variant_is_a_recipe(own_recipe):
    """A number can be made again from one file."""
    import yaml

    variant, _ = resolve(["release", "swav"], {"seed": "7", "data": OWN})
    settings = {**variant.as_dict(), "complete": True}
    again, _ = resolve([own_recipe(yaml.safe_dump(settings))], {})
    assert but(again, variant) == {}


def test_the_released_settings_are_the_defaults():
    """`sm3` writes down what Variant has, so that both say the same."""
    assert but(resolve(["sm3"], {})[0], Variant()) == {}


# Files


@pytest.mark.parametrize("name", ["mine.yaml", "mine.yml", "mine"])
def test_a_file_is_a_recipe(own_recipe, name):
    path = own_recipe("# mine\nstage1:\n  epochs: 3\noptions:\n  byol: {momentum: 0.9}\n", name)
    variant, _ = resolve(["byol", path], {})
    assert variant.recipe == ("quick", "byol", path)
    assert variant.stage1.epochs == 3
    assert variant.options["byol"] == {"momentum": 0.9}


def test_an_unknown_recipe():
    with pytest.raises(VariantError) as caught:
        resolve(["byool"], {})
    assert str(caught.value) == (
        "No recipe named 'byool'. Did you mean 'byol'? "
        f"Known: {', '.join(names())}. Or give a .yaml file."
    )


def test_a_missing_file():
    with pytest.raises(VariantError) as caught:
        resolve(["nowhere/mine.yaml"], {})
    assert str(caught.value) == (
        f"No recipe file 'nowhere/mine.yaml'. Built-in recipes: {', '.join(names())}."
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "- simclr\n", "concat\n", "3\n"])
def test_a_file_without_a_table(own_recipe, text):
    path = own_recipe(text)
    with pytest.raises(VariantError) as caught:
        resolve([path], {})
    assert str(caught.value) == (
        f"Recipe {path!r} must be a table of settings, such as 'fusion: concat'."
    )


def test_a_file_that_is_no_yaml(own_recipe):
    path = own_recipe("fusion: [concat\n")
    with pytest.raises(VariantError) as caught:
        resolve([path], {})
    text = str(caught.value)
    assert text.startswith(f"Recipe {path!r} is not valid YAML: ")
    assert "line 2" in text
    assert "\n" not in text


@pytest.mark.parametrize("content", [b"fusion: \xff\xfe", b"PK\x03\x04\x00\x00\x00\x08"])
def test_a_file_that_is_no_text(own_recipe, content):
    path = own_recipe(content)
    with pytest.raises(VariantError, match="is not valid YAML"):
        resolve([path], {})


def test_yaml_cannot_run_code(own_recipe, tmp_path):
    path = own_recipe(f"fusion: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n")
    with pytest.raises(VariantError, match="is not valid YAML"):
        resolve([path], {})
    assert not (tmp_path / "made").exists()


def test_an_unknown_setting_names_the_recipe(own_recipe):
    path = own_recipe("batchsize: 3\n")
    with pytest.raises(VariantError) as caught:
        resolve([path], {})
    assert str(caught.value).startswith(
        f"recipe {path!r}: No setting named 'batchsize'. Did you mean 'stage1.batch_size' or "
    )


def test_an_ill_typed_setting_names_the_recipe_or_the_command_line(own_recipe):
    path = own_recipe("stage1: {epochs: many}\n")
    with pytest.raises(
        OptionError, match=r"^The recipe '.*': option 'stage1.epochs' must be a whole number"
    ):
        resolve([path], {})
    with pytest.raises(
        OptionError, match=r"^The command line: option 'stage1.lr' must be a number"
    ):
        resolve([], {"stage1": {"lr": "fast"}})


def test_an_unknown_base_names_it(own_recipe):
    with pytest.raises(VariantError, match=r"No recipe named 'sm4'\. Did you mean 'sm3'\?"):
        resolve([own_recipe("base: sm4\n")], {})


def test_a_file_that_is_called_like_a_built_in_recipe_does_not_hide_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "byol").write_text("fusion: concat\n")
    assert resolve(["byol"], {})[0].fusion == "none"


def test_one_modality_has_nothing_to_fuse():
    variant, said = resolve([], {"modality": ["derm"]})
    assert variant.fusion == "none"
    assert said.endswith("because the built-in studies are small; one modality, so fusion none")
    variant, _ = resolve([], {"modality": ["derm"], "fusion": "concat"})
    assert variant.fusion == "concat"
    variant, _ = resolve([], {"modality": ["derm", "clinic"]})
    assert variant.fusion == "sep_sep"


def test_a_setting_that_stands_there_twice_is_said(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("seed: 1\nseed: 2\n", encoding="utf-8")
    with pytest.raises(VariantError, match="'seed' is there twice, the second time in line 2"):
        recipes.load(str(file))


def test_a_later_layer_beats_the_recipes_and_settings_of_an_earlier_one():
    base = Layer({"recipe": "byol", "fusion": "sum", "stage1": {"epochs": 3}}, "base")
    row = Layer({"recipe": "concat", "stage1": {"lr": 1}}, "row")
    variant, said = recipes.resolve(base, row, Layer({"stage1": {"lr": "2"}}))
    assert variant.recipe == ("quick", "byol", "concat")
    assert (variant.objective, variant.fusion) == (("simclr",), "concat")
    assert (variant.stage1.epochs, variant.stage1.lr) == (3, 2.0)
    assert said == "recipe byol, concat on quick, because the built-in studies are small"


def test_the_settings_of_a_layer_name_its_source():
    with pytest.raises(
        OptionError, match=r"^The row 'a': option 'stage2.bank' must be memory\|fresh"
    ):
        recipes.resolve(Layer({"stage2": {"bank": "old"}}, "row 'a'"))


def test_the_name_of_an_older_setting_leads_to_its_new_one(own_recipe):
    path = own_recipe("mlssl_lr: 0.1\n")
    with pytest.raises(VariantError, match="Did you mean 'stage1.lr' or 'stage2.lr'"):
        resolve([path], {})


def test_who_names_the_modality_decides_on_the_fusion(own_recipe):
    base, row = {"fusion": "sep_shared"}, {"modality": ["derm"]}
    assert recipes.resolve(Layer(base), Layer(row))[0].fusion == "none"
    assert recipes.resolve(Layer(row), Layer(base))[0].fusion == "sep_shared"
    assert recipes.resolve(Layer(row | base))[0].fusion == "sep_shared"
    recipe = own_recipe("modality: [derm]\nfusion: sep_shared\n")
    assert resolve([recipe], {})[0].fusion == "sep_shared"
    assert resolve([recipe], {"modality": ["derm"]})[0].fusion == "none"


@pytest.mark.parametrize("key", ["base", "complete"])
def test_only_a_recipe_says_what_lies_below_it(key):
    with pytest.raises(VariantError, match=rf"^row 'a': No setting named '{key}'\."):
        recipes.resolve(Layer({key: "release"}, "row 'a'"))


def test_a_setting_of_a_part_stands_in_its_table(own_recipe):
    recipe = own_recipe("stage1.lr: 0.1\n")
    with pytest.raises(
        VariantError, match=r"stage1\.lr must be set in its table, stage1: \{lr: …\}\.$"
    ):
        resolve([recipe], {})


@pytest.mark.parametrize("owner", ["stage1", "stage2", "machine", "training"])
def test_a_part_is_no_plugin(owner):
    variant = recipes.resolve(Layer({"options": {owner: {"lr": 1}}}))[0]
    with pytest.raises(OptionError, match=rf"^Option -o {owner}\.…: No plugin named"):
        build_pool(variant)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("head_lr", "'stage1.head_lr'"),
        ("join_views", "'stage1.join_views'"),
        ("feature_views", "'stage2.feature_views'"),
        ("mlssl_epochs", "'stage1.epochs' or 'stage2.epochs'"),
        ("stage1.rl", "'stage1.lr'"),
    ],
)
def test_a_setting_without_its_part_is_found(old, new):
    with pytest.raises(VariantError, match=rf"Did you mean {re.escape(new)}\?"):
        recipes.resolve(Layer({old: 1}))

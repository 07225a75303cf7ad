"""Whatever the page of differences says is held by a test: rows, options, recipes, numbers.

Every row of a table has a check that quotes what the row says of sm3kit, and every sentence of the
text with a number or an option in it belongs to a check, too. Where the page changes, its check
asks to be looked at again.
"""

import contextlib
import copy
import dataclasses
import functools
import io
import math
import re
import shlex
import statistics
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, get_origin

import numpy as np
import pytest
import timm
import torch
import torchvision
from click.core import ParameterSource
from PIL import Image
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as tv

from sm3kit.backbones.base import Backbone
from sm3kit.backbones.timm import Timm
from sm3kit.cli.evaluate import evaluate
from sm3kit.cli.pretrain import pretrain
from sm3kit.cli.settings import parsed_options
from sm3kit.clusterers.base import Clusterer, Clustering
from sm3kit.clusterers.faiss import Faiss
from sm3kit.clusterers.release import Release, from_start
from sm3kit.core.errors import OptionError
from sm3kit.core.kinds import KINDS
from sm3kit.core.options import Option, bind, convert, options_of
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.datasets import derm7pt
from sm3kit.datasets.base import LabelSpec, ModalitySpec
from sm3kit.datasets.derm7pt import Derm7pt
from sm3kit.engine import fitting, hardware, recipes, stage1, stage2
from sm3kit.engine import pretrain as pretraining
from sm3kit.engine.assemble import build_backbone, build_stage1
from sm3kit.engine.batches import Batch
from sm3kit.engine.epoch_batches import EpochBatches
from sm3kit.engine.extraction import Features
from sm3kit.engine.extractor import Extractor
from sm3kit.engine.feature_cache import FeatureCache
from sm3kit.engine.image_cache import ImageCache
from sm3kit.engine.joint_batches import CachedJoint, EncodedJoint, JointBatch
from sm3kit.engine.mlssl import MultiLabelSSL, PseudoLabel
from sm3kit.engine.mmssl import MultiModalSSL
from sm3kit.engine.optimiser import adamw
from sm3kit.engine.pool import build_modality
from sm3kit.engine.progress import Reporter
from sm3kit.engine.run import Run
from sm3kit.evaluation import finetune, learning, probe
from sm3kit.evaluation.evaluate import _head
from sm3kit.evaluation.matching import match
from sm3kit.evaluation.selection import chooser
from sm3kit.evaluation.settings import DEFAULTS, Settings, settings_of
from sm3kit.evaluation.subject import open_subject
from sm3kit.evaluation.supervised import Supervised
from sm3kit.fusions.concat import Concat
from sm3kit.fusions.none import NoFusion
from sm3kit.fusions.sep_sep import SepSep
from sm3kit.fusions.sep_shared import SepShared
from sm3kit.fusions.sum import Sum
from sm3kit.imaging import colour, resizing
from sm3kit.metrics.bootstrap import case_weights
from sm3kit.metrics.per_label import METRICS, label_metrics
from sm3kit.metrics.predictions import LabelScores, Predictions
from sm3kit.metrics.summary import summarise
from sm3kit.nn.contrastive import in_shards, pairwise_ntx
from sm3kit.nn.label_heads import LabelHeads, label_loss
from sm3kit.nn.monitors import partner_ranks
from sm3kit.nn.precision import full_precision
from sm3kit.objectives.byol import BYOL
from sm3kit.objectives.swav import SwAV
from sm3kit.published.tables import load, published
from sm3kit.relations.msa import MSA
from sm3kit.relations.none import NoRelation
from sm3kit.relations.tel import TEL
from sm3kit.synthesis import layout_derm7pt, layouts

PAGE = Path(__file__).parents[1] / "docs" / "differences.md"
STAGE_1 = "Stage 1: where paper and code disagree"
STAGE_2 = "Stage 2: where paper and code disagree"
EVALUATION = "Evaluation"
BOTH = "Where sm3kit differs from both"
ALIKE = "What is as in the code"
PRINTED = "Printed numbers to be careful with"
OURS = ("default", "sm3kit", "mean of the row")  # The column that a row speaks of sm3kit in.

OWN = ("derm7pt:release_v0",)  # Data for which `sm3` is the default; nothing is read from it.
TRAINING = sum(load().labels["DIAG"].counts["train"].values())
EXACT = {"rtol": 1e-9, "atol": 1e-9}  # float64, two ways to the same number
CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # float32


# The page


def read_page(text):
    """{(section, first cell): {column: cell}} of all tables, and {section: the rest as one line}."""
    tables, prose = {}, {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE):
        title, _, body = part.partition("\n")
        title = "" if title.startswith("# ") else title
        lines = body.splitlines()
        prose[title] = " ".join(" ".join(one for one in lines if one[:1] != "|").split())
        cells = [[c.strip() for c in one.split("|")[1:-1]] for one in lines if one[:1] == "|"]
        if not cells:
            continue
        columns = ["default" if one.startswith("default") else one for one in cells[0]]
        for row in cells[2:]:
            assert (title, row[0]) not in tables, f"two rows {row[0]!r} in {title!r}"
            tables[title, row[0]] = dict(zip(columns, row, strict=True))
    return tables, prose


ROWS, PROSE = read_page(PAGE.read_text(encoding="utf-8"))
CHECKS, SAID = {}, {}  # {(section, first cell): function}, {(section, first cell): what it holds}
QUOTED = []  # (section, part of a sentence)


def row(section, what, says):
    """Marks the check of a row, with what the row says of sm3kit."""

    def keep(check):
        assert (section, what) not in CHECKS, f"two checks of {what!r}"
        CHECKS[section, what], SAID[section, what] = check, says
        return check

    return keep


def sentence(section, *parts):
    """Marks the check of sentences, by parts of them."""

    def keep(check):
        QUOTED.extend((section, part) for part in parts)
        return check

    return keep


# What the page tells of others alone, or of where to read on.
QUOTED += [
    (STAGE_1, "The code splits the batch of 96 over two GPUs"),
    (EVALUATION, "The rows of Table 5 put both in one column"),
    (PRINTED, "These and more errors are part of sm3kit's"),
]


def ours(cells):
    """What a row says of sm3kit."""
    (found,) = (cells[column] for column in OURS if column in cells)
    return found


def commands(text):
    """The words of every piece of code that is for the command line."""
    return [shlex.split(code) for code in re.findall(r"`([^`]+)`", text) if code.startswith("-")]


IN_RECIPES = re.compile(r"(?:so|off|used|itself) in (`[\w-]+`(?: and `[\w-]+`)*)")


def named_recipes(text):
    """The recipes that a row says have its settings."""
    return [name for found in IN_RECIPES.findall(text) for name in re.findall(r"`([\w-]+)`", found)]


def test_every_row_has_a_check_and_every_check_a_row():
    assert set(CHECKS) == set(ROWS)
    for check in CHECKS.values():
        assert globals()[check.__name__] is check, f"{check.__name__} is replaced by another"
        assert check.__name__.startswith("test_"), f"pytest does not run {check.__name__}"


@pytest.mark.parametrize("key", ROWS, ids=" - ".join)
def test_a_row_says_what_its_check_holds(key):
    assert ours(ROWS[key]) == SAID.get(key)


def test_every_sentence_with_a_number_or_an_option_is_quoted_once():
    for section, part in QUOTED:
        assert PROSE[section].count(part) == 1, f"{part!r} in {section!r}"
    for section, text in PROSE.items():
        for one in re.split(r"(?<=[.:])\s+(?=[A-Z*`])", text):
            held = any(part in one for where, part in QUOTED if where == section)
            assert held or not re.search(r"[\d`]", one), f"no check of {one!r}"


# Options and recipes, whatever the row


def component(name):
    """The plugin of a name."""
    family = next(one for one in KINDS if name in registry(one).names())
    return registry(family).get(name)


@functools.cache
def resolved(*names):
    """The variant of recipes, over the default for own data where none is complete."""
    return recipes.resolve(names, {"data": OWN})[0]


def recipe(*names, **flags):
    """The variant of recipes and settings from the command line."""
    return resolved(*names).changed(flags, "command line")


def as_typed(section, words):
    """{(owner, option): value} of words on the command line, converted as the command does it.

    The owner is "training", "evaluate" or a plugin.
    """
    command, name, owner = (pretrain, "pretrain", "training")
    if section == EVALUATION:
        command, name, owner, words = evaluate, "evaluate", "evaluate", ["RUN", *words]
    context = command.make_context(name, list(words))
    given = {
        one: value
        for one, value in context.params.items()
        if context.get_parameter_source(one) is ParameterSource.COMMANDLINE and one != "runs"
    }
    plugins = parsed_options(given.pop("options", ()))
    given |= plugins.pop(owner, {})
    base = Settings() if owner == "evaluate" else Variant()
    changed = base.changed(given, "command line")
    found = {(owner, one): getattr(changed, one) for one in given}
    for plugin, options in plugins.items():
        bound = bind(component(plugin), plugin, options)
        found |= {(plugin, one): value for one, value in bound.items()}
    return found


# (protocol, after stage 2) of the evaluations that a row is about; all of them, where it is not here.
ABOUT = {
    "Epochs of the probe after stage 2": [("probe", True)],
    "Views of a probe": [("probe", False), ("probe", True)],
    "Fine-tuning after stage 2": [("finetune", True)],
    "AdamW's eps in that fine-tuning": [("finetune", False)],
    "Precision of a probe after stage 1": [("probe", False)],
    "Precision after stage 2, and of fine-tuning": [
        ("probe", True),
        ("finetune", False),
        ("finetune", True),
    ],
}
EVERY = [(protocol, after) for protocol in ("probe", "finetune") for after in (False, True)]
# Rows of the paper that a row is about, where it is not about all.
OF_ROWS = {"Learning rate of new layers in the rows BYOL and SwAV": ("byol", "swav")}


def values(setting, base, what):
    """The values that a setting has in a recipe, in all that a row is about.

    Args:
        base: the recipe, or "" for the default.
        what: the first cell of the row.
    """
    owner, option = setting
    found = []
    for own in OF_ROWS.get(what, ("",)):
        variant = recipe(*(name for name in (base, own) if name))
        if owner == "training":
            found.append(getattr(variant, option))
        elif owner == "evaluate":
            for protocol, after in ABOUT.get(what, EVERY):
                settings = settings_of(variant, protocol, {}, relation=after)
                found.append(getattr(settings, option))
        else:
            default = options_of(component(owner))[option].default
            bound = bind(component(owner), owner, variant.options.get(owner, {}))
            found.append(bound.get(option, default))
    return found


WITH_OPTIONS = [key for key, cells in ROWS.items() if commands(" ".join(cells.values()))]


@pytest.mark.parametrize("key", WITH_OPTIONS, ids=" - ".join)
def test_recipes_have_the_options_of_a_row_where_it_says_so_and_nowhere_else(key):
    section, what = key
    text = " ".join(ROWS[key].values())
    named = named_recipes(text)
    assert set(named) <= set(recipes.names())
    for words in commands(text):
        settings = as_typed(section, words)
        assert settings, f"{words} sets nothing"
        for setting, value in settings.items():
            for base in ("", "sm3", "release", "paper"):
                found = values(setting, base, what)
                if base in named:
                    assert found == [value] * len(found), f"{setting} in {base}"
                else:
                    assert value not in found, f"{setting} in {base or 'the default'}"


def test_no_mention_of_a_recipe_in_a_table_is_overlooked():
    for (section, what), cells in ROWS.items():
        text = " ".join(cells.values())
        if named_recipes(text):
            assert (section, what) in WITH_OPTIONS
        if (section, what) not in ((STAGE_2, "Views"), (BOTH, "Learning rate")):
            rest = IN_RECIPES.sub("", text)
            assert not re.search(r"`(?:quick|sm3|release|paper)`", rest)


@pytest.mark.parametrize("section", PROSE)
def test_every_option_of_the_text_is_one_of_the_command_line(section):
    for words in commands(PROSE[section]):
        assert as_typed(section, words)


def number_of(text, setting):
    """A cell as a value of the setting; None if it is a description."""
    owner, option = setting
    if owner in ("training", "evaluate"):
        kind = dict(_types(Variant if owner == "training" else Settings))[option]
    else:
        kind = options_of(component(owner))[option].type
    if kind not in (int, float) and get_origin(kind) is not Literal:
        return None
    try:
        return convert(Option(option, kind, None), text, "cell")
    except OptionError:
        return None


def _types(record):
    from typing import get_type_hints

    return get_type_hints(record).items()


# (row, column, recipe, setting) where a cell is a number or a word that the setting may have.
IN_CELLS = [
    (key, column, base, setting)
    for key in WITH_OPTIONS
    for words in commands(ROWS[key].get("the other way", ""))
    for setting in as_typed(key[0], words)
    for column, base in (("paper", "paper"), ("released code", "release"), ("default", "sm3"))
    if number_of(ROWS[key][column], setting) is not None
]


@pytest.mark.parametrize(
    ("key", "column", "base", "setting"),
    IN_CELLS,
    ids=[f"{key[0]} - {key[1]} - {column}" for key, column, _, _ in IN_CELLS],
)
def test_a_number_in_a_cell_is_that_of_the_recipe(key, column, base, setting):
    wanted = number_of(ROWS[key][column], setting)
    found = values(setting, base, key[1])
    assert found == [wanted] * len(found)


def test_numbers_of_cells_are_found():
    """Otherwise nothing would be compared: the four rows of weight decay and eps in each column."""
    assert len(IN_CELLS) >= 20


@sentence("", "the default follows the code", "the recipe `release` follows the code more closely")
def test_the_default_follows_the_code_in_both_stages():
    cells = {(key, column): number_of(ROWS[key][column], one) for key, column, _, one in IN_CELLS}
    for key, column in cells:
        if key[0] in (STAGE_1, STAGE_2) and column == "released code":
            assert cells[key, "default"] == cells[key, "released code"]
    nearer = [key for key in WITH_OPTIONS if "release" in named_recipes(str(ROWS[key].values()))]
    assert nearer
    assert not [key for key in nearer if ours(ROWS[key]) == "as the code"]


@sentence("", "no recipe takes over by itself")
@pytest.mark.parametrize("name", recipes.names())
def test_no_recipe_chooses_an_epoch_by_the_test_split(name):
    variant = recipe(name)
    for protocol, after in EVERY:
        assert settings_of(variant, protocol, {}, relation=after).select == "val_best"


# Tiny networks


MODALITIES = derm7pt.MODALITIES
COUNT, WIDTH, STEPS = 8, 6, 5


class Small(Backbone):
    """A convolution with batch norm."""

    def __init__(self, model, channels):
        super().__init__()
        self.width = WIDTH
        self.layers = nn.Sequential(nn.Conv2d(channels, WIDTH, 3), nn.BatchNorm2d(WIDTH))

    def forward(self, view):
        return self.layers(view).relu().mean(dim=(2, 3))


class Plain:
    """A modality whose views are what the network wants."""

    channels = 3

    def normalise(self, views):
        return views


@pytest.fixture(autouse=True)
def _small_backbone():
    torch.manual_seed(0)
    registry("backbones").register("small")(Small)
    yield
    registry("backbones").unregister("small")


def training(*names, **changes):
    """Stage 1 of recipes, over tiny networks."""
    variant = recipe(*names, backbone="small/any", **changes)
    modalities = {name: Plain() for name in MODALITIES}
    return MultiModalSSL(build_stage1(variant, modalities), variant, modalities, STEPS)


def table(count=COUNT, width=WIDTH, seed=0, kind=torch.float64):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=kind)


def streams(count=COUNT):
    """Two views of each modality, as a fusion gives them."""
    return {
        name: [table(count, seed=2 * number + view) for view in range(2)]
        for number, name in enumerate(MODALITIES)
    }


def batch(count=COUNT, kind=torch.float32):
    generator = torch.Generator().manual_seed(1)
    views = {
        name: [torch.randn(count, 3, 5, 5, generator=generator, dtype=kind) for _ in range(2)]
        for name in MODALITIES
    }
    present = {name: torch.ones(count, dtype=torch.bool) for name in MODALITIES}
    index = torch.arange(count)
    return Batch(views, present, torch.full((count, 1), -1), index, index)


def contrast(one, other, anchors="all", group=None):
    """NT-Xent at 0.1 of pairs, row by row; rows of one group are no negatives of each other."""
    rows = F.normalize(torch.cat([one, other]), dim=1)
    similar, count = rows @ rows.T / 0.1, len(one)
    codes = torch.arange(count) if group is None else group
    codes = torch.cat([codes, codes])
    losses = []
    for anchor in range(2 * count if anchors == "all" else count):
        partner = (anchor + count) % (2 * count)
        against = [n for n in range(2 * count) if n == partner or codes[n] != codes[anchor]]
        losses.append(torch.logsumexp(similar[anchor, against], 0) - similar[anchor, partner])
    return torch.stack(losses).mean()


def counts(module):
    """How often each batch norm of a module has moved its statistics."""
    state = module.state_dict().items()
    return {int(value) for name, value in state if name.endswith("num_batches_tracked")}


def rates(module):
    """{learning rate: weights} of the optimiser of a module."""
    return {one["lr"]: one["params"] for one in module.configure_optimizers().param_groups}


# Stage 1


@row(STAGE_1, "Anchors in eq. 1", "as the code")
@pytest.mark.parametrize(("name", "anchors"), [("sm3", "all"), ("paper", "first")])
def test_anchors_of_equation_1(name, anchors):
    objective = training(name).parts.objectives["simclr"]["derm"].double()
    views = [table(seed=0), table(seed=1)]
    projected = objective.head(torch.cat(views)).chunk(2)
    torch.testing.assert_close(objective(views)["loss"], contrast(*projected, anchors), **EXACT)
    other = "first" if anchors == "all" else "all"
    assert abs(contrast(*projected, other) - contrast(*projected, anchors)) > 1e-3


def crossed(name, given, **more):
    """The cross-modal loss of a recipe."""
    (term,) = training(name).parts.crossings["crossmodal"](given, **more).values()
    return term


@row(STAGE_1, "Eq. 4, pairs", "as the code")
def test_pairs_of_equation_4():
    given = streams()
    (derm, derm2), (clinic, clinic2) = given.values()
    mean = (contrast(derm, clinic) + contrast(derm2, clinic2)) / 2
    torch.testing.assert_close(crossed("sm3", given), mean, **EXACT)
    added = contrast(derm, clinic, "first") + contrast(derm, clinic2, "first")
    torch.testing.assert_close(crossed("paper", given), added, **EXACT)


@row(STAGE_1, "Eq. 4, anchors", "as the code")
def test_anchors_of_equation_4():
    """Where both modalities are anchors, they may change places."""
    given = streams()
    swapped = dict(zip(given, reversed(given.values()), strict=True))
    torch.testing.assert_close(crossed("sm3", given), crossed("sm3", swapped), **EXACT)
    assert list(given) == ["derm", "clinic"]  # In the order of Derm7pt; the first is the anchor.
    assert abs(crossed("paper", given) - crossed("paper", swapped)) > 1e-3


@sentence(
    STAGE_1,
    "the second dermoscopic view is never used",
    "in both directions and takes the mean",
    "the printed loss is about twice as large, and lopsided",
)
def test_the_printed_equation_4_is_twice_as_large_and_lopsided():
    given = streams(96)
    for view in (view for views in given.values() for view in views):
        view.requires_grad_()
    crossed("paper", given).backward()
    used = [view.grad is not None for views in given.values() for view in views]
    assert used == [True, False, True, True]
    # Losses of unrelated views are all alike, but for a few percent.
    assert crossed("paper", given).item() / crossed("sm3", given).item() == pytest.approx(2, 0.05)


@row(STAGE_1, "Weight decay", "0.05")
@row(STAGE_1, "AdamW's eps", "1e-5")
@pytest.mark.parametrize("what", ["Weight decay", "AdamW's eps"])
def test_weight_decay_and_eps_of_stage_1_reach_the_optimiser(what):
    option = {"Weight decay": "weight_decay", "AdamW's eps": "eps"}[what]
    for name in ("sm3", "release"):
        groups = training(name).configure_optimizers().param_groups
        assert {one[option] for one in groups} == {float(SAID[STAGE_1, what])}


def photo(*names, **changes):
    """The modality of a recipe for Derm7pt, with changes for one modality; views of 16 pixels."""
    options = {**recipe(*names).options, "derm": changes}
    return build_modality("derm", ModalitySpec("photo", {"border": 25}), 16, options)


def plain_picture(colour):
    """(3, 20, 20) of one colour: a crop, a flip or a blur changes nothing."""
    return np.broadcast_to(np.array(colour, np.uint8)[:, None, None], (3, 20, 20)).copy()


def views_of(modality, count):
    """Random views of a picture of one colour."""
    rng = np.random.default_rng(0)
    picture = plain_picture((180, 120, 60))
    return [view for _ in range(count) for view in modality.views(picture, rng)]


def grey_share(views):
    return np.mean([(view[0] == view[1]).all() and (view[1] == view[2]).all() for view in views])


@row(STAGE_1, "Greyscale views", "0.2")
def test_a_fifth_of_the_views_is_grey():
    # Four deviations of the share among 1000 views: 4 * sqrt(0.2 * 0.8 / 1000).
    still = {"jitter": 0.0, "blur": 0.0}
    assert grey_share(views_of(photo("sm3", **still), 500)) == pytest.approx(0.2, abs=0.05)
    assert grey_share(views_of(photo("release", **still), 500)) == pytest.approx(0.2, abs=0.05)
    assert grey_share(views_of(photo("paper", **still), 500)) == 0


@row(STAGE_1, "Batch norm of the backbones", "as the code")
@sentence(
    STAGE_1,
    "its batch norm sees the 96 images of one view at a time, and updates its running statistics "
    "twice in a step",
    "the statistics are then those of 192 images",
)
def test_each_view_is_a_batch_of_the_backbone():
    assert recipe("sm3").batch_size == 96
    for joined, sizes in ((False, [96] * 4), (True, [192] * 2)):
        module, seen = training("sm3", join_views=joined), []

        def look(network, given, seen=seen):
            seen.append(len(given[0]))

        for network in module.parts.backbones.values():
            network.layers[1].register_forward_pre_hook(look)
        module.training_step(batch(96), 0)
        assert seen == sizes
        for network in module.parts.backbones.values():
            assert counts(network) == ({1} if joined else {2})


@row(STAGE_1, "Batch norm of the projectors", "as the code")
@pytest.mark.parametrize("fusion", ["none", "concat", "sum", "sep_sep", "sep_shared"])
def test_views_are_one_batch_of_the_projectors_or_one_each(fusion):
    module = training(fusion=fusion)
    module.training_step(batch(), 0)
    for objective in module.parts.objectives["simclr"].values():
        assert counts(objective) == {1}
    # A shared projector is called for two views of two modalities.
    calls = {"concat": {1}, "sum": {1}, "sep_sep": {2}, "sep_shared": {4}}
    assert counts(module.parts.fusion) == calls.get(fusion, set())


@row(STAGE_1, "Negatives", "the batch of 96")
@sentence(STAGE_1, "One device emulates this with `shards=2`")
def test_negatives_are_the_batch_or_its_halves():
    assert [recipe(name).batch_size for name in ("sm3", "release")] == [96, 96]
    assert [len(range(96)[half]) for half in in_shards(96, 2)] == [48, 48]
    given = streams()
    halves = [slice(0, COUNT // 2), slice(COUNT // 2, COUNT)]
    for name, parts in (("sm3", [slice(None)]), ("release", halves)):
        pairs = list(zip(*given.values(), strict=True))
        wanted = torch.stack([contrast(a[part], b[part]) for a, b in pairs for part in parts])
        torch.testing.assert_close(crossed(name, given), wanted.mean(), **EXACT)
        objective = training(name).parts.objectives["simclr"]["derm"].double()
        # Batch norm sees the whole batch.
        projected = copy.deepcopy(objective).head(torch.cat(given["derm"])).chunk(2)
        wanted = torch.stack([contrast(*(view[part] for view in projected)) for part in parts])
        torch.testing.assert_close(objective(given["derm"])["loss"], wanted.mean(), **EXACT)
        assert counts(objective) == {1}


def last_batch(name):
    """How many studies the last batch of an epoch of Derm7pt has."""
    job = SimpleNamespace(variant=recipe(name), cases=range(TRAINING))
    return len(list(stage1._batches(job, 0, 1, 0))[-1])


@row(STAGE_1, "Last batch", "kept as it is")
@sentence(STAGE_1, "The last batch of 413 studies is padded to 30, so that both halves have 15")
def test_the_last_batch():
    assert TRAINING == 413
    assert last_batch("sm3") == last_batch("paper") == 413 % 96 == 29
    assert last_batch("release") == 30
    assert [len(range(30)[half]) for half in in_shards(30, 2)] == [15, 15]


@row(STAGE_1, "Start without weights", "torchvision's, for all that timm has")
def test_networks_without_weights_start_as_those_of_torchvision():
    theirs = dict(torchvision.models.resnet18().named_parameters())
    variant = recipe("sm3", backbone="timm/resnet18", weights="none")
    for name, weight in build_backbone(variant, "derm", 3).model.named_parameters():
        near, far = (one.detach().std(correction=0) for one in (weight, theirs[name]))
        # The deviation of n values scatters by 1 / sqrt(2 n); five times that for both.
        assert near == far == 0 or abs(math.log(near / far)) < 5 / math.sqrt(weight.numel())
        assert near or torch.equal(weight, theirs[name])
    own = variant.changed({"options": {"timm": {"start": "timm"}}}, "test")
    assert not build_backbone(own, "derm", 3).model.layer1[0].bn2.weight.any()


@row(STAGE_1, "Precision", "bf16 where the machine computes in it")
def test_precision_of_stage_1(monkeypatch):
    network, wanted = nn.Linear(2, 2), recipe("sm3").precision
    for has_gpu, has_bf16, found in (
        (True, True, "bf16-mixed"),
        (True, False, "16-mixed"),
        (False, True, "bf16-mixed"),
        (False, False, "32-true"),
    ):
        monkeypatch.setattr(torch.cuda, "is_available", lambda has_gpu=has_gpu: has_gpu)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has_bf16, **_: has)
        monkeypatch.setattr(hardware, "cpu_has_bf16", lambda has_bf16=has_bf16: has_bf16)
        assert hardware.resolved_precision(wanted, network) == found
        if has_gpu:
            assert hardware.resolved_precision(recipe("release").precision, network) == "16-mixed"


@sentence(STAGE_1, "Four of these need a word")
def test_the_words_of_stage_1():
    assert re.findall(r"\*\*(.+?)\.\*\*", PROSE[STAGE_1]) == [
        "Eq. 4",
        "48 studies per GPU",
        "One batch per view",
        "The size of a step",
    ]


@sentence(
    STAGE_1,
    "With AdamW at 1e-6 and five steps in each of 400 epochs no weight moves by more than about "
    "0.002",
)
def test_no_weight_moves_by_more_than_two_thousandths():
    variant = recipe("sm3")
    steps = len(EpochBatches(TRAINING, variant.batch_size, 0))
    assert (variant.lr, steps, variant.epochs) == (1e-6, 5, 400)
    # Gradients that never change, noise of two sizes, noise around something, and a fading one.
    count = steps * variant.epochs
    noise = table(count, 3).T
    fading = 0.99 ** torch.arange(count).double()
    gradients = [torch.ones(count), noise[0], 1e-4 * noise[1], 1 + noise[2], fading]
    weight = nn.Parameter(0.05 * table(1, 5, seed=1)[0])
    before = weight.detach().clone()
    optimiser = adamw({variant.lr: [weight]}, variant.betas, variant.eps, variant.weight_decay)
    for gradient in torch.stack(gradients, dim=1).double():
        weight.grad = gradient
        optimiser.step()
    moved = (weight.detach() - before).abs()
    # Weight decay adds one part in ten thousand of the weight itself.
    assert moved.max() < 0.00201
    assert moved[0] > 0.0019


# Stage 2


LABELS = (PseudoLabel("one", 3), PseudoLabel("two", 2))
SMALL_EMBEDDING = 4


class Listed:
    """A joint source over a table."""

    def __init__(self, joint):
        self.joint = joint

    def __len__(self):
        return len(self.joint)

    def batch(self, index):
        return JointBatch(self.joint[index], torch.full((len(index), 2), -1), index)

    def in_order(self, epoch):
        yield self.batch(torch.arange(len(self)))


class Noting(Clusterer):
    """Takes the first rows as centroids, and remembers what it was asked."""

    def __init__(self):
        self.seen = []

    def fit(self, embeddings, k, seed):
        self.seen.append(embeddings.clone())
        return Clustering(torch.arange(len(embeddings)) % k, 3 * embeddings[:k].clone(), 0.0)


def second(relation="tel", *names, **changes):
    """Stage 2 of recipes on made-up joint features, its bank filled and its first epoch begun."""
    variant = recipe(*names, **changes)
    options = {} if relation == "none" else {"embedding": SMALL_EMBEDDING}
    built = registry("relations").get(relation)(WIDTH, len(LABELS), **options)
    source = Listed(table(kind=torch.float32))
    module = MultiLabelSSL(built, Noting(), LABELS, variant, source, 2)
    module.fill_bank(source.in_order(0))
    module.on_train_epoch_start()
    return module


def step_of(module, optimiser, index):
    """One step; gives the loss."""
    optimiser.zero_grad()
    loss = module.training_step(module.source.batch(index), 0)
    loss.backward()
    optimiser.step()
    return loss.detach()


@row(STAGE_2, "Eq. 6, over the labels", "mean")
def test_equation_6_is_the_mean_over_the_labels():
    for name, together in (("sm3", torch.mean), ("release", torch.mean), ("paper", torch.sum)):
        module = second("tel", name)
        loss = module.training_step(module.source.batch(torch.arange(COUNT)), 0)
        terms = torch.stack(list(module.last_terms.values()))
        torch.testing.assert_close(loss.detach(), together(terms))


@row(STAGE_2, "Weight decay", "0.05")
def test_weight_decay_of_stage_2_reaches_the_optimiser():
    for name, cell in (("sm3", "default"), ("release", "released code"), ("paper", "paper")):
        # Whatever that of stage 1 is.
        groups = second("tel", name, weight_decay=0.5).configure_optimizers().param_groups
        decay = float(ROWS[STAGE_2, "Weight decay"][cell])
        assert {one["weight_decay"] for one in groups} == {decay}


@row(
    STAGE_2,
    "k-means",
    "FAISS: directions, k-means++, five starts, 25 iterations; empty clusters are filled",
)
def test_k_means_by_faiss(monkeypatch):
    import faiss

    assert recipe("sm3").clusterer == "faiss"
    rows = table(30, 3, kind=torch.float32)
    lengths = torch.linspace(0.1, 9, 30).unsqueeze(1)
    one, other = (Faiss().fit(given, 4, 0).assignments for given in (rows, lengths * rows))
    assert torch.equal(one, other)
    asked = {}

    class AllInOne:
        """Leaves all clusters but the first empty."""

        def __init__(self, width, k, **settings):
            asked.update(settings)
            self.k = k

        def train(self, rows):
            self.centroids = rows[: self.k].copy()

        def assign(self, rows):
            return np.ones(len(rows), np.float32), np.zeros(len(rows), np.int64)

    monkeypatch.setattr(faiss, "Kmeans", AllInOne)
    found = Faiss().fit(rows, 4, 0)
    assert (asked["spherical"], asked["nredo"], asked["niter"]) == (True, 5, 25)
    assert asked["init_method"] == faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS
    assert found.reseeded == 3
    assert found.sizes.min() > 0


def test_k_means_of_the_release():
    """Ten iterations by inner product from random rows; an empty cluster keeps its centroid."""
    assert "ten iterations by inner product" in ROWS[STAGE_2, "k-means"]["released code"]
    rows = table(30, 3) + 1
    order = torch.randperm(30, generator=torch.Generator().manual_seed(5))
    centroids = rows[order[:4]]
    for _ in range(10):
        nearest = (rows @ centroids.T).argmax(1)
        means = [
            rows[nearest == k].mean(0) if (nearest == k).any() else centroids[k] for k in range(4)
        ]
        centroids = F.normalize(torch.stack(means), dim=1)
    found = Release().fit(rows, 4, 5)
    torch.testing.assert_close(found.centroids, centroids, **EXACT)
    assert torch.equal(found.assignments, (rows @ centroids.T).argmax(1))
    away = torch.tensor([[1.0, 1.0, 1.0], [-2.0, 0.0, 0.0]]).double()
    _, centroids = from_start(rows.abs(), away, Release().iterations)
    assert torch.equal(centroids[1], F.normalize(away[1], dim=0))


@row(STAGE_2, "Views", "as the code, in `paper`, too")
def test_views_of_stage_2():
    for name in ("sm3", "release", "paper"):
        changes = recipe(name).mlssl_views
        assert changes["views"] == 1
        views = views_of(photo(name, **changes), 800)
        assert len(views) == 800
        assert grey_share(views) == 0
        colour = np.array((180, 120, 60))[:, None, None]
        # Four deviations of the share among 800 views: 4 * sqrt(0.5 * 0.5 / 800).
        assert np.mean([(view != colour).any() for view in views]) == pytest.approx(0.5, abs=0.07)
        assert changes["blur"] == 0


def test_views_of_stage_2_are_set_in_a_recipe(tmp_path):
    assert ROWS[STAGE_2, "Views"]["the other way"] == "`mlssl_views` in a recipe"
    (tmp_path / "mine.yaml").write_text("mlssl_views: {jitter: 0.8}\n", encoding="utf-8")
    assert recipe(str(tmp_path / "mine.yaml")).mlssl_views["jitter"] == 0.8


@row(STAGE_2, "What is clustered", "as the code")
def test_the_next_epoch_clusters_what_the_steps_left():
    module = second()
    optimiser = module.configure_optimizers()
    left = torch.empty_like(module.bank)
    step = module.embed

    def embed(joint):
        embeddings = step(joint)
        if module.training:
            here = [int((module.source.joint == one).all(1).nonzero()) for one in joint]
            left[:, here] = embeddings.detach().transpose(0, 1)
        return embeddings

    module.embed = embed
    for index in torch.arange(COUNT).split(4):
        step_of(module, optimiser, index)
    module.first_epoch = 1
    module.on_train_epoch_start()
    assert torch.equal(torch.stack(module.clusterer.seen[2:]), left)
    with torch.no_grad():
        assert not torch.allclose(module.eval().embed(module.source.joint).transpose(0, 1), left)


@row(STAGE_2, "Temperature of the logits", "1")
def test_the_logits_are_divided_by_one():
    module = second("proj")
    joint, targets = module.source.joint, module.assigned.T
    loss = module.training_step(module.source.batch(torch.arange(COUNT)), 0)
    logits = module.prototypes(module.embed(joint))
    terms = [F.cross_entropy(rows, targets[:, n]) for n, rows in enumerate(logits)]
    torch.testing.assert_close(loss, torch.stack(terms).mean())


@row(
    STAGE_2,
    "Embeddings without a layer norm (`none`, `proj`, `msa`)",
    "brought to the length that a layer norm gives",
)
def test_all_embeddings_are_as_long_as_a_layer_norm_makes_them():
    relations = ["none", "proj", "msa", "tel", "te"]
    key = (STAGE_2, "Embeddings without a layer norm (`none`, `proj`, `msa`)")
    bare = [name for name in relations if not registry("relations").get(name).normed]
    assert bare == re.findall(r"`(\w+)`", key[1])
    for name in relations:
        module = second(name)
        lengths = module.embed(module.source.joint).norm(dim=-1)
        wanted = module.relation.embedding**0.5
        # A layer norm adds 1e-5 to the variance, which counts where the input is small.
        slack = 1e-5 if name in bare else 1e-2
        torch.testing.assert_close(lengths, torch.full_like(lengths, wanted), rtol=slack, atol=0)


@row(STAGE_2, "Prototypes in an epoch", "as the code")
@sentence(STAGE_2, "**prototypes are unit vectors** when an epoch begins")
def test_prototypes_learn_and_are_overwritten():
    for frozen in (False, True):
        module = second("tel", freeze_prototypes=frozen)
        optimiser = module.configure_optimizers()
        for epoch in range(2):
            module.first_epoch = epoch
            module.on_train_epoch_start()
            begin = [head.weight.detach().clone() for head in module.prototypes.heads]
            for weight, found in zip(begin, module.clusterings, strict=True):
                torch.testing.assert_close(weight, F.normalize(found.centroids, dim=1))
            step_of(module, optimiser, torch.arange(COUNT))
            pairs = zip(begin, module.prototypes.heads, strict=True)
            assert [torch.equal(old, head.weight) for old, head in pairs] == [frozen, frozen]


@row(STAGE_2, "Row no_proj", "the paper's text")
def test_the_row_no_proj_has_the_joint_feature_itself():
    joint = table(kind=torch.float32)
    relation = registry("relations").get(recipe("no_proj").relation)(WIDTH, 3)
    assert torch.equal(relation(joint), joint.unsqueeze(1).expand(-1, 3, -1))


@row(STAGE_2, "Residual in row msa", "none")
def test_the_row_msa_has_no_residual():
    assert recipe("msa").relation == "msa"
    joint, found = table(kind=torch.float32), {}
    for residual in (None, True):
        torch.manual_seed(0)
        options = {} if residual is None else {"residual": residual}
        relation = MSA(WIDTH, 3, embedding=SMALL_EMBEDDING, **options).eval()
        labels = relation.project(joint)
        found[residual] = relation(joint)
        attended = relation.attend(labels, labels, labels)[0]
        torch.testing.assert_close(found[residual], attended + (labels if residual else 0))


@row(STAGE_2, "Layers in row te", "2")
def test_the_row_te_has_two_layers():
    relation = registry("relations").get(recipe("te").relation)(WIDTH, 3, embedding=4)
    assert [isinstance(one, nn.TransformerEncoderLayer) for one in relation.layers] == [True] * 2


@sentence(
    STAGE_2,
    "`mlssl_epochs` 150, batches of 256, a rate of 1e-4, embeddings of 512, one head, a "
    "feed-forward layer of 128, dropout 0.1, and as many clusters as classes are the same in both",
)
@pytest.mark.parametrize("name", ["sm3", "release", "paper"])
def test_what_all_have_in_stage_2(name):
    variant = recipe(name)
    assert (variant.mlssl_epochs, variant.mlssl_batch_size, variant.mlssl_lr) == (150, 256, 1e-4)
    assert variant.relation == "tel"
    sizes = ("embedding", "heads", "feedforward", "dropout")
    assert [values(("tel", size), name, "") for size in sizes] == [[512], [1], [128], [0.1]]
    labels = [LabelSpec(n, tuple(g.classes), g.reported) for n, g in derm7pt.GROUPINGS.items()]
    job = SimpleNamespace(
        variant=variant, pool=SimpleNamespace(labels=labels), cases=range(TRAINING)
    )
    found = [label.clusters for label in stage2.pseudo_labels(job)]
    assert found == [len(label.classes) for label in labels] == [5, 3, 2, 3, 3, 3, 3, 2]


def width_of_the_joint_feature():
    """J of two networks of the default, without their weights."""
    assert recipe("sm3").backbone == "timm/resnet50.tv_in1k"
    with torch.device("meta"):
        width = Timm("resnet50.tv_in1k", 3).width
        return SepSep(dict.fromkeys(MODALITIES, width)).joint_width


@sentence(
    STAGE_2,
    "Embeddings are about 22.6 long (the root of 512), so the logits of stage 2 are cosines times "
    "22.6, in the code and here; times 64 in the row no_proj",
)
def test_logits_are_cosines_times_the_root_of_the_width():
    (embedding,) = values(("tel", "embedding"), "sm3", "")
    assert round(embedding**0.5, 1) == 22.6
    assert NoRelation(width_of_the_joint_feature(), 8).embedding ** 0.5 == 64
    for name in ("tel", "none"):
        module = second(name)
        embeddings = module.embed(module.source.joint)
        for number, logits in enumerate(module.prototypes(embeddings)):
            prototypes = module.prototypes.heads[number].weight
            cosines = F.normalize(embeddings[:, number], dim=1) @ F.normalize(prototypes, dim=1).T
            wanted = cosines * module.relation.embedding**0.5
            # The 1e-5 in a layer norm, see above.
            torch.testing.assert_close(logits, wanted, rtol=1e-2, atol=1e-3)


# A run of both stages, of a second


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run that could not read the pictures of the test split, and its weights after each epoch.

    Stage 1 computes in bf16.
    """
    folder = tmp_path_factory.mktemp("differences")
    layouts.write("manifest", folder / "data", 40, 32)
    variant = dataclasses.replace(
        recipe("sm3"),
        data=(f"manifest:{folder / 'data' / 'manifest.csv'}",),
        backbone="timm/test_resnet",
        weights="none",
        epochs=2,
        batch_size=8,
        mlssl_epochs=2,
        mlssl_batch_size=12,
        feature_views=1,
        image_size=32,
        workers=0,
        precision="bf16-mixed",
        options={"sep_sep": {"projection": 16}, "tel": {"embedding": 16, "feedforward": 16}},
    )
    hidden = {}
    for study in registry("datasets").get("manifest")(variant.data[0].partition(":")[2]).studies():
        if study.split == "test":
            hidden |= {path: Path(path).read_bytes() for path in study.images.values()}
    ends, clipping = {"mmssl": [], "mlssl": []}, set()

    def end(module):
        networks = module.networks if module.stage == "mmssl" else module
        ends[module.stage].append(copy.deepcopy(networks.state_dict()))
        clipping.add(module.trainer.gradient_clip_val)

    with pytest.MonkeyPatch.context() as patch:
        for stage in (MultiModalSSL, MultiLabelSSL):
            patch.setattr(stage, "on_train_epoch_end", end)
        try:
            for path in hidden:
                Path(path).write_bytes(b"nobody may look at this")
            pretraining.pretrain(variant, folder / "run", quiet(), ImageCache(None))
        finally:
            for path, content in hidden.items():
                Path(path).write_bytes(content)
    return SimpleNamespace(
        folder=folder / "run", variant=variant, ends=ends, hidden=len(hidden), clipping=clipping
    )


class Begun(Exception):
    """A training has come to its first step, which is all that a test wants of it."""


def quiet():
    return Reporter(Console(file=io.StringIO()))


@pytest.fixture
def begun(trained, monkeypatch, tmp_path):
    """begun(**changes): stage 2 on the networks of the run, as it is before its first step."""

    def begin(**changes):
        kept = {}

        def fit(module, job, loader, look, machine, *more):
            kept.update(module=module, loader=loader(0, 1), machine=machine)
            raise Begun

        modes = kept["modes"] = []
        embed = MultiLabelSSL.embed

        def watched(self, joint):
            modes.append(self.relation.training)
            return embed(self, joint)

        with monkeypatch.context() as patch:
            patch.setattr(stage2, "fit", fit)
            patch.setattr(MultiLabelSSL, "embed", watched)
            variant = dataclasses.replace(
                trained.variant, stage="mlssl", init=str(trained.folder), **changes
            )
            folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
            with contextlib.suppress(Begun):
                pretraining.pretrain(variant, folder, quiet(), ImageCache(None))
        return SimpleNamespace(**kept)

    return begin


@sentence(PRINTED, "sm3kit's pre-training never looks at the test split; both stages keep the last")
def test_both_stages_keep_the_last_epoch_and_never_look_at_the_test_split(trained):
    assert trained.hidden > 4  # The run ended although these cannot be read.
    run = Run(trained.folder)
    for stage, file in (("mmssl", run.mmssl), ("mlssl", run.mlssl)):
        first, last = trained.ends[stage]
        kept = torch.load(file, weights_only=True)["model"]
        common = [name for name in last if name in kept and name.endswith("weight")]
        assert common
        assert all(torch.equal(kept[name], last[name].cpu()) for name in common)
        assert not all(torch.equal(first[name], last[name]) for name in common)


@row(
    STAGE_2,
    "New views",
    "8 views per image and modality, encoded once; each epoch draws one for each modality",
)
def test_views_of_stage_2_are_encoded_once_and_drawn_anew(begun, trained, monkeypatch):
    calls = []
    forward = Timm.forward
    monkeypatch.setattr(Timm, "forward", lambda *given: calls.append(0) or forward(*given))
    source = begun(feature_views=recipe("sm3").feature_views).loader.source
    assert isinstance(source, CachedJoint)
    assert {name: len(views) for name, views in source.features.views.items()} == {
        "derm": 8,
        "clinic": 8,
    }
    encoded = len(calls)
    drawn = [source.drawn(epoch) for epoch in (0, 1)]
    for chosen in drawn:
        assert set(np.concatenate(list(chosen.values()))) <= set(range(8))
        assert (chosen["derm"] != chosen["clinic"]).any()
    assert (drawn[0]["derm"] != drawn[1]["derm"]).any()
    assert len(list(source.in_order(0))) == len(list(source.in_order(1))) == 1
    assert len(calls) == encoded
    # In every epoch, as in `paper` and `release`.
    source = begun(feature_views=recipe("paper").feature_views).loader.source
    assert isinstance(source, EncodedJoint)
    before = len(calls)
    one, other = (torch.cat([part.joint for part in source.in_order(e)]) for e in (0, 1))
    assert len(calls) > before
    assert not torch.equal(one, other)


@row(STAGE_2, "First pass over the data", "eval mode, nothing moves")
@pytest.mark.parametrize("leak", [False, True])
def test_the_first_pass_over_the_data(begun, trained, leak):
    found = begun(bn_leak=leak)
    kept = load_file(trained.folder / "model.safetensors")
    now = found.loader.source.extractor.state_dict()
    moved = {name for name, value in now.items() if not torch.equal(value.cpu(), kept[name])}
    assert any("running_mean" in name for name in moved) == leak
    assert bool(moved) == leak
    assert not [name for name in moved if name.endswith(("weight", "bias"))]
    assert set(found.modes) == {leak}  # Whether dropout was on.


@row(STAGE_2, "Precision of the frozen networks", "float32")
@sentence(
    STAGE_2,
    "Stage 2 **runs on one device** and learns in float32",
    "The features that it clusters are kept in float32, whatever the networks computed in",
)
def test_precision_and_devices_of_stage_2(begun):
    found = begun(feature_views=0, devices=2)
    assert found.loader.source.precision == "32-true"  # Stage 1 of this run was in bf16.
    assert found.machine == fitting.Machine(devices=1, num_nodes=1, precision="32-true")
    found = begun(mlssl_precision="bf16-mixed")
    assert found.module.bank.dtype == torch.float32
    for views in found.loader.source.features.views.values():
        assert {view.dtype for view in views} == {np.dtype(np.float32)}


@sentence(STAGE_2, "With several devices the first process trains it")
def test_the_second_process_does_not_train_stage_2(begun, monkeypatch):
    assert begun(devices=2).module.stage == "mlssl"
    started = {"LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # Lightning reads it once, when it is imported.
    assert not hasattr(begun(devices=2), "module")


# Evaluation


@pytest.fixture
def subject(trained):
    """The run of both stages, to be evaluated."""
    features = FeatureCache(trained.folder.parent / "features")
    return open_subject(trained.folder, [], ImageCache(None), features, quiet())


@pytest.fixture
def after_stage_1(subject):
    """The same networks without stage 2."""
    bare = [None] * len(subject.prototypes)
    return dataclasses.replace(subject, embedding=None, prototypes=bare)


def settings(name="sm3", protocol="probe", after=True, **flags):
    """How a recipe evaluates a run, of stage 2 or not."""
    return settings_of(recipe(name), protocol, flags, relation=after)


@pytest.fixture
def taught(monkeypatch, tmp_path):
    """taught(subject, settings): a training with labels as it is before its first step."""

    def teach(subject, settings):
        kept = {}

        def fit(module, job, loader, look, machine, *more):
            kept.update(module=module, loader=loader(0, 1), precision=machine.precision)
            kept["modes"] = {name: one.training for name, one in module.network.named_modules()}
            raise Begun

        monkeypatch.setattr(learning, "fit", fit)
        subject = subject.computed_in(settings.precision)
        protocol = {"probe": probe.probe, "finetune": finetune.finetune}[settings.protocol]
        with contextlib.suppress(Begun):
            protocol(subject, dataclasses.replace(settings, select="last"), tmp_path / "eval")
        return SimpleNamespace(**kept, encoder=subject.encoder)

    return teach


def same_weights(weights, others):
    return {id(one) for one in weights} == {id(one) for one in others}


@row(EVALUATION, "Choice of the epoch", "best mean AUC on the *validation* split")
def test_the_choice_of_the_epoch(subject):
    measured = subject.cases("test", labelled=True)
    assert chooser(subject, settings(), measured) == subject.cases("val", labelled=True)
    assert chooser(subject, settings(select="test_best"), measured) == measured
    assert chooser(subject, settings(select="last"), measured) is None
    ways = ("val_best", "test_best", "last")
    assert [_head(subject, settings(select=way))["leaky"] for way in ways] == [False, True, False]
    network, scores = nn.Linear(1, 1), iter([0.6, 0.9, 0.7])
    module = Supervised(
        network,
        list(network.parameters()),
        settings(),
        subject.variant,
        [],
        1,
        lambda _: next(scores),
    )
    for epoch in range(3):
        module.first_epoch = epoch
        nn.init.constant_(network.weight, epoch)
        module.look()
    assert (module.select(), network.weight.item()) == (2, 1)


@row(EVALUATION, "Epochs of the probe after stage 2", "50")
def test_epochs_of_the_probe_after_stage_2(subject, taught):
    assert taught(subject, settings("sm3")).module.epochs == 50
    assert taught(subject, settings("release")).module.epochs == 100


@row(EVALUATION, "Views of a probe", "3 per image and modality, encoded once")
def test_views_of_a_probe(subject, after_stage_1, taught):
    for one, after in ((subject, True), (after_stage_1, False)):
        source = taught(one, settings("sm3", after=after)).loader.source
        assert [len(views) for views in source.features.views.values()] == [3, 3]
        for name in ("release", "paper"):
            source = taught(one, settings(name, after=after)).loader.source
            assert isinstance(source, EncodedJoint)


@row(EVALUATION, "Weight decay", "0.05")
def test_weight_decay_of_an_evaluation_reaches_the_optimiser(subject, taught):
    for name, cell in (("sm3", "default"), ("release", "released code"), ("paper", "paper")):
        (group,) = taught(subject, settings(name)).module.configure_optimizers().param_groups
        assert group["weight_decay"] == float(ROWS[EVALUATION, "Weight decay"][cell])


@row(EVALUATION, "Fine-tuning after stage 2", "all layers")
def test_what_learns_in_fine_tuning_after_stage_2(subject, taught):
    module = taught(subject, settings("sm3", "finetune")).module
    assert same_weights(module.learning, module.network.parameters())
    module = taught(subject, settings("release", "finetune")).module
    stems = [one.stem() for one in module.network.extractor.backbones.values()]
    assert [bool(stem) for stem in stems] == [True, True]
    everything = {id(one) for one in module.network.parameters()}
    frozen = {id(one) for stem in stems for one in stem}
    assert {id(one) for one in module.learning} == everything - frozen


@row(EVALUATION, "Fine-tuning of Baseline-50-ImageNet", "all layers")
def test_what_learns_in_the_fine_tuning_of_the_baseline(after_stage_1, taught):
    for names in (["baseline-50"], ["release", "baseline-50"], ["paper", "baseline-50"]):
        chosen = settings_of(recipe(*names), None, {}, relation=False)
        assert chosen.protocol == "finetune"
        module = taught(after_stage_1, chosen).module
        assert same_weights(module.learning, module.network.parameters())


@row(EVALUATION, "AdamW's eps in that fine-tuning", "1e-8")
def test_eps_in_the_fine_tuning_of_the_baseline(after_stage_1, taught):
    for names, eps in ((["baseline-50"], 1e-8), (["release", "baseline-50"], 1e-5)):
        chosen = settings_of(recipe(*names), None, {}, relation=False)
        (group,) = taught(after_stage_1, chosen).module.configure_optimizers().param_groups
        assert group["eps"] == eps


@row(EVALUATION, "Start of the heads after stage 2", "the prototypes")
@pytest.mark.parametrize("protocol", ["probe", "finetune"])
def test_heads_start_as_the_prototypes(subject, taught, protocol):
    for changes, wanted in (({}, True), ({"prototypes": "false"}, False)):
        network = taught(subject, settings("sm3", protocol, **changes)).module.network
        pairs = zip(network.classifier.heads.heads, subject.prototypes, strict=True)
        assert {torch.equal(head.weight.cpu(), one) for head, one in pairs} == {wanted}


@row(
    EVALUATION,
    "Precision of a probe after stage 1",
    "networks as in pre-training, heads in float32",
)
def test_precision_of_a_probe_after_stage_1(after_stage_1, taught):
    found = taught(after_stage_1, settings("sm3", after=False))
    assert (found.encoder.precision, found.precision) == ("bf16-mixed", "32-true")
    found = taught(after_stage_1, settings("sm3", after=False, precision="32"))
    assert (found.encoder.precision, found.precision) == ("32-true", "32-true")


@row(EVALUATION, "Precision after stage 2, and of fine-tuning", "as in pre-training")
def test_precision_after_stage_2_and_of_fine_tuning(subject, after_stage_1, taught):
    for name, wanted in (("sm3", "bf16-mixed"), ("release", "32-true")):
        assert taught(subject, settings(name)).encoder.precision == wanted
        for one, after in ((subject, True), (after_stage_1, False)):
            assert taught(one, settings(name, "finetune", after)).precision == wanted


def predictions(count=24):
    """Three labels of cases, of which two in turn are of one patient."""
    rng = np.random.default_rng(0)
    labels = {
        name: LabelScores(("a", "b", "c"), "b", rng.random((count, 3)), rng.integers(0, 3, count))
        for name in ("one", "two", "three")
    }
    numbers = np.arange(count)
    return Predictions(labels, numbers.astype(str), (numbers // 2).astype(str))


@row(EVALUATION, "STD in the tables", "over the labels, n - 1")
def test_the_deviation_is_that_of_the_labels():
    found = summarise(predictions(), 2)
    areas = [label["auc"] for label in found["labels"].values()]
    assert found["mean"]["std"] == pytest.approx(statistics.stdev(areas), rel=1e-12)


@row(EVALUATION, "Intervals", "bootstrap of groups, 2,000 draws")
def test_intervals_are_drawn_by_groups():
    assert settings().resamples == 2000
    made = predictions()
    found = summarise(made, settings().resamples)
    assert (found["groups"], found["resamples"]) == (12, 2000)
    low, high = found["mean"]["ci95"]
    assert low < found["mean"]["auc"] < high
    drawn = case_weights(made.groups, settings().resamples, 0)
    assert drawn.shape == (2000, 24)
    assert (drawn[:, 0::2] == drawn[:, 1::2]).all()
    assert (drawn[:, 0] != drawn[:, 2]).any()


@row(EVALUATION, "Metric of a class that does not occur", "no number")
def test_a_class_that_does_not_occur_has_no_metric():
    scores, truth = np.eye(3)[[0, 2, 0, 2]], np.array([0, 2, 2, 0])
    found = label_metrics(scores, truth, 1)
    of_the_class = ("auc", "sens", "prec", "auprc", "sens_at_90_spec")
    assert [name for name in METRICS if math.isnan(found[name])] == [
        name for name in METRICS if name in of_the_class
    ]


@row(
    EVALUATION,
    "Pair matching: features, direction, first rank",
    "both spaces, both directions, ranks from 1",
)
def test_pair_matching(subject):
    found = match(subject, settings("sm3", "match", split="train"))["space"]
    assert {space: list(ways) for space, ways in found.items()} == {
        "backbone": ["derm->clinic", "clinic->derm"],
        "projection": ["derm->clinic", "clinic->derm"],
    }
    assert partner_ranks(torch.eye(3), torch.eye(3)).tolist() == [1, 1, 1]


@row(EVALUATION, "Shared pictures in pair matching", "given once more without them")
def test_shared_pictures_are_left_out_once_more(subject):
    first, second, *others = subject.cases("train", labelled=False)
    shared = dataclasses.replace(second, images={**second.images, "clinic": first.images["clinic"]})
    cases = {**subject.pool.cases, "train": [first, shared, *others]}
    changed = dataclasses.replace(subject, pool=dataclasses.replace(subject.pool, cases=cases))
    found = match(changed, settings("sm3", "match", split="train"))
    assert found["without_duplicates"]["left_out"] == 1
    counted = [
        one["space"]["backbone"]["derm->clinic"]["n"]
        for one in (found, found["without_duplicates"])
    ]
    assert counted == [len(cases["train"]), len(cases["train"]) - 1]


@sentence(
    EVALUATION,
    "After stage 1 it is eight linear heads",
    "After stage 2 it is also the label projections and the Transformer layer: two hundred times",
)
def test_what_a_probe_trains(subject, after_stage_1, taught):
    network = (found := taught(after_stage_1, settings(after=False)).module).network
    assert same_weights(found.learning, network.parameters())
    layers = [one for one in network.modules() if not list(one.children())]
    assert [type(one) for one in layers] == [nn.Linear] * 8
    network = (found := taught(subject, settings()).module).network
    assert same_weights(found.learning, network.parameters())
    assert isinstance(network.classifier.embedding.relation, TEL)
    # With the widths of the default.
    joint = width_of_the_joint_feature()
    classes = [len(one.classes) for one in derm7pt.GROUPINGS.values()]
    with torch.device("meta"):
        heads = LabelHeads(joint, classes)
        both = nn.ModuleList([TEL(joint, 8), LabelHeads(512, classes)])
    few, many = (sum(one.numel() for one in part.parameters()) for part in (heads, both))
    assert round(many / few, -2) == 200


@sentence(EVALUATION, "`--scope heads` keeps **the relation frozen**, in eval mode")
def test_scope_heads_trains_heads_alone(subject, taught):
    chosen = settings(scope="heads")
    plain = settings(after=False)
    assert dataclasses.replace(chosen, scope=plain.scope) == plain
    found = taught(subject, chosen)
    classifier = found.module.network.classifier
    assert same_weights(found.module.learning, classifier.heads.parameters())
    assert not any(one.requires_grad for one in classifier.embedding.parameters())
    modes = {mode for name, mode in found.modes.items() if "embedding" in name}
    assert modes == {False}
    assert classifier.heads.heads[0].in_features == classifier.embedding.relation.embedding


def share_of_crops(chosen):
    """The least share of the picture in a crop of an evaluation."""
    return photo("sm3", **chosen.views).crop_scale[0]


@sentence(
    EVALUATION,
    "AdamW with 1e-3, weight decay 0.05, batches of 128, eps 1e-5 and crops of at least half of "
    "the picture after stage 1; eps 1e-8 and crops of at least 0.3 of it after stage 2",
    "Fine-tuning takes 1e-4 and batches of 64, as in the paper, eps 1e-8, and crops of at least "
    "half of the picture, or of 0.3 after stage 2",
)
def test_settings_of_the_evaluations():
    wanted = {
        ("probe", False): (1e-3, 0.05, 128, 1e-5, 0.5),
        ("probe", True): (1e-3, 0.05, 128, 1e-8, 0.3),
        ("finetune", False): (1e-4, 0.05, 64, 1e-8, 0.5),
        ("finetune", True): (1e-4, 0.05, 64, 1e-8, 0.3),
    }
    for (protocol, after), numbers in wanted.items():
        found = settings("sm3", protocol, after)
        options = (found.lr, found.weight_decay, found.batch_size, found.eps)
        assert (*options, share_of_crops(found)) == numbers


@sentence(EVALUATION, "The recipe `paper` changes the weight decay and the views alone")
@pytest.mark.parametrize(("protocol", "after"), EVERY)
def test_what_the_recipe_paper_changes_in_an_evaluation(protocol, after):
    one, other = (dataclasses.asdict(settings(name, protocol, after)) for name in ("sm3", "paper"))
    changed = {name for name in one if one[name] != other[name]}
    assert changed == {"weight_decay"} | ({"feature_views"} if protocol == "probe" else set())
    assert set(recipe("paper").evaluate) <= set(DEFAULTS)


# Where sm3kit differs from both


@row(BOTH, "ResNet-50", "timm's `resnet50.tv_in1k`: the same layers, names and weights")
def test_the_resnet_is_torchvisions():
    with torch.device("meta"):
        ours, theirs = Timm("resnet50.tv_in1k", 3).model, torchvision.models.resnet50()
    theirs.fc = nn.Identity()
    wanted = theirs.state_dict()
    shapes = {name: value.shape for name, value in ours.state_dict().items()}
    assert shapes == {name: value.shape for name, value in wanted.items()}
    state = {}
    for name, value in wanted.items():
        state[name] = torch.ones(value.shape, dtype=value.dtype)
        if value.ndim == 4:
            state[name] = torch.randn(value.shape) / math.sqrt(value[0].numel())
    image, features = torch.randn(1, 3, 64, 64), []
    for network in (ours, theirs):
        network.load_state_dict(state, assign=True)
        with torch.no_grad():
            features.append(network.eval()(image))
    torch.testing.assert_close(*features, **CLOSE)
    assert features[0].abs().max() > 1e-2
    # The very file that torchvision takes its first weights from.
    weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V1
    assert timm.get_pretrained_cfg("resnet50.tv_in1k").url == weights.url


@row(BOTH, "Resizing", "the same filter, within one level of 255")
def test_resizing_is_within_one_level_of_pillow():
    differ, least = 0, {"fast": math.inf, "pillow": math.inf}
    for seed in range(4):
        picture = np.random.default_rng(seed).integers(0, 256, (3, 90 + seed, 70), dtype=np.uint8)
        wanted = Image.fromarray(np.moveaxis(picture, 0, 2)).resize(
            (16, 16), Image.Resampling.BILINEAR
        )
        wanted = np.moveaxis(np.asarray(wanted), 2, 0).astype(int)
        apart = np.abs(photo("sm3").eval_view(picture) - wanted)
        assert apart.max() <= 1
        differ += apart.sum()
        for name in ("release", "paper"):
            assert (photo(name).eval_view(picture) == wanted).all()
        by_hand = photo("sm3", resize="pillow", reduce=False)
        assert (by_hand.eval_view(picture) == wanted).all()
    assert differ > 0
    large = np.random.default_rng(0).integers(0, 256, (462, 718, 3), dtype=np.uint8)
    for name in least:
        for _ in range(5):
            start = time.process_time()
            getattr(resizing, name)(large, 224, 224)
            least[name] = min(least[name], time.process_time() - start)
    # Measured are eight times; time of the processor, the least of five tries.
    assert 2 * least["fast"] < least["pillow"]


def finest(view):
    """The root of the mean square of the Laplacian."""
    view = view.astype(float)
    around = view[:, :-2, 1:-1] + view[:, 2:, 1:-1] + view[:, 1:-1, :-2] + view[:, 1:-1, 2:]
    return np.sqrt(np.square(4 * view[:, 1:-1, 1:-1] - around).mean())


@row(
    BOTH,
    "Large images",
    "scaled down once on reading, to 1.5 times what the smallest crop needs, which costs 1 to 3 % "
    "of the finest detail",
)
def test_large_images_are_scaled_down_once(tmp_path):
    kept = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        picture = np.zeros((3, 240, 320))
        for side in (6, 60, 240):
            rough = rng.integers(0, 256, (3, side, side), dtype=np.uint8)
            fine = [
                Image.fromarray(one).resize((320, 240), Image.Resampling.BICUBIC) for one in rough
            ]
            picture += np.stack([np.asarray(one) / 3 for one in fine])
        np.save(tmp_path / "a.npy", picture.astype(np.uint8))
        found = {}
        for name in ("sm3", "release", "paper"):
            options = {"photo": recipe(name).options.get("photo", {})}
            modality = build_modality("derm", ModalitySpec(), 48, options)
            image = modality.read(str(tmp_path / "a.npy"))
            found[name] = image.shape[1], finest(modality.eval_view(image))
        # The smallest crop is half of the picture: a square of 48 wants a side of 48 / sqrt(0.5).
        assert found["sm3"][0] == math.ceil(1.5 * 48 / math.sqrt(0.5))
        assert found["release"][0] == found["paper"][0] == 240
        kept.append(found["sm3"][1] / found["release"][1])
    # The mean of a few pictures, rounded to percents.
    assert 0.965 < np.mean(kept) < 0.995


@pytest.fixture(scope="module")
def release_folder(tmp_path_factory):
    """Drawn cases in the layout of Derm7pt, some with one picture for both modalities."""
    folder = tmp_path_factory.mktemp("derm7pt") / "release"
    layouts.write("derm7pt", folder, 12, 60)
    return str(folder)


REPEATED = "Clinical photo that repeats the dermoscopic one (9 of 1,011 rows)"


@row(BOTH, REPEATED, "missing")
def test_a_repeated_clinical_photo_is_missing(release_folder):
    counts = load().labels["DIAG"].counts.values()
    assert sum(sum(classes.values()) for classes in counts) == 1011
    assert (layout_derm7pt.SHARED, layout_derm7pt.CASES) == (9, 1011)
    used = Derm7pt(release_folder, **recipe("release").options["derm7pt"]).studies()
    repeated = {one.id for one in used if one.images["clinic"] == one.images["derm"]}
    assert repeated
    studies = Derm7pt(release_folder, **recipe("sm3").options.get("derm7pt", {})).studies()
    assert len(studies) == len(used) == 12
    assert {one.id for one in studies if "clinic" not in one.images} == repeated


@row(BOTH, "Images of one patient or lesion", "not negatives in `simclr` and `crossmodal`")
def test_images_of_one_patient_are_no_negatives():
    given, group = streams(), torch.tensor([7, 7, 1, 2, 3, 4, 5, 6])
    for name, masked in (("sm3", group), ("release", None), ("paper", None)):
        # Shards and anchors are about other rows.
        plain = {"simclr": {"shards": 1, "anchors": "all"}}
        plain["crossmodal"] = {"shards": 1, "pairing": "aligned"}
        parts = training(name, options=plain).parts
        (term,) = parts.crossings["crossmodal"](given, group=group).values()
        pairs = list(zip(*given.values(), strict=True))
        wanted = torch.stack([contrast(a, b, group=masked) for a, b in pairs]).mean()
        torch.testing.assert_close(term, wanted, **EXACT)
        objective = parts.objectives["simclr"]["derm"].double()
        projected = objective.head(torch.cat(given["derm"])).chunk(2)
        loss = objective(given["derm"], group=group)["loss"]
        torch.testing.assert_close(loss, contrast(*projected, group=masked), **EXACT)


def rates_over(name):
    """The learning rates at the begin, in the middle and at the end of a training."""
    module = training(name)
    optimiser = module.configure_optimizers()
    module._trainer = SimpleNamespace(optimizers=[optimiser])
    found = []
    for progress in (0.0, 0.001, 0.5, 1.0):
        module._set_rate(progress)
        found.append(optimiser.param_groups[0]["lr"])
    return found


@row(BOTH, "Learning rate", "constant; `quick` brings it to zero by a cosine")
def test_the_learning_rate_is_constant():
    for name in ("sm3", "release", "paper"):
        assert rates_over(name) == [recipe(name).lr] * 4
    first, early, middle, last = rates_over("quick")
    assert first == recipe("quick").lr
    assert early == pytest.approx(first * (1 + math.cos(math.pi * 0.001)) / 2)
    assert middle == pytest.approx(first / 2)
    assert last == 0


@row(BOTH, "Losses", "always in float32")
@pytest.mark.parametrize("objective", ["simclr", "byol", "swav"])
def test_losses_are_computed_in_float32(objective):
    module = training(objective=(objective,), fusion="sep_sep")
    seen = set()

    def look(network, given):
        features = given[0].values() if isinstance(given[0], dict) else [given[0]]
        kinds = {view.dtype for views in features for view in views}
        seen.add((torch.is_autocast_enabled("cpu"), *kinds))

    for one in [*module.parts.objectives[objective].values(), *module.parts.crossings.values()]:
        one.register_forward_pre_hook(look)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = module.training_step(batch(), 0)
    assert seen == {(False, torch.float32)}
    assert loss.dtype == torch.float32


def test_losses_of_halved_numbers_are_computed_in_float32():
    rows = [table(seed=seed, kind=torch.float32).bfloat16() for seed in (0, 1)]
    whole = [one.float() for one in rows]
    assert torch.equal(pairwise_ntx(*rows, 0.1), pairwise_ntx(*whole, 0.1))
    targets = torch.zeros(COUNT, 2, dtype=torch.long)
    assert torch.equal(label_loss(rows, targets)[0], label_loss(whole, targets)[0])
    assert full_precision(rows[0]).dtype == torch.float32


@row(BOTH, "Hue", "in steps of 1/256")
def test_hue_turns_in_steps():
    # A level of each channel in turn, so that every step can be seen.
    pixels = np.array([[[255, 0, 0], [200, 30, 90], [10, 240, 130]]], np.uint8)
    steps = [colour.hue(pixels, step / 256) for step in range(256)]
    assert len({step.tobytes() for step in steps}) == 256
    for step in (0, 3, 100, 255):
        for near in (-0.49, 0.2, 0.49):
            assert (colour.hue(pixels, (step + near) / 256) == steps[step]).all()
    theirs = torch.from_numpy(np.moveaxis(pixels, 2, 0).copy())
    for shift in (-0.2, 0.07, 0.2):
        wanted = np.moveaxis(tv.adjust_hue(theirs, shift).numpy(), 0, 2).astype(int)
        # A step is six levels where the colour is full; rounding it and the result, one step.
        assert np.abs(colour.hue(pixels, shift) - wanted).max() <= 10


@row(BOTH, "SwAV's prototypes", "60")
def test_swav_has_sixty_prototypes():
    for objective in training("swav").parts.objectives["swav"].values():
        assert objective.prototypes(torch.zeros(1, 128)).shape == (1, 60)


def takes_the_queue(count, progress):
    """Whether the queue of the default changes the loss of a batch."""
    objective = SwAV(WIDTH)
    objective.before_step(progress)
    objective([table(count, seed=seed, kind=torch.float32) for seed in (0, 1)])
    without = copy.deepcopy(objective)
    without.filled.zero_()
    given = [table(count, seed=seed, kind=torch.float32) for seed in (2, 3)]
    losses = [one(given)["loss"].item() for one in (objective, without)]
    return losses[0] != losses[1]


@row(
    BOTH,
    "SwAV's queue",
    "96 rows, from a tenth of the training on; from the beginning in a batch with fewer rows than "
    "prototypes",
)
def test_the_queue_of_swav():
    objective = training("swav").parts.objectives["swav"]["derm"]
    for seed in range(3):
        objective([table(64, seed=seed, kind=torch.float32)] * 2)
    assert int(objective.filled) == objective.queued.shape[1] == 96
    assert [takes_the_queue(60, progress) for progress in (0, 0.099, 0.1, 1)] == [
        False,
        False,
        True,
        True,
    ]
    assert takes_the_queue(59, 0)
    # The last batch of Derm7pt is such a one.
    assert last_batch("sm3") < 60


@row(BOTH, "SwAV's multi-crop", "none")
def test_views_are_the_same_in_all_rows_of_stage_1():
    wanted = vars(photo("sm3"))
    picture = plain_picture((9, 8, 7))
    assert [view.shape for view in photo("swav").views(picture)] == [(3, 16, 16)] * 2
    for name in ("swav", "byol", "simclr", "simclr-derm", "concat", "f4m-fs", "sep_shared"):
        assert vars(photo(name)) == wanted


@row(BOTH, "Batch norm in BYOL and SwAV", "each view is a batch of its own")
@pytest.mark.parametrize("name", ["byol", "swav"])
def test_each_view_is_a_batch_in_byol_and_swav(name):
    module = training(name)
    module.training_step(batch(), 0)
    for modality in MODALITIES:
        assert counts(module.parts.backbones[modality]) == {2}
        assert counts(module.parts.objectives[name][modality]) == {2}


@row(
    BOTH,
    "Learning rate of new layers in the rows BYOL and SwAV",
    "1e-3, that of the backbones 1e-6",
)
@pytest.mark.parametrize("name", ["byol", "swav"])
def test_learning_rates_of_byol_and_swav(name):
    module = training(name)
    found = rates(module)
    assert set(found) == {1e-3, 1e-6}
    assert same_weights(found[1e-6], module.networks["backbones"].parameters())
    assert set(rates(training(name, head_lr=0))) == {1e-6}
    steps = len(EpochBatches(TRAINING, module.variant.batch_size, 0)) * module.variant.epochs
    assert (
        f"{steps:,} steps of {module.variant.lr:.0e}".replace("e-06", "e-6")
        in (ROWS[BOTH, "Learning rate of new layers in the rows BYOL and SwAV"]["why"])
    )


@row(BOTH, "BYOL's momentum", "starts at 0.99")
def test_the_momentum_of_byol_starts_lower():
    objective = training("byol").parts.objectives["byol"]["derm"]
    assert isinstance(objective, BYOL)
    for progress, momentum in ((0.0, 0.99), (1.0, 1.0)):
        encoder, target = nn.Linear(2, 2), nn.Linear(2, 2)
        before = target.weight.detach().clone()
        objective.update_target(encoder, target, progress)
        wanted = momentum * before + (1 - momentum) * encoder.weight
        torch.testing.assert_close(target.weight, wanted)


@row(
    BOTH,
    "More than two modalities",
    "the mean over all pairs that meet in a batch; the joint feature holds all",
)
def test_more_than_two_modalities():
    given = {**streams(), "sono": [table(seed=8), table(seed=9)]}
    everywhere = torch.ones(COUNT, dtype=torch.bool)
    objective = training("sm3").parts.crossings["crossmodal"]

    def of(*names):
        return torch.stack(
            [contrast(a, b) for a, b in zip(*(given[name] for name in names), strict=True)]
        ).mean()

    def total(present):
        return torch.stack(list(objective(given, present=present).values())).sum()

    present = dict.fromkeys(given, everywhere)
    pairs = [("derm", "clinic"), ("derm", "sono"), ("clinic", "sono")]
    wanted = torch.stack([of(*pair) for pair in pairs]).mean()
    torch.testing.assert_close(total(present), wanted, **EXACT)
    torch.testing.assert_close(
        total({**present, "sono": ~everywhere}), of("derm", "clinic"), **EXACT
    )
    features = {name: views[0] for name, views in given.items()}
    for fusion in (NoFusion, Concat, Sum, SepSep, SepShared):
        joint = fusion(dict.fromkeys(given, WIDTH)).joint(features, present)
        assert torch.equal(joint, torch.cat(list(features.values()), dim=1))


@row(
    BOTH,
    "A study without one modality, in stage 2 and evaluation",
    "zeros in the joint feature",
)
def test_a_study_without_one_modality_has_zeros():
    given = batch(4)
    given.present["clinic"][1] = False
    for fusion in (NoFusion, Concat, Sum, SepSep, SepShared):
        backbones = {name: Small("any", 3).eval() for name in MODALITIES}
        modalities = dict.fromkeys(MODALITIES, Plain())
        extractor = Extractor(
            backbones, fusion(dict.fromkeys(MODALITIES, WIDTH)), modalities, False
        )
        whole = torch.cat([backbones[name](given.views[name][0]) for name in MODALITIES], dim=1)
        wanted = whole.detach().clone()
        wanted[1, WIDTH:] = 0
        torch.testing.assert_close(extractor.joint(given).detach(), wanted)
        # Features that were kept count likewise, whatever stands in the place of the missing one.
        kept = {
            name: [rows.numpy()]
            for name, rows in zip(MODALITIES, whole.detach().chunk(2, 1), strict=True)
        }
        features = Features(kept, given.present, given.labels, list("abcd"), given.group)
        source = CachedJoint(features, extractor, 0)
        (found,) = source.in_order(0)
        torch.testing.assert_close(found.joint, wanted)
        assert found.count == len(source) == 4


@row(BOTH, "A study without a label", "counts nowhere for that label")
def test_a_study_without_a_label_counts_nowhere():
    logits = [table(5, 3).requires_grad_(), table(5, 2, seed=1).requires_grad_()]
    targets = torch.tensor([[0, 1], [-1, 0], [2, -1], [1, 1], [-1, 0]])
    loss, _ = label_loss(logits, targets)
    terms = []
    for number, rows in enumerate(logits):
        known = targets[:, number] >= 0
        terms.append(F.cross_entropy(rows[known], targets[known, number]))
    torch.testing.assert_close(loss, torch.stack(terms).mean(), **EXACT)
    loss.backward()
    for number, rows in enumerate(logits):
        assert torch.equal(rows.grad.any(dim=1), targets[:, number] >= 0)
    truth = np.array([0, 1, 1, 0, -1, -1])
    scores = np.random.default_rng(0).random((6, 2))
    assert label_metrics(scores, truth, 1) == label_metrics(scores[:4], truth[:4], 1)


@row(BOTH, "Sum with a missing modality", "the others are scaled up")
def test_a_sum_is_scaled_up_where_a_modality_is_missing():
    """One modality alone counts twice, as if the other had the same feature."""
    fusion = Sum(dict.fromkeys(MODALITIES, WIDTH), projection=3).double().eval()
    derm, clinic = table(seed=0), table(seed=1)
    here = torch.ones(COUNT, dtype=torch.bool)
    alone = fusion({"derm": [derm], "clinic": [clinic]}, {"derm": here, "clinic": ~here})
    twice = fusion({"derm": [derm], "clinic": [derm]}, {"derm": here, "clinic": here})
    torch.testing.assert_close(alone["joint"][0], twice["joint"][0], **EXACT)


@sentence(BOTH, "The default also takes `seed 0`; the code takes 3407, and so does `release`")
def test_seeds():
    assert (recipe().seed, recipe("sm3").seed, recipe("release").seed) == (0, 0, 3407)


# As in the code


@sentence(
    ALIKE,
    "The projector (three layers, last batch norm without affine), crop, jitter, flip and blur, "
    "25 pixels cut off each border of Derm7pt, mean and deviation of the pixels, 400 epochs, "
    "batch 96, a constant learning rate of 1e-6, no warm-up, no clipping, training on the 413 "
    "training cases alone",
)
@pytest.mark.parametrize("name", ["sm3", "release", "paper"])
def test_what_is_as_in_the_code(name, release_folder, trained):
    module = training(name)
    heads = [*module.parts.objectives["simclr"].values(), *module.parts.fusion.projectors.values()]
    for head in heads:
        layers = [one for one in head.modules() if isinstance(one, nn.Linear | nn.BatchNorm1d)]
        assert [type(one) for one in layers] == [nn.Linear, nn.BatchNorm1d] * 3
        assert [one.affine for one in layers[1::2]] == [True, True, False]
        assert [one.out_features for one in layers[0::2]] == [WIDTH, WIDTH, 128]
        assert not [one for one in layers[0::2] if one.bias is not None]
    views = photo(name)
    assert (views.view_count, views.crop_scale, views.crop_ratio) == (2, (0.5, 1.0), (3 / 4, 4 / 3))
    assert views.jitter == views.brightness == views.contrast == views.saturation == 0.8
    assert (views.hue, views.flip, views.vertical_flip, views.rotate) == (0.2, 0.5, 0, 0)
    assert (views.blur, views.blur_kernel, views.blur_sigma) == (0.5, 3, (0.1, 2.0))
    assert (views.mean, views.std) == ((0.7833, 0.6712, 0.6026), (0.2139, 0.2472, 0.2571))
    for modality in Derm7pt(release_folder).modalities.values():
        assert dict(modality.options) == {"border": 25}
    variant = module.variant
    assert (variant.epochs, variant.batch_size, variant.lr) == (400, 96, 1e-6)
    assert (variant.schedule, variant.head_lr, variant.betas) == ("constant", 0, (0.9, 0.999))
    assert rates_over(name)[0] == variant.lr  # No warm-up.
    assert trained.clipping == {None}
    assert variant.splits == ("train",)
    assert TRAINING == 413


def test_the_border_is_cut(release_folder):
    path = next(iter(Derm7pt(release_folder).studies())).images["derm"]
    picture = np.moveaxis(np.asarray(Image.open(path)), 2, 0)
    assert (photo("release").read(path) == picture[:, 25:-25, 25:-25]).all()


@sentence(ALIKE, "`-o training.splits=train,val`")
def test_more_splits_can_be_trained_on():
    (splits,) = as_typed(ALIKE, ["-o", "training.splits=train,val"]).values()
    assert splits == ("train", "val")


def in_plain_torch(fusion, networks, views):
    """The loss of a row of SimCLR from its networks alone."""
    features = {name: [networks["backbone", name](view) for view in views[name]] for name in views}

    def together(network, given):
        return network(torch.cat(given)).chunk(2)

    within = [contrast(*together(networks["head", name], features[name])) for name in views]
    pairs = list(zip(*features.values(), strict=True))
    if fusion == "none":
        return sum(within)
    if fusion in ("concat", "sum"):
        joint = [torch.cat(one, dim=1) if fusion == "concat" else sum(one) for one in pairs]
        return sum(within) + contrast(*together(networks["cross", ""], joint))
    names = list(views) if fusion == "sep_sep" else ["", ""]
    across = [
        contrast(*(networks["cross", name](view) for name, view in zip(names, one, strict=True)))
        for one in pairs
    ]
    return sum(within) + sum(across) / 2


@sentence(ALIKE, "are tested against a second way in plain PyTorch, to nine digits")
@pytest.mark.parametrize("fusion", ["none", "concat", "sum", "sep_sep", "sep_shared"])
def test_losses_and_gradients_a_second_way(fusion):
    """The rows of SimCLR; BYOL, SwAV, stage 2 and whole steps are with the engine's reference."""
    module = training("release", fusion=fusion, options={
        "simclr": {"shards": 1}, "crossmodal": {"shards": 1}
    }).double()  # fmt: skip
    parts = module.parts
    networks = {("backbone", name): parts.backbones[name] for name in MODALITIES}
    networks |= {("head", name): parts.objectives["simclr"][name].head for name in MODALITIES}
    if fusion == "sep_sep":
        networks |= {("cross", name): parts.fusion.projectors[name] for name in MODALITIES}
    elif fusion != "none":
        networks["cross", ""] = parts.fusion.projector
    networks = copy.deepcopy(networks)
    given = batch(kind=torch.float64)
    loss = module.training_step(given, 0)
    loss.backward()
    wanted = in_plain_torch(fusion, networks, given.views)
    wanted.backward()
    torch.testing.assert_close(loss, wanted, **EXACT)
    for name in MODALITIES:
        pairs = zip(
            parts.backbones[name].state_dict(keep_vars=True).values(),
            networks["backbone", name].state_dict(keep_vars=True).values(),
            strict=True,
        )
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs, **EXACT)
            if ours.grad is not None:
                torch.testing.assert_close(ours.grad, theirs.grad, **EXACT)


# Printed numbers


@row(PRINTED, "SimCLR-derm", "75.5")
@row(PRINTED, "SwAV", "78.0")
@row(PRINTED, "BYOL", "78.3")
@row(PRINTED, "F4M-FS", "80.05")
@sentence(PRINTED, "Four averages of Table 5 are not the mean of their own row")
def test_means_of_rows_that_are_not_what_is_printed():
    listed = {what: cells for (section, what), cells in ROWS.items() if section == PRINTED}
    table = load().tables["5"].rows
    off = {name: one for name, one in table.items() if one.cell("auc").rule == "row mean"}
    assert set(listed) == set(off)
    assert len(listed) == 4
    for name, cells in listed.items():
        assert float(cells["printed"]) == off[name].cell("auc").printed
        assert float(cells["mean of the row"]) == off[name].cell("auc").row_mean


@sentence(
    PRINTED,
    "BYOL is level with SimCLR (78.2), and F4M-FS is above sep_sep (79.5)",
    "Every row is one run",
    "differences below about one point say nothing",
)
def test_what_the_means_of_the_rows_say():
    mean = {name: published("5", name).cell("auc").value for name in load().tables["5"].rows}
    assert (mean["SimCLR"], mean["sep_sep"]) == (78.2, 79.5)
    assert abs(mean["BYOL"] - mean["SimCLR"]) < 0.15
    assert mean["F4M-FS"] > mean["sep_sep"]
    for name in mean:
        assert published("5", name).runs == 1

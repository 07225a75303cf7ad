"""What is as in the code."""

import numpy as np
import pytest
import test_reference
from differences_page import ALIKE, sentence
from PIL import Image
from row_settings import as_typed, recipe
from tiny_networks import TRAINING, WIDTH, rates_over, training
from tiny_pictures import photo
from torch import nn

from sm3kit.core.registry import registry
from sm3kit.datasets.derm7pt import Derm7pt


@sentence(
    ALIKE,
    "The projector (three layers, the last batch norm without affine parameters), crop, "
    "jitter, flip and blur, 25 pixels cut off each border of Derm7pt, mean and standard "
    "deviation of the pixels, 400 epochs, batches of 96, a constant learning rate of "
    "1e-6, no warm-up, no clipping, training on the 413 training cases only",
)
@pytest.mark.parametrize("name", ["sm3", "release", "paper"])
def test_what_is_as_in_the_code(name, release_folder, trained):
    module = training(name)
    heads = [
        *module.parts.objectives["simclr"].values(),
        *module.parts.branches.fusion.projectors.values(),
    ]
    for head in heads:
        layers = [one for one in head.modules() if isinstance(one, nn.Linear | nn.BatchNorm1d)]
        assert [type(one) for one in layers] == [nn.Linear, nn.BatchNorm1d] * 3
        assert [one.affine for one in layers[1::2]] == [True, True, False]
        assert [one.out_features for one in layers[0::2]] == [WIDTH, WIDTH, 128]
        assert not [one for one in layers[0::2] if one.bias is not None]
    views = photo(name)
    drawn = views.chances
    assert (views.view_count, drawn.crop_scale, drawn.crop_ratio) == (2, (0.5, 1.0), (3 / 4, 4 / 3))
    amounts = {change.name: amount for change, amount in drawn.amounts.items()}
    assert (drawn.jitter, amounts.pop("HUE")) == (0.8, 0.2)
    assert amounts == dict.fromkeys(["BRIGHTNESS", "CONTRAST", "SATURATION"], 0.8)
    assert (drawn.flip, drawn.vertical_flip, drawn.rotate) == (0.5, 0, 0)
    assert (drawn.blur, views.blur_kernel, drawn.blur_sigma) == (0.5, 3, (0.1, 2.0))
    assert (views.mean, views.std) == ((0.7833, 0.6712, 0.6026), (0.2139, 0.2472, 0.2571))
    for modality in Derm7pt(release_folder).modalities.values():
        assert dict(modality.options) == {"border": 25}
    variant = module.variant
    assert (variant.stage1.epochs, variant.stage1.batch_size, variant.stage1.lr) == (400, 96, 1e-6)
    assert (variant.stage1.schedule, variant.stage1.head_lr, variant.stage1.betas) == (
        "constant",
        0,
        (0.9, 0.999),
    )
    assert rates_over(name)[0] == variant.stage1.lr  # No warm-up.
    assert trained.clipping == {None}
    assert variant.splits == ("train",)
    assert TRAINING == 413


def test_the_border_is_cut(release_folder):
    path = next(iter(Derm7pt(release_folder).studies())).images["derm"]
    picture = np.moveaxis(np.asarray(Image.open(path)), 2, 0)
    assert (photo("release").read(path) == picture[:, 25:-25, 25:-25]).all()


@sentence(ALIKE, "`-o splits=train,val`")
def test_more_splits_can_be_trained_on():
    (splits,) = as_typed(ALIKE, ["-o", "splits=train,val"]).values()
    assert splits == ("train", "val")


ROWS_OF_SIMCLR = ("simclr", "concat", "f4m-fs", "sep_sep", "sep_shared")


@sentence(
    ALIKE, "are tested against an independent implementation in plain PyTorch, to nine digits"
)
def test_there_is_a_second_way_for_every_row_of_stage_1_and_for_stage_2():
    assert test_reference.EXACT == {"rtol": 1e-9, "atol": 1e-9}
    fusions = {recipe(name).fusion for name in ROWS_OF_SIMCLR}
    assert fusions == set(test_reference.HEADS) == set(registry("fusions").names())
    assert test_reference.test_stage_2_of_two_epochs


@pytest.mark.parametrize("name", ROWS_OF_SIMCLR)
def test_a_row_of_simclr_a_second_way(name):
    """With the settings of its recipe; the engine's own tests have those of their tiny variant."""
    test_reference.test_a_row_of_simclr(recipe(name), recipe(name).fusion)


@pytest.mark.parametrize("name", ["byol", "swav"])
def test_byol_and_swav_a_second_way(name):
    """The optimiser of the reference has one learning rate."""
    getattr(test_reference, f"test_the_row_of_{name}")(recipe(name, stage1={"head_lr": 0}))

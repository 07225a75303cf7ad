"""Backbones are built for the size of their views, or say before a training which sizes fit."""

import dataclasses

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from sm3kit.api import Backbone
from sm3kit.backbones.timm import Timm
from sm3kit.core.errors import CheckpointError, ContractError, OptionError, VariantError
from sm3kit.core.variant import Variant
from sm3kit.modalities.photo import Photo
from sm3kit.networks.backbone import tried_backbone

# From most modules of timm that want one size; the smallest that the suite has time for.
RESIZED = ["levit_128s", "deit_tiny_patch16_224", "pit_ti_224", "gmlp_ti16_224", "test_vit_relpos"]
REFUSED = {"dla46x_c": "32, 64, 224", "inception_v3": "80, 299", "test_coatnet": "32, 64, 160"}


def variant_of(model, size, **more):
    return Variant(backbone=model, weights="none", image_size=size, **more)


@pytest.mark.parametrize("model", RESIZED)
def test_a_model_of_one_size_is_built_for_the_size_of_the_views(model):
    backbone = tried_backbone(variant_of(model, 48), "derm", Photo(48)).eval()
    with torch.no_grad():
        assert backbone(torch.rand(2, 3, 48, 48)).shape == (2, backbone.width)


@pytest.mark.parametrize("model", ["test_resnet", "test_vit", "crossvit_tiny_240"])
def test_a_model_that_takes_the_size_by_itself_is_built_as_timm_does(model):
    torch.manual_seed(0)
    own = Timm(model, 3, start="timm", image_size=48)
    numbers = torch.rand(3)
    torch.manual_seed(0)
    plain = timm.create_model(model, num_classes=0).state_dict()
    assert torch.equal(numbers, torch.rand(3))
    assert list(own.model.state_dict()) == list(plain)
    assert all(torch.equal(own.model.state_dict()[name], plain[name]) for name in plain)


@pytest.mark.parametrize("model", REFUSED)
def test_a_size_that_does_not_fit_is_refused_with_those_that_do(model):
    with pytest.raises(VariantError) as told:
        tried_backbone(variant_of(model, 48), "derm", Photo(48))
    own = REFUSED[model].rpartition(" ")[2]
    assert str(told.value) == (
        f"The backbone {model} does not accept the views of derm, 48 x 48 pixels. It takes "
        f"{REFUSED[model]}, for example: give --image-size derm={own}, or another --backbone."
    )
    for size in map(int, REFUSED[model].split(", ")):
        tried_backbone(variant_of(model, size), "derm", Photo(size))


def test_the_size_of_one_modality_counts():
    variant = variant_of("test_coatnet", 160, per_modality={"derm": {"image_size": 64}})
    tried_backbone(variant, "derm", Photo(64))
    tried_backbone(variant, "clinic", Photo(160))


def test_the_try_changes_nothing():
    def state(make):
        torch.manual_seed(0)
        found = make(variant_of("test_resnet", 48), "derm")
        return [*found.state_dict().values(), torch.rand(3)], found.training

    tried = state(lambda variant, name: tried_backbone(variant, name, Photo(48)))
    plain = state(lambda variant, name: Timm("test_resnet", 3, image_size=48))
    assert tried[1] is plain[1] is True
    assert all(map(torch.equal, tried[0], plain[0]))


@pytest.fixture
def weights_of(tmp_path):
    def write(model):
        torch.manual_seed(0)
        state = timm.create_model(model, num_classes=0).state_dict()
        save_file(state, tmp_path / "weights.safetensors")
        return state, str(tmp_path / "weights.safetensors")

    return write


def test_weights_are_resampled_to_the_size(weights_of):
    state, file = weights_of("deit_tiny_patch16_224")
    # A field of positions that rises from left to right goes on doing so.
    state["pos_embed"] = torch.linspace(0, 1, 14).repeat(14).view(1, 196, 1).expand(1, 196, 192)
    state["pos_embed"] = torch.cat([torch.zeros(1, 1, 192), state["pos_embed"]], 1).contiguous()
    save_file(state, file)
    own = Timm("deit_tiny_patch16_224", 3, weights=file, image_size=48).model.state_dict()
    other = [name for name in own if own[name].shape != state[name].shape]
    assert other == ["pos_embed"]
    assert all(torch.equal(own[name], state[name]) for name in own if name not in other)
    columns = own["pos_embed"][0, 1:, 0].view(3, 3)
    assert torch.allclose(columns[0], torch.tensor([0.15, 0.5, 0.85]), atol=0.05)
    assert torch.allclose(columns, columns[0].expand(3, 3), atol=1e-4)


def test_weights_that_cannot_be_resampled_are_said(weights_of):
    _, file = weights_of("levit_128s")
    variant = dataclasses.replace(variant_of("levit_128s", 48), weights=file)
    with pytest.raises(CheckpointError) as told:
        tried_backbone(variant, "derm", Photo(48))
    assert str(told.value) == (
        f"The weights {file!r} of timm model 'levit_128s' are for views of another size, and timm "
        "cannot resample them to 48 pixels. Give --image-size 224, or --weights none."
    )


def test_the_size_is_no_option():
    variant = variant_of("test_resnet", 48, options={"timm": {"image_size": 64}})
    with pytest.raises(OptionError, match="Give --image-size instead"):
        tried_backbone(variant, "derm", Photo(48))


def test_a_third_partys_backbone_is_tried_as_well(registered):
    class Picky(Backbone):
        """Takes multiples of 32 alone."""

        def __init__(self, model, channels):
            super().__init__()
            self.width, self.layer = 4, nn.Linear(3, 4)
            self.model = model

        def forward(self, view):
            if view.shape[-1] % 32:
                raise ValueError("odd one")
            rows = self.layer(view.mean((2, 3)))
            return rows[:, :2] if self.model == "narrow" else rows

    registered("backbones", "picky", Picky)
    with pytest.raises(VariantError, match=r"48 x 48 pixels\. It takes 32, 64, for example: give"):
        tried_backbone(variant_of("picky/any", 48), "derm", Photo(48))
    with pytest.raises(ContractError, match=r"Picky makes features of the shape \(1, 2\)"):
        tried_backbone(variant_of("picky/narrow", 64), "derm", Photo(64))


def test_a_backbone_that_takes_no_size_says_why(registered):
    class Broken(Backbone):
        """Takes nothing."""

        def __init__(self, model, channels):
            super().__init__()
            self.width = 4

        def forward(self, view):
            raise ValueError("no network\nat all")

    registered("backbones", "broken", Broken)
    with pytest.raises(VariantError) as told:
        tried_backbone(variant_of("broken/any", 48), "derm", Photo(48))
    assert str(told.value) == (
        "The backbone broken/any does not accept the views of derm, 48 x 48 pixels: no network at "
        "all. Use another --backbone."
    )

"""Feature maps of backbones: known beforehand, in one pass with the features, which stay the same."""

import pytest
import torch
from torch import nn

from sm3kit.backbones.base import Backbone
from sm3kit.backbones.timm import Timm
from sm3kit.core.errors import ContractError
from sm3kit.nn.map_shape import MapShape
from sm3kit.testing.backbones import LAWS, BackboneTrial


def views(size=64, channels=3):
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("model", "size", "shapes"),
    [
        ("resnet18", 64, [(64, 2), (64, 4), (128, 8), (256, 16), (512, 32)]),
        ("test_resnet", 64, [(32, 2), (32, 4), (48, 8), (192, 16), (96, 32)]),
        ("test_convnext", 64, [(24, 4), (32, 8), (48, 16), (64, 32)]),
        ("test_efficientnet", 64, [(16, 2), (24, 4), (32, 8), (48, 16), (64, 32)]),
        ("test_vit", 160, [(64, 16)] * 6),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_maps_come_in_the_pass_of_the_features(model, size, shapes, training):
    backbone = Timm(model, 3).train(training)
    assert list(backbone.map_shapes) == [MapShape(*shape) for shape in shapes]
    images = views(size)
    wanted = backbone(images)
    features, maps = backbone.features_and_maps(images)
    assert torch.equal(features, wanted)
    assert [table.shape for table in maps] == [
        (2, channels, size // stride, size // stride) for channels, stride in shapes
    ]
    assert all(map(torch.equal, maps, backbone.maps(images)))


def test_the_last_map_of_a_resnet_is_what_its_features_are_the_mean_of():
    backbone = Timm("test_resnet", 1).eval()
    features, maps = backbone.features_and_maps(views(channels=1))
    torch.testing.assert_close(features, maps[-1].mean(dim=(2, 3)))


def test_a_gradient_comes_through_maps_and_features():
    backbone = Timm("test_resnet", 3)
    features, maps = backbone.features_and_maps(views())
    (features.sum() + maps[1].sum()).backward()
    assert all(weight.grad is not None for weight in backbone.parameters())


def test_a_model_of_timm_that_gives_no_maps_has_none(monkeypatch):
    monkeypatch.delattr("timm.models.resnet.ResNet.forward_intermediates")
    backbone = Timm("test_resnet", 3).eval()
    assert backbone.map_shapes == []
    features, maps = backbone.features_and_maps(views())
    assert torch.equal(features, backbone(views()))
    assert maps == []


def test_sides_are_rounded_up_where_a_stride_does_not_divide_them():
    assert MapShape(8, 32).of_views((3, 224, 100)) == (8, 7, 4)
    assert MapShape(8, 4).of_views((20, 1, 1)) == (8, 1, 1)


class Patches(Backbone):
    """Means over patches of 8 pixels, as a map of stride 8; and their mean."""

    def __init__(self, model: str, channels: int, *, fault: str = "") -> None:
        super().__init__()
        self.fault, self.width = fault, 5
        self.layer = nn.Conv2d(channels, 5, 8, 8)
        stride = 32 if fault == "stride" else 8
        self.map_shapes = [MapShape(4 if fault == "channels" else 5, stride)]
        self.map_shapes += [MapShape(5, 4)] if fault == "order" else []

    def forward(self, view):
        return self.layer(view).mean(dim=(2, 3))

    def maps(self, view):
        return [self.layer(view)] * (2 if self.fault == "count" else 1)

    def features_and_maps(self, view):
        factor = 2 if self.fault == "features" else 1
        return self(view) * factor, [
            table * (2 if self.fault == "maps" else 1) for table in self.maps(view)
        ]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("", ""),
        ("channels", "gives a map (4, 5, 8, 8) of views (4, 1, 64, 64), and lists MapShape"),
        ("stride", "gives a map (4, 5, 8, 8) of views (4, 1, 64, 64), and lists MapShape"),
        ("order", "lists maps of strides [8, 4], not the finest first"),
        ("count", "gives 2 maps, and lists 1 in `map_shapes`"),
        ("features", "gives other features beside its maps"),
        ("maps", "gives other maps beside its features"),
    ],
)  # fmt: skip
def test_the_law_of_maps_holds_plugins_to_what_they_list(fault, told):
    trial = BackboneTrial(Patches, "any", options={"fault": fault})
    if not told:
        LAWS.enforce(trial, Patches)
        return
    with pytest.raises(ContractError) as caught:
        LAWS.enforce(trial, Patches)
    assert f"Patches {told}" in str(caught.value)

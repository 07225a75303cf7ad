"""The perceptron: its word, its laws, its numbers."""

import pytest
import torch

from sm3kit.api import OptionError
from sm3kit.core.options import bind
from sm3kit.testing import check_backbone
from sm3kit_tabular.mlp import MLP


@pytest.mark.parametrize("options", [{}, {"norm": "batch"}, {"norm": "none"}, {"dropout": 0.3}])
@pytest.mark.parametrize("model", ["64", "16x8"])
def test_laws(model, options):
    # The seed decides which values are left out, so that a law may try a training network.
    torch.manual_seed(0)
    check_backbone(MLP, model, shapes=[(5, 1, 1), (20, 1, 1)], **options)


def test_images_are_averaged():
    check_backbone(MLP, MLP.example())


def test_the_word_says_the_widths():
    widths = [
        (layer.in_features, layer.out_features)
        for layer in MLP("128x64", 20).layers
        if isinstance(layer, torch.nn.Linear)
    ]
    assert widths == [(20, 128), (128, 64)]
    assert MLP("128x64", 20).width == 64


def test_one_layer_by_hand():
    backbone = MLP("2", 2, norm="none")
    with torch.no_grad():
        backbone.layers[0].weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 0.0]]))
        backbone.layers[0].bias.copy_(torch.tensor([0.5, 0.0]))
    features = backbone(torch.tensor([3.0, 4.0]).view(1, 2, 1, 1))
    assert features.tolist() == [[11.5, 0.0]]


@pytest.mark.parametrize("model", ["big", "", "0", "64x", "x64", "64x0", "64,32", "-3", "6.5"])
def test_a_bad_word_is_told(model):
    with pytest.raises(OptionError) as told:
        MLP(model, 4)
    assert str(told.value) == (
        f"The backbone 'mlp' needs the widths of its layers, mlp/64 or mlp/128x64, not 'mlp/{model}'."
    )


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_a_bad_dropout_is_told(dropout):
    with pytest.raises(OptionError, match="'dropout' must be a number 0 or more and below 1, not"):
        bind(MLP, "backbone 'mlp'", {"dropout": dropout})

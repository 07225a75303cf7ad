"""Optimisers and their groups: a step of each, and which weight learns how fast."""

import copy

import pytest
import timm
import torch
from lightly.utils.lars import LARS
from timm.optim import param_groups_layer_decay
from torch import nn

from sm3kit.backbones.base import Backbone
from sm3kit.backbones.timm import Timm
from sm3kit.core.stage_settings import Stage1Settings
from sm3kit.nn.named_modules import NamedModules
from sm3kit.training.optimising.optimisers import WeightGroup, optimiser
from sm3kit.training.optimising.rates import layer_rates, weight_groups

BETAS = (0.9, 0.999)


def steps(optimiser, weight, gradients):
    """The weight after each gradient."""
    values = []
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimiser.step()
        values.append(weight.detach().clone())
    return values


def weight_and_gradients():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 4, dtype=torch.float64, generator=generator)
    return nn.Parameter(weight), torch.randn(3, 3, 4, dtype=torch.float64, generator=generator)


def lars_by_hand(weight, gradients, rate, decay):
    """You et al. 2017, algorithm 1, with a momentum of 0.9 and a trust of 0.001."""
    weight, speed, values = weight.detach().clone(), 0.0, []
    for gradient in gradients:
        trust = 0.001 * weight.norm() / (gradient.norm() + decay * weight.norm())
        change = trust * (gradient + decay * weight)
        speed = change if isinstance(speed, float) else 0.9 * speed + change
        weight = weight - rate * speed
        values.append(weight)
    return values


def test_lars_beside_steps_by_hand_and_lightly():
    weight, gradients = weight_and_gradients()
    expected = lars_by_hand(weight, gradients, 0.3, 0.05)
    other = copy.deepcopy(weight)
    own = steps(optimiser("lars", [WeightGroup(0.3, [weight])], BETAS, 1, 0.05), weight, gradients)
    lightly = LARS([other], lr=0.3, momentum=0.9, weight_decay=0.05)
    for value, by_hand, of_lightly in zip(
        own, expected, steps(lightly, other, gradients), strict=True
    ):
        torch.testing.assert_close(value, by_hand, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(value, of_lightly, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "lars"])
def test_weights_that_do_not_decay_stay_without_a_gradient(name):
    weights = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    groups = [WeightGroup(0.1, weights[:1]), WeightGroup(0.1, weights[1:], decays=False)]
    made = optimiser(name, groups, BETAS, 1e-8, 0.5)
    for weight in weights:
        weight.grad = torch.full((2,), 1e-12)
    made.step()
    assert weights[0].max() < 1 - 1e-6 or name == "lars"
    moved = 1 - weights[1].detach()
    # An Adam step has the length of the rate, however small the gradient is.
    assert moved.max() <= (1e-4 if name.startswith("adam") else 1e-12)


def groups_of(model, **changes):
    """{name of a weight: (rate, decays)} of a timm model and a head of ours."""
    backbone, head = Timm(model, 3), nn.Linear(4, 2)
    settings = Stage1Settings(lr=1e-3, **changes)
    weights = [*backbone.parameters(), *head.parameters()]
    names = {id(weight): name for name, weight in backbone.model.named_parameters()}
    names |= {id(weight): f"head.{name}" for name, weight in head.named_parameters()}
    groups = weight_groups(weights, NamedModules({"derm": backbone}), settings)
    assert sum(len(group.weights) for group in groups) == len(weights)
    return {
        names[id(weight)]: (group.rate, group.decays)
        for group in groups
        for weight in group.weights
    }


@pytest.mark.parametrize("model", ["test_resnet", "resnet18", "test_vit", "test_efficientnet"])
def test_layer_decay_and_free_norms_are_those_of_timm(model):
    own = groups_of(model, layer_decay=0.7, decay_norms=False)
    network = timm.create_model(model, num_classes=0)
    names = {id(weight): name for name, weight in network.named_parameters()}
    timms = {
        names[id(weight)]: (1e-3 * group["lr_scale"], group["weight_decay"] > 0)
        for group in param_groups_layer_decay(network, 0.05, layer_decay=0.7)
        for weight in group["params"]
    }
    assert {name: own[name][1] for name in timms} == {name: timms[name][1] for name in timms}
    for name, (rate, _) in timms.items():
        assert own[name][0] == pytest.approx(rate), name
    assert own["head.weight"] == (1e-3, True)
    assert own["head.bias"] == (1e-3, False)


def test_rates_of_the_layers_of_a_resnet_by_hand():
    own = groups_of("test_resnet", layer_decay=0.5, head_lr=0.2)
    # A stem and four blocks; every block learns twice as fast as the one before.
    first = {"conv1.0.weight": 1 / 16, "layer1.0.conv1.weight": 1 / 8, "layer4.0.conv1.weight": 1}
    assert {name: own[name][0] for name in first} == {
        name: pytest.approx(1e-3 * share) for name, share in first.items()
    }
    assert own["head.weight"] == (0.2, True)


def test_by_default_there_are_two_groups_at_most():
    assert set(groups_of("test_vit").values()) == {(1e-3, True)}
    assert set(groups_of("test_vit", head_lr=0.1).values()) == {(1e-3, True), (0.1, True)}


def test_every_weight_is_in_one_layer():
    backbone = Timm("test_vit", 3)
    rates = layer_rates(backbone, 1.0, 0.5)
    assert rates.keys() == {id(weight) for weight in backbone.parameters()}
    assert layer_rates(Backbone(), 1.0, 0.5) == {}


def test_frozen_weights_are_left_out():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    groups = weight_groups(layer.parameters(), NamedModules({}), Stage1Settings())
    assert [list(group.weights) for group in groups] == [[layer.weight]]

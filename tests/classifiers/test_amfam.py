"""AMFAM: the adversary's gradient, the terms by hand, and what an absent modality leaves out."""

import copy
import math

import pytest
import torch

from sm3kit.classifiers.amfam import AMFAM, SPARSITY, Adversary
from sm3kit.classifiers.base import ClassifierInputs
from sm3kit.core.errors import VariantError
from sm3kit.nn.gradient_reversal import reverse_gradient
from sm3kit.nn.map_shape import MapShape

MAPS = [MapShape(8, 8), MapShape(16, 16)]
LABELS = {"DIAG": ["a", "b", "c"], "PN": ["x", "y"]}


def inputs(names=("derm", "clinic"), **more):
    given = {
        "widths": dict.fromkeys(names, 16),
        "labels": LABELS,
        "maps": dict.fromkeys(names, MAPS),
        "shapes": dict.fromkeys(names, (3, 32, 32)),
    }
    return ClassifierInputs(**(given | more))


def batch(built, rows=3, **present):
    torch.manual_seed(1)
    features = {name: torch.randn(rows, width) for name, width in built.widths.items()}
    everybody = dict.fromkeys(built.widths, torch.ones(rows, dtype=torch.bool))
    maps = {
        name: [torch.randn(rows, *shape.of_views((3, 32, 32))) for shape in shapes]
        for name, shapes in built.maps.items()
    }
    views = {name: torch.randn(rows, *shape) for name, shape in built.shapes.items()}
    return features, {**everybody, **present}, {"maps": maps, "views": views}


def test_a_gradient_is_reversed():
    values = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    out = reverse_gradient(values)
    assert torch.equal(out, values)
    (out.square() * torch.tensor([1.0, 2.0, 0.5])).sum().backward()
    assert values.grad.tolist() == [-2.0, 8.0, -3.0]


def test_the_adversary_learns_what_the_features_unlearn():
    """A step down its loss: the adversary alone lowers it, the features alone raise it."""
    torch.manual_seed(0)
    present = dict.fromkeys(("a", "b"), torch.ones(8, dtype=torch.bool))
    features = {name: torch.randn(8, 4).requires_grad_() for name in present}
    adversary = Adversary({"a": 4, "b": 4}).eval()  # No power iteration.
    loss = adversary(features, present)
    loss.backward()
    with torch.no_grad():
        moved = {name: rows - 0.1 * rows.grad for name, rows in features.items()}
        assert adversary(moved, present) > loss
        for weight in adversary.parameters():
            weight -= 0.1 * weight.grad
        assert adversary(features, present) < loss


def test_an_adversary_that_cannot_tell_costs_the_logarithm_of_the_modalities():
    present = {name: torch.ones(4, dtype=torch.bool) for name in "abc"}
    same = torch.randn(4, 5)
    adversary = Adversary(dict.fromkeys(present, 5))
    with torch.no_grad():
        adversary.layers[2].bias.zero_()
        adversary.layers[2].parametrizations.weight.original.fill_(1.0)  # All alike.
    loss = adversary(dict.fromkeys(present, same), present)
    assert float(loss.detach()) == pytest.approx(math.log(3), abs=1e-6)


def test_the_adversary_is_under_spectral_norm():
    torch.manual_seed(0)
    adversary = Adversary({"a": 6, "b": 6})
    with torch.no_grad():
        adversary.layers[0].parametrizations.weight.original.mul_(9.0)
    rows = dict.fromkeys("ab", torch.randn(3, 6))
    for _ in range(200):
        adversary(rows, dict.fromkeys("ab", torch.ones(3, dtype=torch.bool)))
    largest = torch.linalg.matrix_norm(adversary.layers[0].weight, ord=2)
    assert float(largest.detach()) == pytest.approx(1.0, abs=1e-3)


def test_only_present_images_face_the_adversary():
    torch.manual_seed(0)
    adversary = Adversary({"a": 4, "b": 4}).eval()
    features = {name: torch.randn(3, 4) for name in "ab"}
    present = {"a": torch.tensor([True, True, False]), "b": torch.tensor([False, True, False])}
    rows = torch.stack([features["a"][0], features["a"][1], features["b"][1]])
    wanted = torch.nn.functional.cross_entropy(adversary.layers(rows), torch.tensor([0, 0, 1]))
    torch.testing.assert_close(adversary(features, present), wanted)
    nobody = adversary(features, dict.fromkeys("ab", torch.zeros(3, dtype=torch.bool)))
    assert float(nobody) == 0


def test_the_reconstruction_by_hand():
    """A decoder that draws a constant, and an attention of sigmoid(0): a half everywhere."""
    built = inputs(names=("derm",))
    classifier = AMFAM(built)
    with torch.no_grad():
        for weight in (*classifier.attention.parameters(), *classifier.decoders.parameters()):
            weight.zero_()
        list(classifier.decoders["derm"].children())[-1].bias.fill_(0.25)
    here = torch.tensor([True, False, True])
    features, present, more = batch(built, derm=here)
    classifier.train()(features, present, **more)
    errors = 0.5 * (more["views"]["derm"] - 0.25).abs().mean(dim=(1, 2, 3))
    wanted = (errors[0] + errors[2]) / 2 + SPARSITY * 0.5
    assert list(classifier.extra_terms()) == ["reconstruction"]
    torch.testing.assert_close(classifier.extra_terms()["reconstruction"], 0.1 * wanted)


def test_the_attention_is_strong_where_its_convolution_is():
    built = inputs(names=("derm",))
    classifier = AMFAM(built).eval()
    with torch.no_grad():
        classifier.attention["derm"].weight.zero_()
        classifier.attention["derm"].weight[0, 0] = 100.0
        classifier.attention["derm"].bias.zero_()
    maps = torch.ones(1, 16, 2, 2)
    maps[0, 0] = torch.tensor([[1.0, -1.0], [-1.0, -1.0]])
    features, present, more = batch(built, rows=1)
    more["maps"]["derm"][-1] = maps
    got = classifier(features, present, **more)["fusion"]
    # One of four places is attended to: 1 / 4 in all channels.
    wanted = classifier.heads(torch.full((1, 16), 0.25))
    assert all(map(torch.allclose, got, wanted))


def test_terms_are_weighted_and_for_training_alone():
    built = inputs()
    torch.manual_seed(0)
    classifier = AMFAM(built, adversary=2.0, reconstruction=0.0)
    features, present, more = batch(built)
    classifier.eval()(features, present, **more)
    assert classifier.extra_terms() == {}
    classifier.train()(features, present, **more)
    terms = classifier.extra_terms()
    assert float(terms["reconstruction"].detach()) == 0
    assert 0 < float(terms["adversary"].detach()) < 4
    assert list(AMFAM(inputs(("derm",))).stream_weights) == []


def test_a_copy_in_the_middle_of_a_training_has_no_terms():
    built = inputs()
    classifier = AMFAM(built)
    features, present, more = batch(built)
    classifier.train()(features, present, **more)
    twin = copy.deepcopy(classifier)
    assert twin.extra_terms() == {}
    assert len(classifier.extra_terms()) == 2
    logits = [network.eval()(features, present, **more)["fusion"] for network in (classifier, twin)]
    assert all(map(torch.equal, *logits))


def test_features_of_another_width_are_projected_for_the_adversary():
    built = inputs(widths={"derm": 16, "clinic": 24})
    classifier = AMFAM(built)
    assert list(classifier.adversary.to_width) == ["clinic"]
    features, present, more = batch(built)
    classifier(features, present, **more)
    assert classifier.extra_terms()["adversary"].isfinite()


def test_metadata_goes_to_the_heads_alone():
    built = inputs(widths={"derm": 16, "meta": 5}, maps={"derm": MAPS, "meta": []},
                   shapes={"derm": (3, 32, 32), "meta": (9, 1, 1)})  # fmt: skip
    classifier = AMFAM(built)
    assert (list(classifier.decoders), classifier.adversary) == (["derm"], None)
    assert classifier.heads.heads[0].in_features == 16 + 5
    features, present, more = batch(built)
    classifier(features, present, **more)
    assert list(classifier.extra_terms()) == ["reconstruction"]
    with pytest.raises(VariantError, match="amfam needs feature maps"):
        AMFAM(inputs(widths={"meta": 5}, maps={}))

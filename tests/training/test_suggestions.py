"""What data and weights suggest where the user says nothing: how pixels are normalised."""

import dataclasses

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny_runs import altered
from torch import nn

from sm3kit.backbones.base import Backbone
from sm3kit.modalities.photo import MEAN
from sm3kit.networks.assemble import build_pool
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.recipes import Layer
from sm3kit.runs.resumption import variant_to_resume
from sm3kit.training.preparation import apply_suggestions


class Half(Backbone):
    """A network whose weights saw values from -1 to 1."""

    def __init__(self, model, channels, *, weights: str = "none"):
        super().__init__()
        self.layer, self.width = nn.Conv2d(channels, 4, 3), 4

    @classmethod
    def normalisation(cls, model, weights):
        return ((0.5, 0.6, 0.7), (0.1, 0.2, 0.3)) if weights == "imagenet" else None

    def forward(self, view):
        return self.layer(view).mean(dim=(2, 3))


@pytest.fixture
def half(tiny, registered):
    """One epoch with such networks."""
    registered("backbones", "half", Half)
    return altered(tiny, backbone="half/any", weights="imagenet", stage1={"epochs": 1})


def suggested(variant):
    variant, pool, notes = apply_suggestions(variant, build_pool(variant))
    return variant, pool, notes


def test_pixels_are_normalised_as_the_weights_were_trained(half):
    variant, pool, notes = suggested(half)
    assert variant.options["derm"] == {"mean": [0.5, 0.6, 0.7], "std": [0.1, 0.2, 0.3]}
    white = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    for modality in pool.modalities.values():
        found = modality.normalise(white)[0, :, 0, 0]
        torch.testing.assert_close(found, torch.tensor([5.0, 2.0, 1.0]))
    assert notes == ["Pixels of derm, clinic are normalised as in the training of their weights."]


@pytest.mark.parametrize(
    "options",
    [
        {"photo": {"mean": (0.4,)}},
        {"photo": {"std": (0.4,)}},
        {"derm": {"mean": (0.4,)}, "clinic": {"std": (0.4,)}},
        {"half": {"weights": "none"}},
    ],
)
def test_the_user_knows_better(half, options):
    given = dataclasses.replace(half, options={**half.options, **options})
    variant, pool, notes = suggested(given)
    assert variant == given
    assert not notes


def test_one_modality_may_differ(half):
    own = {"clinic": {"weights": "none"}}
    variant, pool, _ = suggested(dataclasses.replace(half, per_modality=own))
    assert "clinic" not in variant.options
    assert pool.modalities["clinic"].mean == MEAN
    assert pool.modalities["derm"].mean == (0.5, 0.6, 0.7)


def test_other_numbers_of_channels_take_the_mean(half):
    options = {**half.options, "photo": {"channels": 1}}
    variant, pool, _ = suggested(dataclasses.replace(half, options=options))
    assert pool.modalities["derm"].mean == pytest.approx((0.6,))
    assert pool.modalities["derm"].std == pytest.approx((0.2,))


def test_networks_without_a_wish_leave_all_as_it_was(tiny):
    variant, pool, notes = suggested(tiny)
    assert (variant, notes) == (tiny, [])
    assert pool.modalities["derm"].mean == MEAN


def test_a_run_keeps_it_and_goes_on_with_it(half, train, tmp_path):
    _, said = train(half)
    assert (
        "note     Pixels of derm, clinic are normalised as in the training of their weights."
        in said
    )
    record = yaml.safe_load((tmp_path / "run" / "variant.yaml").read_text())
    assert record["options"]["clinic"]["mean"] == [0.5, 0.6, 0.7]
    # As the command line goes on, and as a grid does, which knows only what it was asked.
    more = altered(half, stage1={"epochs": 2})
    train(
        variant_to_resume(RunFolder(tmp_path / "run"), Layer({"stage1": {"epochs": 2}}), more),
        resume=True,
    )
    train(altered(half, stage1={"epochs": 3}), resume=True)
    train(altered(half, stage1={"epochs": 3}), "straight")
    models = [tmp_path / name / "model.safetensors" for name in ("run", "straight")]
    one, two = (load_file(model) for model in models)
    assert all(torch.equal(one[name], two[name]) for name in one)

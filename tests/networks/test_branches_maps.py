"""Features, maps and views of a batch in one pass, with missing modalities."""

import pytest
import torch

from sm3kit.backbones.base import Backbone
from sm3kit.backbones.timm import Timm
from sm3kit.data.batches import Batch
from sm3kit.fusions.concat import Concat
from sm3kit.modalities.photo import Photo
from sm3kit.networks.branches import Branches

DERM, CLINIC = torch.tensor([True, True, False]), torch.tensor([True, False, True])


class Means(Backbone):
    """The mean of each channel; no maps."""

    width = 3

    def forward(self, view):
        return view.mean(dim=(2, 3))


@pytest.fixture
def branches():
    torch.manual_seed(0)
    backbones = {"derm": Timm("test_resnet", 3), "clinic": Timm("test_convnext", 3), "b": Means()}
    widths = {name: backbone.width for name, backbone in backbones.items()}
    modalities = {"derm": Photo(64), "clinic": Photo(32), "b": Photo(32)}
    return Branches(backbones, Concat(widths), modalities, channels_last=True).eval()


def batch(**present):
    views = {
        name: [torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8)] if mask.any() else []
        for (name, mask), size in zip(present.items(), (64, 32, 32), strict=True)
    }
    rows = torch.arange(3)
    return Batch(views, present, torch.zeros(3, 1, dtype=torch.long), rows, rows)


def test_they_are_those_of_each_backbone_alone(branches):
    given = batch(derm=DERM, clinic=CLINIC, b=DERM)
    features, maps, views = branches.features_and_maps(given)
    wanted = branches.features(given)
    assert all(torch.equal(features[name], wanted[name]) for name in branches.widths)
    assert maps["b"] == []
    for name, mask in (("derm", DERM), ("clinic", CLINIC)):
        images = branches.modalities[name].normalise(given.views[name][0])
        tables = branches.backbones[name].maps(images[mask])
        assert len(tables) == len(maps[name]) == len(branches.backbones[name].map_shapes)
        for table, spread in zip(tables, maps[name], strict=True):
            torch.testing.assert_close(spread[mask], table)
            assert spread[~mask].abs().max() == 0
        assert torch.equal(views[name][mask], images[mask])
        assert views[name][~mask].abs().max() == 0


def test_a_modality_that_nobody_has_gives_zeros_of_its_shape(branches):
    nobody = torch.zeros(3, dtype=torch.bool)
    features, maps, views = branches.features_and_maps(batch(derm=DERM, clinic=nobody, b=nobody))
    everybody = branches.features_and_maps(batch(derm=DERM, clinic=~nobody, b=~nobody))
    for name in ("clinic", "b"):
        assert features[name].shape == everybody[0][name].shape
        assert [table.shape for table in maps[name]] == [t.shape for t in everybody[1][name]]
        assert views[name].shape == everybody[2][name].shape
        assert not any(t.any() for t in (features[name], views[name], *maps[name]))


def test_maps_and_features_are_float32_under_autocast(branches):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features, maps, _ = branches.features_and_maps(batch(derm=DERM, clinic=CLINIC, b=DERM))
    tables = [*features.values(), *maps["derm"], *maps["clinic"]]
    assert {table.dtype for table in tables} == {torch.float32}

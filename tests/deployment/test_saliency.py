"""Grad-CAM finds a planted spot, for maps of every form, and its pictures are made as said."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from sm3kit.backbones.base import Backbone
from sm3kit.backbones.timm import Timm
from sm3kit.core.errors import VariantError
from sm3kit.data.batches import Collate, Item
from sm3kit.datasets.base import LabelSpec
from sm3kit.deployment.predictor import Predictor
from sm3kit.deployment.saliency import heat_of, write_picture
from sm3kit.evaluation.labelling.classifier import ClassifierSpec
from sm3kit.evaluation.labelling.label_network import FromFeatures
from sm3kit.fusions.none import NoFusion
from sm3kit.modalities.photo import Photo
from sm3kit.networks.branches import Branches

SIZE = 32


class Brightness(nn.Module):
    """Brightness of patches of four pixels as a map of one channel, and its mean."""

    feature_info = [{"module": "patches", "num_chs": 1}]

    def __init__(self, form):
        super().__init__()
        self.form, self.num_prefix_tokens = form, 2 if form == "tokens" else 0
        self.scale = nn.Parameter(torch.ones(()))
        self.patches = nn.Identity()

    def forward(self, view):
        found = F.avg_pool2d(self.scale * view.mean(dim=1, keepdim=True), 4)
        if self.form == "channels first":
            return self.patches(found).mean(dim=(2, 3))
        if self.form == "channels last":
            return self.patches(found.permute(0, 2, 3, 1)).mean(dim=(1, 2))
        tokens = found.flatten(2).transpose(1, 2)
        prefix = torch.full_like(tokens[:, :2], 9)
        return self.patches(torch.cat([prefix, tokens], dim=1))[:, 2:].mean(dim=1)


class Seen(Backbone):
    def __init__(self, model, width):
        super().__init__()
        self.model, self.width = model, width

    def forward(self, view):
        return self.model(view)


def predictor_of(backbones, size=SIZE):
    """A predictor of one label with the classes dark and bright, the latter by the mean feature."""
    widths = {name: one.width for name, one in backbones.items()}
    modalities = {name: Photo(size, mean=(0.0,), std=(1.0,)) for name in backbones}
    branches = Branches(backbones, NoFusion(widths), modalities, False)
    label = LabelSpec("light", ("dark", "bright"), "bright")
    classifier = ClassifierSpec().build(branches, [label])
    head = classifier.heads.heads[0]
    nn.init.zeros_(head.weight)
    head.weight.data[1] = 1.0
    file = SimpleNamespace(labels=(label,))
    network = FromFeatures(classifier).eval()
    return Predictor(None, None, file, modalities, branches.eval(), network)


def batch_of(predictor, **views):
    item = Item({name: [view] for name, view in views.items()}, (), 0, 0)
    return Collate(predictor.streams)([item])


def planted(row, column, size=SIZE):
    """A dark picture with a bright square of eight pixels."""
    view = np.full((3, size, size), 20, np.uint8)
    view[:, row : row + 8, column : column + 8] = 250
    return view


@pytest.mark.parametrize("form", ["channels first", "channels last", "tokens"])
@pytest.mark.parametrize(("row", "column"), [(4, 20), (20, 4)])
def test_it_finds_the_spot_that_a_class_depends_on(form, row, column):
    predictor = predictor_of({"derm": Seen(Brightness(form), 1)})
    heat = heat_of(predictor, batch_of(predictor, derm=planted(row, column)), "derm", 0, 1)
    assert heat.shape == (SIZE, SIZE)
    inside = np.zeros((SIZE, SIZE), bool)
    inside[row : row + 8, column : column + 8] = True
    # Between the middles of four patches it is full; a corner of the spot is halfway to the next.
    assert heat[row + 2 : row + 6, column + 2 : column + 6].min() > 0.99
    assert heat[inside].min() > 0.3
    far = np.ones((SIZE, SIZE), bool)
    far[row - 4 : row + 12, column - 4 : column + 12] = False
    assert heat[far].max() < 1e-6


def test_the_class_against_it_sees_nothing_there():
    predictor = predictor_of({"derm": Seen(Brightness("channels first"), 1)})
    predictor.network.classifier.heads.heads[0].weight.data[0] = -1.0
    heat = heat_of(predictor, batch_of(predictor, derm=planted(8, 8)), "derm", 0, 0)
    assert heat[10:14, 10:14].max() < 1e-3


def test_each_modality_is_looked_at_alone():
    one = {name: Seen(Brightness("channels first"), 1) for name in ("derm", "clinic")}
    predictor = predictor_of(one)
    batch = batch_of(predictor, derm=planted(4, 4), clinic=planted(20, 20))
    for name, place in (("derm", 8), ("clinic", 24)):
        heat = heat_of(predictor, batch, name, 0, 1)
        assert np.unravel_index(heat.argmax(), heat.shape) == pytest.approx((place, place), abs=4)


@pytest.mark.parametrize(
    "model", ["test_resnet", "test_convnext", "test_efficientnet", "test_vit", "test_vit2"]
)
def test_it_looks_into_networks_of_timm(model):
    size = 160 if "vit" in model else 64
    torch.manual_seed(0)
    backbone = Timm(model, 3)
    predictor = predictor_of({"derm": backbone}, size)
    # Not the same weight everywhere: a layer norm makes all features sum to zero.
    head = predictor.network.classifier.heads.heads[0]
    head.weight.data[1] = torch.linspace(-1, 1, head.weight.shape[1])
    view = np.random.default_rng(0).integers(0, 256, (3, size, size)).astype(np.uint8)
    heats = [heat_of(predictor, batch_of(predictor, derm=view), "derm", 0, c) for c in (0, 1)]
    assert heats[1].shape == (size, size)
    assert np.isfinite(heats[1]).all()
    assert heats[1].max() == pytest.approx(1, abs=1e-3)
    assert heats[1].std() > 0.01


def test_a_backbone_without_a_map_is_refused():
    class Mean(Backbone):
        width = 3

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, view):
            return self.scale * view.mean(dim=(2, 3))

    predictor = predictor_of({"ct": Mean()})
    with pytest.raises(VariantError, match="backbone of ct provides no feature maps"):
        heat_of(predictor, batch_of(predictor, ct=planted(4, 4)), "ct", 0, 1)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_the_picture_shows_the_image_its_heat_and_a_bar(channels, kind, tmp_path):
    view = np.linspace(0, 255, channels * SIZE * SIZE).reshape(channels, SIZE, SIZE).astype(kind)
    heat = np.zeros((SIZE, SIZE), np.float32)
    plain, spot = tmp_path / "plain.png", tmp_path / "spot.png"
    write_picture(view, heat, "derm: DIAG MEL, 80 %", plain)
    heat[:, : SIZE // 2] = 1
    write_picture(view, heat, "derm: DIAG MEL, 80 %", spot)
    one, other = (np.asarray(Image.open(path).convert("RGB"), int) for path in (plain, spot))
    assert one.shape == other.shape and one.shape[1] > 1.5 * one.shape[0]
    changed = np.abs(one - other).sum(axis=2).max(axis=0) > 30
    columns = np.flatnonzero(changed)
    # Only the left half of the second picture has changed; the first is the image as it is.
    assert columns.min() > 0.4 * len(changed)
    assert columns.max() < 0.75 * len(changed)
    # The bar at the right runs through viridis, from dark violet up to yellow.
    bar = one[:, int(0.92 * len(changed))]
    assert np.abs(np.diff(bar.sum(axis=1))).sum() > 150


class TestCommand:
    @pytest.mark.slow
    def test_a_picture_for_every_image(self, runs, drawn, sm3kit, tmp_path):
        folder = tmp_path / "pictures"
        words = ["--split", "test", "--saliency", folder, "--label", "PN", "--class", "ATP"]
        result = sm3kit("predict", runs.both, *words, "--json")
        assert result.exit_code == 0, result.output
        record = json.loads(result.stdout)
        wanted = {
            f"{row['id']}-{name}.png"
            for row in drawn.test
            for name in ("derm", "clinic")
            if row[name]
        }
        assert {path.name for path in folder.iterdir()} == wanted
        assert record["saliency"] == [
            str(folder / f"{study['id']}-{name}.png")
            for study in record["studies"]
            for name in study["images"]
        ]

    def test_mistakes_are_told_before_anything_is_predicted(self, runs, sm3kit, one_line, tmp_path):
        words = ["predict", runs.both, "--split", "test", "--saliency", tmp_path / "out"]
        one_line(sm3kit(*words, "--label", "DIAGN"), "Did you mean 'DIAG'?")
        one_line(sm3kit(*words, "--class", "MELA"), "Did you mean 'MEL'?")
        one_line(sm3kit(*words, "--run", runs.derm), "works on one run")
        assert not (tmp_path / "out").exists()

    def test_without_the_library_the_answer_says_what_to_install(
        self, runs, sm3kit, one_line, tmp_path, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
        words = ["--split", "test", "--saliency", tmp_path / "out"]
        one_line(sm3kit("predict", runs.both, *words), "pip install 'sm3kit[saliency]'")

"""The laws of every contract, over every registered plugin."""

import numpy as np
import pytest
import torch
from PIL import Image

from sm3kit import testing
from sm3kit.core.errors import ContractError, DataError
from sm3kit.core.registry import registry
from sm3kit.nn.contrastive import pairwise_ntx
from sm3kit.objectives.base import Objective
from sm3kit.synthesis.layouts import write


def names(family):
    """The plugins of sm3kit itself; others are tested by their own distributions."""
    return [one.name for one in registry(family).declarations() if one.distribution == "sm3kit"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("layouts")
    for layout in ("derm7pt", "milk10k", "manifest"):
        write(layout, root / layout, 40, 32)
    return {
        "derm7pt": str(root / "derm7pt"),
        "milk10k": str(root / "milk10k"),
        "manifest": str(root / "manifest" / "manifest.csv"),
        "synthetic": "40",
    }


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "one.png"
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.mark.parametrize("name", names("backbones"))
def test_backbone(name):
    testing.check_backbone(registry("backbones").get(name), {"timm": "test_resnet"}[name])


@pytest.mark.parametrize("name", names("objectives"))
def test_objective(name):
    testing.check_objective(registry("objectives").get(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", names("objectives"))
def test_objective_of_two_processes(name):
    testing.check_objective(registry("objectives").get(name), processes=True)


@pytest.mark.parametrize("name", names("fusions"))
def test_fusion(name):
    testing.check_fusion(registry("fusions").get(name))


@pytest.mark.parametrize("name", names("clusterers"))
def test_clusterer(name):
    testing.check_clusterer(registry("clusterers").get(name))


@pytest.mark.parametrize("name", names("relations"))
def test_relation(name):
    testing.check_relation(registry("relations").get(name))


@pytest.mark.parametrize("name", names("modalities"))
def test_modality(name, photograph):
    testing.check_modality(registry("modalities").get(name), photograph)


@pytest.mark.parametrize("name", names("datasets"))
def test_dataset(name, folders):
    testing.check_dataset(registry("datasets").get(name), folders[name])


class Positional(Objective):
    """An objective that breaks a law: it compares rows by their position."""

    def __init__(self, width):
        super().__init__()

    def forward(self, features, targets=None, *, present=None, group=None):
        place = torch.arange(len(features[0]), dtype=torch.float32).unsqueeze(1)
        return {
            "loss": pairwise_ntx(features[0] * place, features[1], 1.0)
            + (place * features[0]).sum()
        }


class Silent(Objective):
    """An objective that breaks a law: a weight of it never learns."""

    def __init__(self, width):
        super().__init__()
        self.unused = torch.nn.Linear(width, width)

    def forward(self, features, targets=None, *, present=None, group=None):
        return {"loss": (features[0] - features[1]).square().mean()}


class Careless(registry("fusions").get("sep_sep")):
    """A fusion that breaks a law: absent rows reach the batch statistics."""

    def forward(self, features, present):
        return {n: [self.projectors[n](v) for v in views] for n, views in features.items()}


class Credulous(registry("clusterers").get("faiss")):
    """A clusterer that breaks a law: it clusters NaN."""

    def fit(self, embeddings, k, seed):
        return super().fit(embeddings.nan_to_num().repeat(2, 1)[: max(len(embeddings), 3)], k, seed)


@pytest.mark.parametrize(
    ("check", "plugin", "said"),
    [
        (testing.check_objective, Positional, "Positional depends on the order of the rows"),
        (testing.check_objective, Silent, "Silent gives weight 'unused.weight' no gradient"),
        (testing.check_fusion, Careless, "Careless lets absent rows change present ones"),
        (testing.check_clusterer, Credulous, "Credulous clusters what cannot be clustered"),
    ],
)
def test_a_broken_plugin_is_found_out(check, plugin, said):
    with pytest.raises(ContractError, match=said):
        check(plugin)


def test_a_dataset_whose_labels_are_out_of_range_is_found_out(folders):
    class Wrong(registry("datasets").get("manifest")):
        """A data set with a class that is not declared."""

        def studies(self, split=None):
            found = super().studies(split)
            found[0].labels["DIAG"] = 99
            return found

    with pytest.raises(ContractError, match="Wrong has DIAG = 99 in study"):
        testing.check_dataset(Wrong, folders["manifest"])
    with pytest.raises(DataError):
        testing.check_dataset(Wrong, "nowhere.csv")

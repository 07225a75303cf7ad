"""The laws of sm3kit hold for everything that this distribution declares."""

from importlib import import_module
from importlib.metadata import distribution

import pytest

from sm3kit.testing import check_dataset, check_modality
from sm3kit_volumes.datasets.autopet import AutoPET
from sm3kit_volumes.datasets.hecktor import Hecktor
from sm3kit_volumes.datasets.vindr_mammo import VinDrMammo
from sm3kit_volumes.datasets.volumes import Volumes
from sm3kit_volumes.modalities.ct import CT
from sm3kit_volumes.modalities.mammogram import Mammogram
from sm3kit_volumes.modalities.mr import MR
from sm3kit_volumes.modalities.pet import PET

MODALITIES, DATASETS = [CT, MR, PET], [AutoPET, Hecktor, Volumes]
OPTIONS = [
    {},
    {"policy": "mip", "axis": "coronal"},
    {"policy": "mip", "projection": "max"},
    {"policy": "stack"},
    {"policy": "stack", "channels": 5, "spacing": 3.0, "axis": "sagittal"},
    {"channels": 3, "flip": 0.5, "rotate": 90.0},
    {"reduce": False, "noise": 0.0, "blur": 0.0},
]


def test_all_that_is_declared_is_tried_here():
    found = {
        getattr(import_module(entry.module), entry.attr)
        for entry in distribution("sm3kit-volumes").entry_points
        if entry.group in ("sm3kit.modalities", "sm3kit.datasets")
    }
    assert found == {*MODALITIES, Mammogram, *DATASETS, VinDrMammo}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("plugin", MODALITIES)
def test_modalities(plugin, options, tmp_path):
    check_modality(plugin, plugin.example(tmp_path), **options)


@pytest.mark.parametrize(
    ("plugin", "options"),
    [(CT, {"window": "-600,1500"}), (MR, {"mask": "nonzero"}), (PET, {"scale": "log"})],
)
def test_options_of_one_modality(plugin, options, tmp_path):
    check_modality(plugin, plugin.example(tmp_path), **options)


@pytest.mark.parametrize("options", [{}, {"field": 0.0}, {"reduce": False, "noise": 0.0}])
def test_mammograms(options, tmp_path):
    check_modality(Mammogram, Mammogram.example(tmp_path), **options)


@pytest.mark.parametrize("options", [{}, {"val": 0.3, "split_seed": 7}])
def test_breasts(options, tmp_path):
    check_dataset(VinDrMammo, VinDrMammo.example(tmp_path), **options)


@pytest.mark.parametrize("options", [{}, {"slices": 3}, {"split_seed": 7}])
@pytest.mark.parametrize("plugin", DATASETS)
def test_datasets(plugin, options, tmp_path):
    check_dataset(plugin, plugin.example(tmp_path), **options)


@pytest.mark.parametrize("plugin", MODALITIES)
def test_reading_names_what_changes_the_pixels_and_nothing_else(plugin):
    plain = plugin(64).reading
    for changed in (
        {"policy": "mip"},
        {"axis": "coronal"},
        {"channels": 2},
        {"spacing": 1.0},
        {"projection": "max" if plugin is not PET else "mean"},
        {"crop_scale": (0.2, 1.0)},
        {"reduce": False},
    ):
        assert plugin(64, **changed).reading != plain, changed
    assert plugin(32).reading != plain
    for changed in ({"views": 4}, {"rotate": 3.0}, {"noise": 0.0}, {"blur": 0.0}):
        assert plugin(64, **changed).reading == plain, changed
    assert MR(64, mask="nonzero").reading != MR(64).reading
    assert CT(64, window="lung").reading == CT(64).reading  # Images are kept in HU.

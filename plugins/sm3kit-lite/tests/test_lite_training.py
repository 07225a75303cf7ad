"""From the command line: a run with the installed weights, its record, its export."""

import pytest
import timm
import torch
import yaml
from safetensors.torch import load_file

from sm3kit_lite.lite import Lite

LITE0 = "lite/efficientnet_lite0"
SMALL = (
    *("--data", "synthetic:24", "--backbone", LITE0, "--weights", "imagenet"),
    *("--image-size", 32, "--batch-size", 8, "--workers", 0),
)


@pytest.fixture
def record(sm3kit, tmp_path):
    """Runs `pretrain` without training, and gives what it recorded."""

    def run(*words):
        out = tmp_path / "run"
        sm3kit("pretrain", *SMALL, "--stage", "mmssl", "--epochs", 0, "--out", out, *words)
        return yaml.safe_load((out / "variant.yaml").read_text(encoding="utf-8"))

    return run


def test_an_untrained_run_holds_the_published_weights(record, tmp_path):
    assert record()["weights"] == "imagenet"
    weights = load_file(tmp_path / "run" / "model.safetensors")
    for name, value in Lite("efficientnet_lite0", 3, weights="imagenet").state_dict().items():
        assert torch.equal(weights[f"backbones.derm.{name}"], value)


def test_pixels_are_normalised_as_the_weights_want_it(record):
    options = record()["options"]
    for modality in ("derm", "clinic"):
        assert set(options[modality]["mean"]) == set(options[modality]["std"]) == {0.5}


def test_without_the_weights_pixels_stay_as_they_were(record):
    options = record("--weights", "none").get("options", {})
    assert not {"mean", "std"} & options.get("derm", {}).keys()


def test_the_user_decides_on_the_normalisation(record):
    options = record("-o", "photo.mean=0.4", "-o", "photo.std=0.3")["options"]
    assert set(options["photo"]["mean"]) == {0.4}
    assert set(options["photo"]["std"]) == {0.3}
    assert not {"mean", "std"} & options.get("derm", {}).keys()


def test_one_modality_may_have_weights_and_normalisation_of_its_own(record):
    options = record("--weights", "clinic=none")["options"]
    assert set(options["derm"]["mean"]) == {0.5}
    assert not {"mean", "std"} & options.get("clinic", {}).keys()


@pytest.mark.slow
def test_a_whole_run_is_trained_and_measured(sm3kit, tmp_path):
    run = tmp_path / "run"
    written = sm3kit(
        "pretrain", *SMALL, "--epochs", 1, "--mlssl-epochs", 1, "--feature-views", 1, "--out", run
    )
    assert f"2 x {LITE0} (6.7 M weights, imagenet), 32 px" in written
    assert "fetched" not in written
    sm3kit("evaluate", run, "--protocol", "knn")
    assert (run / "eval" / "knn-test.json").is_file()


def test_timm_loads_the_exported_network(record, sm3kit, tmp_path):
    """timm has an efficientnet_lite0 as well, of the same tensors and with other padding."""
    record()
    sm3kit(
        *("export", tmp_path / "run", "--format", "timm"),
        *("--modality", "derm", "--out", tmp_path / "derm"),
    )
    loaded = timm.create_model(f"local-dir:{tmp_path / 'derm'}", pretrained=True, num_classes=0)
    view = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ours = Lite("efficientnet_lite0", 3, weights="imagenet").eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded.eval()(view), ours(view))

"""The distribution as it is installed: what it declares, imports, and trains end to end."""

import ast
import json
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import sm3kit_xray
from sm3kit.api import API_VERSION
from sm3kit_xray import drawing
from sm3kit_xray.chexpert import CheXpert
from sm3kit_xray.findings import FINDINGS

TINY = (
    "--backbone", "timm/test_resnet", "--weights", "none", "--image-size", "32", "--epochs", "1",
    "--mlssl-epochs", "1", "--batch-size", "8", "--workers", "0",
)  # fmt: skip


class TestDistribution:
    def test_what_it_declares(self):
        found = {
            (entry.group, entry.name): entry.value
            for entry in metadata.distribution("sm3kit-xray").entry_points
        }
        assert found == {
            ("sm3kit.api", str(API_VERSION)): "sm3kit_xray",
            ("sm3kit.modalities", "xray"): "sm3kit_xray.xray:Xray",
            ("sm3kit.datasets", "chexpert"): "sm3kit_xray.chexpert:CheXpert",
            ("sm3kit.datasets", "mimic-cxr"): "sm3kit_xray.mimic_cxr:MimicCXR",
        }

    def test_it_imports_what_plugins_may(self):
        for path in Path(sm3kit_xray.__file__).parent.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom | ast.Import):
                    name = getattr(node, "module", None) or node.names[0].name
                    rooms = name.split(".")[:2]
                    mine = rooms[0] != "sm3kit" or rooms[1] in ("api", "imaging")
                    assert mine, f"{path.name} imports {name}"

    def test_findings_can_be_seen_in_the_drawings(self):
        chests = [
            drawing.chest(np.random.default_rng(0), names) for names in ([], ["Pneumothorax"])
        ]
        assert np.abs(chests[0].astype(int) - chests[1]).mean() > 2


@pytest.fixture(scope="module")
def chexpert(tmp_path_factory):
    return f"chexpert:{CheXpert.example(tmp_path_factory.mktemp('data'))}"


def test_the_data_can_be_checked(chexpert, sm3kit):
    found = json.loads(sm3kit("data", "check", chexpert, "--json"))
    assert found["problems"] == []
    assert found["modalities"]["frontal"] == found["studies"]
    assert all(
        found["modalities"]["lateral"][split] < found["studies"][split]
        for split in ("train", "val", "test")
    )


@pytest.mark.slow
def test_both_stages_and_a_probe_of_fourteen_findings(chexpert, sm3kit, tmp_path):
    """A third of the studies has no lateral image; all fifteen of the test split are evaluated."""
    folder = tmp_path / "run"
    sm3kit("pretrain", "--data", chexpert, "--stage", "both", *TINY, "--out", folder)
    words = ("--protocol", "probe", "--epochs", "2", "-o", "evaluate.resamples=10", "--json")
    record = json.loads(sm3kit("evaluate", folder, *words))
    assert list(record["labels"]) == list(FINDINGS)
    assert (record["cases"], record["groups"]) == (15, 10)
    assert all(0 <= label["auc"] <= 1 for label in record["labels"].values())

"""From the command line, end to end: several modalities, some of them missing."""

import json
from pathlib import Path

import numpy as np
import pytest

from sm3kit_volumes import examples
from sm3kit_volumes.datasets.autopet import AutoPET
from sm3kit_volumes.datasets.hecktor import Hecktor

TINY = (
    "--backbone", "timm/test_resnet", "--weights", "none", "--image-size", "32", "--epochs", "1",
    "--mlssl-epochs", "1", "--batch-size", "8", "--workers", "0",
)  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """36 cases of CT, PET and MR; every third one lacks its MR, every fourth its PET."""
    folder = tmp_path_factory.mktemp("cases")
    lines = ["id,group,ct,psma_pet,mr,disease"]
    for n in range(36):
        drawn = {"ct": examples.hounsfield, "psma_pet": examples.uptake, "mr": examples.signal}
        gone = {"mr": n % 3 == 0, "psma_pet": n % 4 == 0}
        cells = []
        for name, draw in drawn.items():
            if not gone.get(name):
                examples.write_scan(folder / f"{n}/{name}.nii.gz", draw(n))
            cells.append("" if gone.get(name) else f"{n}/{name}.nii.gz")
        lines.append(",".join([f"case{n}", f"p{n // 2}", *cells, ("no", "yes")[n // 2 % 2]]))
    path = folder / "studies.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(table, sm3kit_process):
    """Trained with geometry in common, a window and a projection of one modality."""
    folder = table.parent / "run"
    sm3kit_process(
        "pretrain", "--data", f"volumes:{table}", *TINY, "--out", folder,
        "-o", "volumes.registered=ct,psma_pet", "-o", "paired_geometry=true",
        "-o", "ct.window=lung", "-o", "psma_pet.policy=mip", "-o", "mr.policy=stack",
    )  # fmt: skip
    return folder


def test_the_data_can_be_checked(table, sm3kit):
    written = sm3kit("data", "check", f"volumes:{table}")
    for count in ("36", "27", "24"):
        assert count in written
    assert "missing" not in written


@pytest.mark.parametrize("protocol", ["probe", "match"])
def test_three_modalities_are_trained_and_evaluated(run, sm3kit, protocol):
    sm3kit("evaluate", run, "--protocol", protocol)
    (result,) = (run / "eval").glob(f"{protocol}-*.json")
    found = json.loads(result.read_text(encoding="utf-8"))
    if protocol == "match":
        pairs = {"ct->psma_pet", "psma_pet->ct", "ct->mr", "mr->ct", "mr->psma_pet"}
        assert pairs <= set(found["space"]["backbone"])
    else:
        assert 0 <= found["labels"]["disease"]["auc"] <= 1


@pytest.mark.parametrize("plugin", [AutoPET, Hecktor])
def test_the_layouts_are_trained(plugin, tmp_path, sm3kit):
    data = f"{plugin.__name__.lower()}:{plugin.example(tmp_path / 'data')}"
    words = ("-o", "paired_geometry=true", "--batch-size", "2", "--out", tmp_path / "run")
    sm3kit("pretrain", "--data", data, *TINY, "--stage", "mmssl", *words)
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_slices_of_dicom_series_are_trained(tmp_path, series, sm3kit):
    """Folders are cached; three slices of each are studies of one patient."""
    lines = ["id,ct"]
    for n in range(6):
        values = np.random.default_rng(n).integers(0, 2000, (24, 24, 8))
        series(tmp_path / f"{n}", values, uid=f"1.{n + 1}", PatientID=f"p{n}")
        lines.append(f"{n},{n}")
    table = tmp_path / "t.csv"
    table.write_text("\n".join(lines), encoding="utf-8")
    written = sm3kit(
        "pretrain", "--data", f"volumes:{table}", *TINY, "--stage", "mmssl", "--batch-size", "3",
        "-o", "volumes.slices=3", "--fusion", "none", "--out", tmp_path / "run",
    )  # fmt: skip
    assert "train 12" in written  # Four of six patients.


def test_a_broken_study_ends_in_one_line(table, tmp_path, sm3kit_process):
    text = table.read_text(encoding="utf-8").replace("1/ct.nii.gz", "1/gone.nii.gz", 1)
    wrong = table.with_name("wrong.csv")
    wrong.write_text(text, encoding="utf-8")
    written = sm3kit_process(
        "pretrain", "--data", f"volumes:{wrong}", *TINY, "--out", tmp_path / "run", fails=True
    )
    assert f"There is no scan {Path(table.parent)}/1/gone.nii.gz" in written

"""The distribution as it is installed: what it declares, imports, draws, and trains end to end."""

import ast
import csv
import json
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import sm3kit_eye
from sm3kit.api import API_VERSION
from sm3kit.data.batches import EVALUATION, StudyViews
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import open_pool
from sm3kit_eye import drawing
from sm3kit_eye.gamma import Gamma
from sm3kit_eye.topcon_mm import TopconMM

SMALL = ["--recipe", "quick", "--epochs", "2", "--batch-size", "8", "--image-size", "32"]
SMALL += ["--mlssl-epochs", "2", "--feature-views", "2", "-o", "sep_sep.projection=16"]


class TestDistribution:
    def test_what_it_declares(self):
        found = {
            (entry.group, entry.name): entry.value
            for entry in metadata.distribution("sm3kit-eye").entry_points
        }
        assert found == {
            ("sm3kit.api", str(API_VERSION)): "sm3kit_eye",
            ("sm3kit.modalities", "fundus"): "sm3kit_eye.fundus:Fundus",
            ("sm3kit.modalities", "oct"): "sm3kit_eye.oct:Oct",
            ("sm3kit.datasets", "gamma"): "sm3kit_eye.gamma:Gamma",
            ("sm3kit.datasets", "topcon-mm"): "sm3kit_eye.topcon_mm:TopconMM",
        }

    def test_it_imports_what_plugins_may(self):
        for path in Path(sm3kit_eye.__file__).parent.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom | ast.Import):
                    names = [getattr(node, "module", None) or node.names[0].name]
                    for name in names:
                        rooms = name.split(".")[:2]
                        mine = rooms[0] != "sm3kit" or rooms[1] in ("api", "imaging")
                        assert mine, f"{path.name} imports {name}"


class TestDraws:
    """Flat B-scans, whose brightness tells which of them was drawn."""

    @pytest.fixture
    def drawn(self, tmp_path):
        """drawn(seed, epoch) -> the numbers of the B-scans that each of ten eyes shows."""
        folder = TopconMM.example(tmp_path)
        for image in Path(folder, "oct_images").iterdir():
            image.unlink()
        for eye in range(1, 11):
            for scan in (1, 2, 3, 10):
                flat = np.full((40, 40), 10 * scan + 20, np.uint8)
                drawing.save(flat, Path(folder, "oct_images", f"{eye}-R-{scan}.png"))
        pool = open_pool(
            [f"topcon-mm:{folder}"],
            image_size=lambda name: 32,
            only=["oct"],
            options={"oct": {"jitter": 0}},
        )
        cases = pool.of(["train", "val", "test"])
        assert len(cases) == 10

        def numbers(seed, epoch):
            views = StudyViews(pool, cases, ImageCache(None), seed)
            shown = [views[epoch, place].views["oct"] for place in range(10)]
            assert all(np.ptp(of_eye) == 0 for of_eye in shown), "both views are of one image"
            return [(int(of_eye[0][0, 0, 0]) - 20) // 10 for of_eye in shown]

        return numbers

    def test_they_differ_between_epochs_and_follow_the_seed(self, drawn):
        epochs = [drawn(0, epoch) for epoch in range(12)]
        assert epochs == [drawn(0, epoch) for epoch in range(12)]
        assert epochs != [drawn(1, epoch) for epoch in range(12)]
        assert len({tuple(epoch) for epoch in epochs}) > 6
        for eye in zip(*epochs, strict=True):
            # Twelve draws of four miss two of them, or more, once in 700 times.
            assert len(set(eye)) >= 3
        assert {number for epoch in epochs for number in epoch} == {1, 2, 3, 10}

    def test_evaluation_takes_the_middle_one(self, drawn):
        assert drawn(0, EVALUATION) == [3] * 10


@pytest.fixture(scope="module")
def trained(sm3kit_process, tmp_path_factory):
    """A run of both stages on the example of TOPCON-MM."""
    folder = tmp_path_factory.mktemp("trained")
    data = f"topcon-mm:{TopconMM.example(folder / 'topcon')}"
    sm3kit_process("pretrain", "--data", data, "--stage", "both", *SMALL, "--out", folder / "run")
    return folder / "run"


def evaluated(sm3kit, run, protocol):
    words = ["--protocol", protocol, "--epochs", "2", "-o", "evaluate.resamples=10", "--json"]
    return json.loads(sm3kit("evaluate", run, *words))


@pytest.mark.slow
def test_probe(trained, sm3kit):
    """Five eyes of three patients are tested, all with three known labels."""
    record = evaluated(sm3kit, trained, "probe")
    assert list(record["labels"]) == ["normal", "exudation", "fluid"]
    assert (record["cases"], record["groups"]) == (5, 3)
    assert all(0 <= label["auc"] <= 1 for label in record["labels"].values())


@pytest.mark.slow
def test_match(trained, sm3kit):
    """Five of the six eyes of val have a partner; the other one was only photographed."""
    words = ["--protocol", "match", "--split", "val", "--json"]
    record = json.loads(sm3kit("evaluate", trained, *words))
    found = {direction: row["n"] for direction, row in record["space"]["backbone"].items()}
    assert found == {"fundus->oct": 5, "oct->fundus": 5}


@pytest.mark.slow
def test_gamma_in_three_slices(sm3kit, tmp_path):
    data = f"gamma:{Gamma.example(tmp_path / 'gamma')}"
    options = ["-o", "gamma.oct_slices=3", "-o", "gamma.ordinal=true"]
    sm3kit("pretrain", "--data", data, *SMALL, *options, "--out", tmp_path / "run")
    record = evaluated(sm3kit, tmp_path / "run", "probe")
    steps = ["at_least_early", "at_least_mid_advanced"]
    assert list(record["labels"]) == ["grade", *steps]


@pytest.mark.slow
def test_three_modalities_some_missing(sm3kit, tmp_path):
    """Fundus, OCT and en face by a manifest; several images in a cell, and empty cells."""
    table, rng = tmp_path / "eyes.csv", np.random.default_rng(0)
    draws = {"fundus": drawing.fundus, "oct": drawing.oct, "enface": drawing.fundus}
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "group", *draws, "sick"])
        for eye in range(24):
            cells = []
            for place, (name, draw) in enumerate(draws.items()):
                files = [f"{name}{eye}-{scan}.png" for scan in range(1 + eye % 2)]
                for image in files:
                    drawing.save(draw(rng, eye % 2 > 0), tmp_path / image)
                # Each modality is missing in four eyes, never two of them in one.
                cells.append("" if eye % 6 == 2 * place else "|".join(files))
            writer.writerow([f"eye{eye}", f"patient{eye // 2}", *cells, "ny"[eye % 2]])
    data = [
        "--data",
        f"manifest:{table}",
        "-o",
        "manifest.plugins=fundus:fundus,oct:oct,enface:fundus",
    ]
    sm3kit("pretrain", *data, *SMALL, "--out", tmp_path / "run")
    record = evaluated(sm3kit, tmp_path / "run", "match")
    directions = record["space"]["backbone"]
    assert set(directions) == {f"{one}->{two}" for one in draws for two in draws if one != two}

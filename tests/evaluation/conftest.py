"""Two tiny runs, trained once, and a table of studies whose labels are known by heart."""

import csv
import dataclasses
import io
import shutil
from types import SimpleNamespace

import pytest
from rich.console import Console

from sm3kit.core.stage_settings import MachineSettings, Stage1Settings, Stage2Settings
from sm3kit.core.variant import Variant
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import open_subject
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.synthesis.layouts import write
from sm3kit.training.pretrain import pretrain

SPLITS = ("train", "train", "train", "val", "test")
# Eight studies in a split; each class has three at least.
FAST = Settings(epochs=2, batch_size=16, resamples=20, seed=0, min_positives=1)


def reporter():
    """A reporter, and where it writes."""
    said = io.StringIO()
    return Reporter(Console(file=said, width=80)), said


@pytest.fixture(scope="session")
def studies(tmp_path_factory):
    """studies(name, change=None) -> the spec of 24 + 8 + 8 drawn pairs with labels from the row.

    `change(i, row)` gives the row to write, or None to leave it out.
    """
    folder = tmp_path_factory.mktemp("studies") / "data"
    write("manifest", folder, 40, 32, 0)
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        drawn = list(csv.DictReader(file))

    def table(name, change=None):
        rows = []
        for i, one in enumerate(drawn):
            j = i // 5
            row = {
                **{column: one[column] for column in ("id", "derm", "clinic")},
                "split": SPLITS[i % 5],
                "shape": "ab"[j % 2],
                "tone": "xyz"[j % 3],
                "edge": "mn"[j // 2 % 2],
            }
            row = change(i, row) if change else row
            rows += [row] if row is not None else []
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return f"manifest:{folder / name}.csv"

    return table


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    return ImageCache(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def features(tmp_path_factory):
    return FeatureCache(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="session")
def trained_runs(studies, images, tmp_path_factory):
    home = tmp_path_factory.mktemp("runs")
    variant = Variant(
        data=(studies("own"),),
        backbone="timm/test_resnet",
        weights="none",
        stage="both",
        clusterer="torch",
        image_size=32,
        options={"sep_sep": {"projection": 16}, "tel": {"embedding": 16, "feedforward": 16}},
        stage1=Stage1Settings(
            epochs=1, batch_size=8, lr=1e-3, eps=1e-8, monitor_every=0, precision="32"
        ),
        stage2=Stage2Settings(epochs=1, batch_size=8, feature_views=1),
        machine=MachineSettings(workers=0),
    )
    pretrain(variant, home / "stage2", reporter()[0], images)
    pretrain(dataclasses.replace(variant, stage="mmssl"), home / "stage1", reporter()[0], images)
    return home


@pytest.fixture
def runs(trained_runs, tmp_path):
    """Copies of the two runs that a test may write to: runs.stage1 and runs.stage2."""
    folders = {}
    for name in ("stage1", "stage2"):
        folders[name] = tmp_path / name
        shutil.copytree(trained_runs / name, folders[name])
    return SimpleNamespace(**folders)


@pytest.fixture
def opened(images, features):
    """opened(run, *data, ...) -> Subject; subject.said() is what its reporter has said."""

    def opening(run, *data, rename=None, options=None):
        telling, said = reporter()
        subject = open_subject(run, list(data), images, features, telling, rename, options)
        subject.reporter.said = said.getvalue
        return subject

    return opening


@pytest.fixture
def evaluated(opened):
    """evaluated(run, *data, setting=value, ...) -> record."""

    def evaluating(run, *data, **changes):
        return evaluate(opened(run, *data), dataclasses.replace(FAST, **changes))

    return evaluating


@pytest.fixture
def fast():
    return FAST

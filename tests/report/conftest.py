"""Tiny runs of every kind that a report must know, each trained once."""

import csv
import dataclasses
import io
from types import SimpleNamespace

import pytest
from rich.console import Console
from tiny_runs import altered

from sm3kit.core.stage_settings import MachineSettings, Stage1Settings, Stage2Settings
from sm3kit.core.variant import Variant
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import open_subject
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.report.make import report
from sm3kit.synthesis.layouts import write
from sm3kit.training.pretrain import pretrain

SPLITS = ("train", "train", "train", "val", "test")
FAST = Settings(epochs=1, batch_size=16, resamples=20, seed=0, min_positives=1)
TINY = Variant(
    backbone="timm/test_resnet",
    weights="none",
    clusterer="torch",
    stage="mmssl",
    image_size=32,
    options={"sep_sep": {"projection": 16}, "tel": {"embedding": 16, "feedforward": 16}},
    stage1=Stage1Settings(
        epochs=2, batch_size=8, lr=1e-3, eps=1e-8, monitor_every=1, precision="32"
    ),
    stage2=Stage2Settings(epochs=2, batch_size=8, feature_views=1),
    machine=MachineSettings(workers=0),
)


class World:
    """Caches and data of these tests, and what is done with them."""

    def __init__(self, home):
        self.home = home
        self.images = ImageCache(home / "images")
        self.features = FeatureCache(home / "features")
        write("manifest", home / "data", 40, 32, 0)

    @property
    def reporter(self):
        return Reporter(Console(file=io.StringIO()))

    def table(self, name, change):
        """A manifest of 24 + 8 + 8 drawn pairs; `change(i, row)` gives the row to write."""
        with (self.home / "data" / "manifest.csv").open(newline="", encoding="utf-8") as file:
            drawn = list(csv.DictReader(file))
        rows = []
        for i, one in enumerate(drawn):
            row = {column: one[column] for column in ("id", "derm", "clinic")}
            rows.append(change(i, row | {"split": SPLITS[i % 5]}))
        path = self.home / "data" / f"{name}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return f"manifest:{path}"

    def train(self, name, **changes):
        folder = self.home / "runs" / name
        pretrain(altered(TINY, **changes), folder, self.reporter, self.images)
        return folder

    def open(self, run):
        return open_subject(run, [], self.images, self.features, self.reporter)

    def evaluate(self, run, **changes):
        return evaluate(self.open(run), dataclasses.replace(FAST, **changes))

    def report(self, run, **more):
        return report(run, self.images, self.features, self.reporter, **more)


def with_labels(i, row):
    j = i // 5
    return row | {"shape": "ab"[j % 2], "a tone": "xyz"[j % 3], "edge": "mn"[j // 2 % 2]}


def with_gaps(i, row):
    """Three modalities; every third study lacks one of them, and some labels are unknown."""
    row = with_labels(i, row) | {"third": row["derm"]}
    if i % 3 == 0:
        row[("derm", "clinic", "third")[i // 3 % 3]] = ""
    return row | {"shape": "" if i % 4 == 0 else row["shape"]}


def bare(i, row):
    return {name: row[name] for name in ("id", "derm", "split")}


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def full(world):
    """Both stages, two modalities, and three evaluations."""
    folder = world.train("full", data=(world.table("full", with_labels),), stage="both")
    for protocol in ("probe", "knn", "match"):
        select = "last" if protocol == "match" else "val_best"
        world.evaluate(folder, protocol=protocol, select=select)
    return folder


@pytest.fixture(scope="session")
def page(world, full):
    """The page of the full run, its figures, and what was said."""
    made = world.report(full, figures=True)
    return SimpleNamespace(made=made, file=made.page, text=made.page.read_text("utf-8"))


@pytest.fixture(scope="session")
def others(world):
    """Stage 1 alone without an evaluation; one modality without labels; three with gaps."""
    return {
        "stage1": world.train("stage1", data=(world.table("own", with_labels),)),
        "alone": world.train("alone", data=(world.table("bare", bare),), fusion="none"),
        "three": world.train("three", data=(world.table("gaps", with_gaps),)),
    }

"""Tiny runs of every kind that a report must know, each made once."""

import dataclasses
import shutil
from types import SimpleNamespace

import pytest
from tiny_runs import quiet, read_table, write_table

from sm3kit.data.image_cache import ImageCache
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.opening import open_subject
from sm3kit.evaluation.settings import Settings
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.report.make import report
from sm3kit.training.pretrain import pretrain

FAST = Settings(epochs=1, batch_size=16, resamples=20, seed=0, min_positives=1)


class World:
    """Caches of these tests, and what is done with them."""

    def __init__(self, home):
        self.home = home
        self.images = ImageCache(home / "images")
        self.features = FeatureCache(home / "features")

    def train(self, name, variant):
        folder = self.home / "runs" / name
        pretrain(variant, folder, quiet(), self.images)
        return folder

    def open(self, run):
        return open_subject(run, [], self.images, self.features, quiet())

    def evaluate(self, run, **changes):
        return evaluate(self.open(run), dataclasses.replace(FAST, **changes))

    def report(self, run, **more):
        return report(run, self.images, self.features, quiet(), **more)


def with_gaps(i, row):
    """Three modalities; every third study lacks one of them, and some labels are unknown."""
    row |= {"third": row["derm"]}
    if i % 3 == 0:
        row[("derm", "clinic", "third")[i // 3 % 3]] = ""
    return row | {"shape": "" if i % 4 == 0 else row["shape"]}


def bare(i, row):
    return {name: row[name] for name in ("id", "derm", "split")}


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def full(world, stage2_run, shared_folder):
    """Both stages, two modalities, four evaluations, and the page with its figures."""

    def make(folder):
        shutil.copytree(stage2_run, folder)
        for protocol in ("probe", "knn", "match", "clusters"):
            select = "last" if protocol in ("match", "clusters") else "val_best"
            world.evaluate(folder, protocol=protocol, select=select)
        world.report(folder, figures=True)

    return shared_folder("reported", make)


@pytest.fixture(scope="session")
def page(full):
    """The page of the full run, and its figures."""
    file = full / "report.html"
    figures = sorted((full / "figures").iterdir())
    return SimpleNamespace(file=file, figures=figures, text=file.read_text("utf-8"))


@pytest.fixture(scope="session")
def others(stage1_run, drawn_folder, shared_folder, shared_run):
    """Stage 1 alone without an evaluation; one modality without labels; three with gaps."""

    def tables(folder):
        folder.mkdir()
        for change in (bare, with_gaps):
            rows = read_table(drawn_folder / "own.csv")
            rows = [
                row | {name: drawn_folder / row[name] for name in ("derm", "clinic")}
                for row in rows
            ]
            rows = [change(i, row) for i, row in enumerate(rows)]
            write_table(folder / f"{change.__name__}.csv", rows)

    folder = shared_folder("report-tables", tables)
    data = {name: (f"manifest:{folder / name}.csv",) for name in ("bare", "with_gaps")}
    return {
        "stage1": stage1_run,
        "alone": shared_run("alone", data=data["bare"], stage="mmssl", fusion="none"),
        "three": shared_run("three", data=data["with_gaps"], stage="mmssl"),
    }

"""Drawn studies and runs that take a second, for the tests of every room."""

import csv
import dataclasses
import io
import os
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.torch import load_file, save_file

from sm3kit.core.stage_settings import MachineSettings, Stage1Settings
from sm3kit.core.variant import PARTS, Variant
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs.folder import RunFolder
from sm3kit.synthesis.layouts import write
from sm3kit.training.pretrain import pretrain

SPLITS = ("train", "train", "train", "val", "test")


def altered(variant, /, **changes):
    """A copy of a variant; a dict for `stage1`, `stage2` or `machine` changes these settings alone."""
    for name in PARTS:
        if isinstance(changes.get(name), dict):
            changes[name] = dataclasses.replace(getattr(variant, name), **changes[name])
    return dataclasses.replace(variant, **changes)


TINY = Variant(
    data=("synthetic:40",),
    backbone="timm/test_resnet",
    weights="none",
    stage="mmssl",
    image_size=32,
    options={"synthetic": {"size": 32}, "sep_sep": {"projection": 16}},
    stage1=Stage1Settings(
        epochs=2, batch_size=8, lr=1e-3, eps=1e-8, monitor_every=1, precision="32"
    ),
    machine=MachineSettings(workers=0),
)


SMALL_RELATIONS = {name: {"embedding": 16} for name in ("proj", "msa", "tel", "te")}
TINY2 = altered(
    TINY,
    stage="both",
    options={**TINY.options, **SMALL_RELATIONS, "faiss": {"restarts": 1}},
    stage1={"epochs": 1, "monitor_every": 0},
    stage2={"epochs": 2, "batch_size": 12, "lr": 1e-2, "feature_views": 2},
)


@pytest.fixture
def tiny():
    """Two epochs of stage 1."""
    return TINY


@pytest.fixture
def tiny2():
    """One epoch of stage 1 and two of stage 2."""
    return TINY2


# Studies


def read_table(file):
    """The rows of a CSV file, each a dictionary."""
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def write_table(file, rows):
    """Rows with the columns of the first, as a CSV file."""
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def rows_with_labels(rows):
    """Drawn pairs with labels from the place of the row; a class has three studies in a split."""
    for i, row in enumerate(rows):
        j = i // 5
        yield {
            **{column: row[column] for column in ("id", "derm", "clinic")},
            "split": SPLITS[i % 5],
            "shape": "ab"[j % 2],
            "tone": "xyz"[j % 3],
            "edge": "mn"[j // 2 % 2],
        }


@pytest.fixture(scope="session")
def drawn_folder(shared_folder):
    """40 drawn pairs of 32 pixels, and two tables of them with 24 + 8 + 8 studies in a split.

    own.csv has labels that are known by heart; checklist.csv has the drawn labels, and a study of
    the test split lacks its clinical picture. Nothing in the folder may be changed.
    """

    def draw(folder):
        write("manifest", folder, 40, 32, 0)
        rows = read_table(folder / "manifest.csv")
        write_table(folder / "own.csv", list(rows_with_labels(rows)))
        for i, row in enumerate(rows):
            row["split"] = SPLITS[i % 5]
        rows[9]["clinic"] = ""
        write_table(folder / "checklist.csv", rows)

    return shared_folder("drawn", draw)


@pytest.fixture(scope="session")
def drawn_copy(drawn_folder, tmp_path_factory):
    """A copy of the drawn pairs, to which tables and pictures may be added."""
    return shutil.copytree(drawn_folder, tmp_path_factory.mktemp("studies") / "data")


@pytest.fixture(scope="session")
def studies(drawn_folder, drawn_copy):
    """studies(name, change=None) -> the spec of a table of the drawn pairs.

    `change(i, row)` gives the row to write, or None to leave it out. "own" without a change is
    what the shared runs were trained on.
    """

    def table(name, change=None):
        if name == "own" and change is None:
            return f"manifest:{drawn_folder / 'own.csv'}"
        rows = read_table(drawn_folder / "own.csv")
        rows = [change(i, row) if change else row for i, row in enumerate(rows)]
        write_table(drawn_copy / f"{name}.csv", [row for row in rows if row is not None])
        return f"manifest:{drawn_copy / name}.csv"

    return table


# Runs


def quiet():
    """A reporter that nobody hears."""
    return Reporter(Console(file=io.StringIO()))


@pytest.fixture(scope="session")
def shared_run(shared_folder, studies):
    """shared_run(name, **changes) -> the folder of a run of both stages on the drawn pairs.

    It is trained once in a run of the tests and must not be changed.
    """
    changes = {"stage1": {"epochs": 2, "monitor_every": 1}, "stage2": {"batch_size": 10}}
    # The last step of stage 2 has fewer studies than the others.
    variant = altered(TINY2, data=(studies("own"),), **changes)

    def train_once(name, **changes):
        changed = altered(variant, **changes)
        return shared_folder(
            name, lambda folder: pretrain(changed, folder, quiet(), ImageCache(None))
        )

    return train_once


@pytest.fixture(scope="session")
def stage1_run(shared_run):
    """The folder of a run of stage 1. It must not be changed."""
    return shared_run("stage1", stage="mmssl")


@pytest.fixture
def weight_file(stage1_run, tmp_path):
    """The backbone for derm of a run of stage 1, as a file of its own."""
    start = "backbones.derm.model."
    weights = load_file(RunFolder(stage1_run).model)
    file = tmp_path / "derm.safetensors"
    save_file({n[len(start) :]: w for n, w in weights.items() if n.startswith(start)}, file)
    return file


@pytest.fixture(scope="session")
def stage2_run(shared_run):
    """The folder of a run of both stages. It must not be changed."""
    return shared_run("stage2")


@pytest.fixture
def second(stage1_run):
    """Two epochs of stage 2 on the networks and the data of `stage1_run`."""
    variant = RunFolder(stage1_run).record().variant
    return dataclasses.replace(variant, stage="mlssl", init=str(stage1_run))


@pytest.fixture
def train(tmp_path):
    """train(variant, folder="run", resume=False, features=None) -> (outcome, what was said)."""

    def run(variant, folder="run", resume=False, features=None):
        said = io.StringIO()
        reporter = Reporter(Console(file=said, width=80))
        cache = ImageCache(tmp_path / "images")
        kept = FeatureCache(features)
        outcome = pretrain(variant, tmp_path / folder, reporter, cache, resume, kept)
        return outcome, said.getvalue()

    return run


@pytest.fixture
def with_changes():
    return altered


@pytest.fixture
def milk10k_folder():
    """Real pairs, where a copy lies beside the checkout or where SM3KIT_TEST_DATA says."""
    beside = Path(__file__).parents[1].parent / "shared"
    folder = Path(os.environ.get("SM3KIT_TEST_DATA") or beside) / "milk10k-600"
    if not folder.is_dir():
        pytest.skip("no sample of MILK10k here")
    return folder

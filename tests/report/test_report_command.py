"""The command, grids, plugins' data, and the commands that a page tells."""

import json
import re
import shlex

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny_runs import altered

from sm3kit.api import Dataset, LabelSpec, Modality, ModalitySpec, Study
from sm3kit.cli.main import cli
from sm3kit.core.variant import Variant
from sm3kit.networks.assemble import fill_in
from sm3kit.report.repeating import Command, evaluation, pretraining
from sm3kit.runs import recipes
from sm3kit.runs.folder import RunFolder


def run_command(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_it_writes_a_page_and_says_so(others, tmp_path):
    out = tmp_path / "deep" / "page.html"
    done = run_command("report", others["alone"], "--out", out, "--no-cache")
    assert done.exit_code == 0, done.output
    assert re.search(r"written  .*page\.html, 0\.\d MB", done.output.replace("\n", ""))
    assert out.is_file()
    assert not (others["alone"] / "report.html").exists()


def test_json_is_one_document(others, tmp_path):
    out = tmp_path / "page.html"
    done = run_command("report", others["alone"], "--out", out, "--json")
    document = json.loads(done.stdout)
    assert document == {"page": str(out), "bytes": out.stat().st_size, "figures": [], "notes": []}


def test_a_folder_that_holds_nothing(tmp_path):
    done = run_command("report", tmp_path)
    assert done.exit_code == 1
    assert "holds neither a run nor a grid. Give the folder that `sm3kit pretrain`" in done.output


# Commands that repeat


@pytest.mark.parametrize(
    "flags",
    [
        {"data": ["synthetic:40"], "seed": 3, "stage": "mmssl", "stage1": {"lr": 0.01}},
        {
            "fusion": "none",
            "objective": ["simclr", "swav"],
            "modality": ["derm"],
            "stage1": {"epochs": 2},
        },
        {"stage1": {"betas": (0.5, 0.9)}, "stage2": {"bn_leak": True}, "clusterer": "torch"},
        {"options": {"simclr": {"temperature": 0.5}, "synthetic": {"size": 64}}},
        {"per_modality": {"derm": {"image_size": 64}}, "image_size": 32},
        {"stage2": {"views": {"jitter": 0.1}}, "map": {"derm": "clinic"}},
        {"data": ["manifest:a b.csv"], "splits": ["train", "val"]},
    ],
)
@pytest.mark.parametrize("names", [[], ["sm3", "msa"]])
def test_the_command_makes_the_same_variant(flags, names, monkeypatch, tmp_path):
    variant = fill_in(recipes.resolve(recipes.Layer({"recipe": names, **flags}))[0])
    again = pretraining(variant)
    seen = []
    monkeypatch.setattr(
        "sm3kit.training.pretrain.pretrain", lambda variant, *rest: seen.append(variant)
    )
    monkeypatch.chdir(tmp_path)
    if again.file:
        (tmp_path / "more.yaml").write_text(again.file, "utf-8")
    run_command(*shlex.split(again.text().replace("\\\n", " "))[1:])
    found = fill_in(seen[0]).as_dict()
    assert {**found, "recipe": []} == {**variant.as_dict(), "recipe": []}


def test_a_recipe_that_has_gone_becomes_options():
    variant = altered(Variant(), recipe=("gone.yaml",), data=("synthetic",), stage1={"lr": 0.5})
    words = pretraining(fill_in(variant)).words
    assert "gone.yaml" not in words
    assert words[words.index("--lr") + 1] == "0.5"


def test_a_command_is_written_with_an_option_on_each_line():
    assert Command(("sm3kit", "report", "a b", "-o", "x.y=-1", "--k", "2")).text() == (
        "sm3kit report 'a b' \\\n  -o x.y=-1 \\\n  --k 2"
    )


def test_the_command_of_an_evaluation_has_what_differs(full):
    record = json.loads((full / "eval" / "probe-test.json").read_text("utf-8"))
    words = evaluation(record, RunFolder(full).record().variant, "RUN").words
    assert words[:5] == ("sm3kit", "evaluate", "RUN", "--protocol", "probe")
    assert words[words.index("--epochs") + 1] == "1"
    assert "evaluate.resamples=20" in words
    assert "--select" not in words


# Data of plugins


class Waves(Modality):
    """One channel of floats."""

    channels, reading = 1, "waves"

    def __init__(self, image_size):
        self.image_size = image_size

    def read(self, path):
        return np.load(path)

    def views(self, image, rng=None):
        return [image + rng.normal(size=image.shape).astype(np.float32)] * 2

    def eval_view(self, image):
        return image

    def normalise(self, views):
        return torch.as_tensor(views).float()


class Measured(Dataset):
    """Two waves of 20 patients."""

    notes = ()

    def __init__(self, argument=""):
        self.folder = argument
        self.modalities = {"left": ModalitySpec("waves"), "right": ModalitySpec("waves")}
        self.labels = [LabelSpec("side effect/late", ("no", "yes"), "yes")]

    def studies(self, split):
        places = {"train": range(12), "val": range(12, 16), "test": range(16, 24)}[split]
        return [
            Study(
                id=f"p{place}",
                images=dict.fromkeys(("left", "right"), f"{self.folder}/{place}.npy"),
                labels={"side effect/late": place % 2},
                group=f"p{place}",
                split=split,
            )
            for place in places
        ]


@pytest.mark.slow
def test_data_of_a_plugin_are_reported_too(world, registered, tiny, tmp_path):
    registered("modalities", "waves", Waves)
    registered("datasets", "measured", Measured)
    for place in range(24):
        wave = np.random.default_rng(place).normal(size=(1, 32, 32)).astype(np.float32)
        np.save(tmp_path / f"{place}.npy", wave)
    run = world.train("waves", altered(tiny, data=(f"measured:{tmp_path}",), stage1={"epochs": 1}))
    made = world.report(run, figures=True)
    assert made.notes == []
    text = made.page.read_text("utf-8")
    assert "side effect/late before and after" in text
    assert "match 1: " in text
    names = {file.name for file in made.figures}
    assert {"embedding-side-effect-late.svg", "gallery-left-right.png"} <= names


# Grids


@pytest.fixture(scope="module")
def grid(world):
    """A grid of one row, done."""
    file = world.home / "grid.yaml"
    content = {
        "title": "One <row>",
        "data": "synthetic:40",
        "base": {
            "image_size": 32,
            "stage1": {"epochs": 1, "batch_size": 8, "monitor_every": 0},
            "machine": {"workers": 0},
            "options": {"synthetic": {"size": 32}, "sep_sep": {"projection": 16}},
            "evaluate": {"probe": {"epochs": 1, "feature_views": 1, "resamples": 10}},
        },
        "protocols": ["probe"],
        "rows": {"sep_sep": {"recipe": "sep_sep"}},
    }
    file.write_text(json.dumps(content), "utf-8")
    done = run_command("ablate", "--grid", file, "--seeds", "0", "--out", world.home / "grid")
    assert done.exit_code == 0, done.output
    return world.home / "grid"


@pytest.mark.slow
def test_a_grid_has_its_tables_and_leads_to_its_runs(world, grid):
    text = world.report(grid).page.read_text("utf-8")
    (run,) = (grid / "runs").iterdir()
    assert "One &lt;row&gt;" in text
    assert "probe, AUC of each label" in text
    assert f"sm3kit report {run}" in text
    assert "href=" not in text.partition("Rows and their runs</h2>")[2]
    page = world.report(run).page.read_text("utf-8")
    # The grid keeps the results of its runs.
    assert "probe, split test" in page
    assert "No label has been evaluated yet" not in page
    again = world.report(grid).page.read_text("utf-8")
    assert f'href="runs/{run.name}/report.html"' in again

"""Three tiny runs with classifiers, trained once, and the real command."""

import csv
import dataclasses
import io
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from rich.console import Console

from sm3kit.cli.main import cli
from sm3kit.core.stage_settings import MachineSettings, Stage1Settings, Stage2Settings
from sm3kit.core.variant import Variant
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.deployment.finding import find_classifier
from sm3kit.deployment.predictor import open_predictor
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import open_subject
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs.trained import read_trained
from sm3kit.synthesis.layouts import write
from sm3kit.training.pretrain import pretrain

FAST = Settings(epochs=2, batch_size=16, resamples=20, feature_views=1)


@pytest.fixture
def sm3kit():
    """sm3kit(*words) -> the result of the command."""
    return lambda *words: CliRunner().invoke(cli, [str(word) for word in words], prog_name="sm3kit")


@pytest.fixture
def one_line():
    """Checks that a result is one line on stderr, with exit code 1, that says something."""

    def check(result, *said):
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
        assert result.stderr.startswith("Error: ")
        for words in said:
            assert words in result.stderr

    return check


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """40 drawn pairs of 32 pixels, with the labels of the checklist; the test split misses one image."""
    folder = tmp_path_factory.mktemp("studies") / "data"
    write("manifest", folder, 40, 32, 0)
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for i, row in enumerate(rows):
        row["split"] = ("train", "train", "train", "val", "test")[i % 5]
    rows[9]["clinic"] = ""
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return SimpleNamespace(
        folder=folder,
        rows=rows,
        table=folder / "manifest.csv",
        test=[row for row in rows if row["split"] == "test"],
        whole=rows[4],
        partial=rows[9],
    )


@pytest.fixture(scope="session")
def trained_runs(drawn, tmp_path_factory):
    """both: two modalities and stage 2, probe and fine-tuning; derm: one modality; bare: no classifier."""
    home = tmp_path_factory.mktemp("runs")
    images = ImageCache(None)
    features = FeatureCache(None)
    reporter = Reporter(Console(file=io.StringIO()))
    both = Variant(
        data=(f"manifest:{drawn.table}",),
        backbone="timm/test_resnet",
        weights="none",
        stage="both",
        clusterer="torch",
        image_size=32,
        options={
            "sep_sep": {"projection": 16},
            "tel": {"embedding": 16, "feedforward": 16},
            "manifest": {"reported": ("DIAG:NEV", "PN:TYP", "VS:ABS", "BWV:ABS")},
        },
        stage1=Stage1Settings(
            epochs=1, batch_size=3, lr=1e-3, eps=1e-8, monitor_every=0, precision="32"
        ),
        stage2=Stage2Settings(epochs=1, batch_size=8, feature_views=1),
        machine=MachineSettings(workers=0),
    )
    derm = dataclasses.replace(both, stage="mmssl", fusion="none", modality=("derm",), seed=1)
    for name, variant in (("both", both), ("derm", derm)):
        pretrain(variant, home / name, reporter, images)
    shutil.copytree(home / "derm", home / "bare")
    for name, protocol in (("both", "probe"), ("both", "finetune"), ("derm", "probe")):
        subject = open_subject(home / name, [], images, features, reporter)
        # A larger rate than usual, so that two epochs are seen in the probabilities.
        changes = {"protocol": protocol, "seed": subject.variant.seed}
        evaluate(subject, dataclasses.replace(FAST, **changes, lr=0.02, select="last"))
    return home


@pytest.fixture
def runs(trained_runs, tmp_path):
    """Copies that a test may write to: runs.both, runs.derm, runs.bare."""
    folders = {}
    for name in ("both", "derm", "bare"):
        folders[name] = tmp_path / name
        shutil.copytree(trained_runs / name, folders[name])
    return SimpleNamespace(**folders)


@pytest.fixture
def predictor(trained_runs):
    """predictor(name="both", protocol="probe") -> Predictor."""

    def opening(name="both", protocol="probe"):
        trained = read_trained(trained_runs / name)
        return open_predictor(trained, find_classifier(trained, protocol))

    return opening


@pytest.fixture
def image(drawn):
    """image(row, modality) -> the path of a drawn image."""
    return lambda row, modality: Path(drawn.folder / row[modality])

"""Tiny runs with classifiers, made once, and the real command."""

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from tiny_runs import TINY2, quiet, read_table

from sm3kit.cli.main import cli
from sm3kit.data.image_cache import ImageCache
from sm3kit.deployment.predictor import find_classifier, open_predictor
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.opening import open_subject
from sm3kit.evaluation.settings import Settings
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs.folder import RunFolder

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
def drawn(drawn_folder, drawn_copy):
    """The table of the checklist; `folder` is a copy, to which tables and pictures may be added."""
    table = drawn_folder / "checklist.csv"
    rows = read_table(table)
    return SimpleNamespace(
        folder=drawn_copy,
        rows=rows,
        table=table,
        test=[row for row in rows if row["split"] == "test"],
        whole=rows[4],
        partial=rows[9],
    )


@pytest.fixture(scope="session")
def trained_runs(drawn, shared_run, shared_folder):
    """both: two modalities and stage 2, probe and fine-tuning; derm: one modality; bare: no classifier.

    What is deployed has the labels of the checklist and classifiers, which the runs of the other
    rooms have not.
    """
    reported = {"reported": ("DIAG:NEV", "PN:TYP", "VS:ABS", "BWV:ABS")}
    changes = {
        "data": (f"manifest:{drawn.table}",),
        "options": {**TINY2.options, "manifest": reported},
        "stage1": {"epochs": 1, "monitor_every": 0},
        "stage2": {"epochs": 1},
    }
    both = shared_run("checklist-both", **changes)
    changes |= {"stage": "mmssl", "fusion": "none", "modality": ("derm",), "seed": 1}
    derm = shared_run("checklist-derm", **changes)

    def classify(home):
        shutil.copytree(both, home / "both")
        shutil.copytree(derm, home / "derm")
        shutil.copytree(derm, home / "bare")
        for name, protocol in (("both", "probe"), ("both", "finetune"), ("derm", "probe")):
            subject = open_subject(home / name, [], ImageCache(None), FeatureCache(None), quiet())
            # A larger rate than usual, so that two epochs are seen in the probabilities.
            changes = {"protocol": protocol, "seed": subject.variant.seed}
            evaluate(subject, dataclasses.replace(FAST, **changes, lr=0.02, select="last"))

    return shared_folder("classified", classify)


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
        trained = RunFolder(trained_runs / name).trained()
        return open_predictor(trained, find_classifier(trained, protocol))

    return opening


@pytest.fixture
def image(drawn):
    """image(row, modality) -> the path of a drawn image."""
    return lambda row, modality: Path(drawn.folder / row[modality])

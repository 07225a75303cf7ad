"""Copies of the shared runs, and how they are evaluated within a second."""

import dataclasses
import io
import shutil
from types import SimpleNamespace

import pytest
from rich.console import Console

from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.opening import open_subject
from sm3kit.evaluation.settings import Settings
from sm3kit.networks.feature_cache import FeatureCache

# Eight studies in a split; each class has three at least.
FAST = Settings(epochs=2, batch_size=16, resamples=20, seed=0, min_positives=1)


def reporter():
    """A reporter, and where it writes."""
    said = io.StringIO()
    return Reporter(Console(file=said, width=80)), said


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    return ImageCache(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def features(tmp_path_factory):
    return FeatureCache(tmp_path_factory.mktemp("features"))


@pytest.fixture
def runs(stage1_run, stage2_run, tmp_path):
    """Copies of the shared runs that a test may write to: runs.stage1 and runs.stage2."""
    return SimpleNamespace(
        stage1=shutil.copytree(stage1_run, tmp_path / "stage1"),
        stage2=shutil.copytree(stage2_run, tmp_path / "stage2"),
    )


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
    """evaluated(run, *data, label="", setting=value, ...) -> record."""

    def evaluating(run, *data, label="", **changes):
        return evaluate(opened(run, *data), dataclasses.replace(FAST, **changes), label=label)

    return evaluating


@pytest.fixture
def fast():
    return FAST

"""The classifier as an ONNX graph: the same probabilities as torch, whatever is missing."""

import dataclasses

import numpy as np
import onnxruntime
import pytest
import torch

from sm3kit.core.errors import SM3Error
from sm3kit.data.image_cache import ImageCache
from sm3kit.deployment import onnx_graph
from sm3kit.deployment.calling import to_decide
from sm3kit.deployment.onnx_graph import Graph, write_onnx
from sm3kit.deployment.predictor import find_classifier, open_predictor
from sm3kit.deployment.question import Question, find_studies
from sm3kit.deployment.reading import ReadStudies, batches_of
from sm3kit.evaluation.decisions.decision import Decision
from sm3kit.evaluation.decisions.stack import Stack
from sm3kit.metrics.predictions import Predictions
from sm3kit.runs.folder import RunFolder

NAMES = ["derm", "clinic"]


def batch_of(predictor):
    """The test split as one batch of raw views."""
    studies = find_studies(predictor, Question(split="test"))
    (batch,) = batches_of(studies, predictor.modalities, NAMES, ImageCache(None), 99, ReadStudies())
    assert not all(mask.all() for mask in batch.present.values()), "a study misses an image"
    return batch


def inputs_of(batch):
    """Views of all modalities, and a mask (B, M)."""
    present = torch.stack([batch.present[name] for name in NAMES], dim=1)
    return [batch.views[name][0] for name in NAMES], present


@pytest.mark.parametrize("protocol", ["probe", "finetune"])
def test_the_graph_in_torch_predicts_as_the_predictor_does(predictor, protocol):
    predicting = predictor("both", protocol)
    batch = batch_of(predicting)
    wanted = predicting.probabilities([batch])
    with torch.inference_mode():
        rows = Graph(predicting).eval()(*inputs_of(batch))
    for one, other in zip(rows, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-6)


def deciding(predictor, **changes):
    """A predictor with another decision."""
    file = dataclasses.replace(predictor.file, decision=Decision(**changes))
    return dataclasses.replace(predictor, file=file)


def test_the_graph_has_the_temperatures_and_names_the_thresholds(predictor, tmp_path):
    plain = predictor("both", "probe")
    label = plain.file.labels[0]
    thresholds = {label.name: np.array([0.25] + [np.nan] * (len(label.classes) - 1))}
    changed = deciding(
        plain, temperatures={label.name: 2.0}, threshold="f1", thresholds=thresholds, views=6
    )
    facts = write_onnx(changed, tmp_path / "model.onnx")
    batch = batch_of(plain)
    before = plain.probabilities([batch])
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    views, present = inputs_of(batch)
    feed = dict(zip(facts["inputs"], [v.numpy() for v in [*views, present]], strict=True))
    rows = session.run(None, feed)
    roots = before[0].sqrt()
    np.testing.assert_allclose(rows[0], roots / roots.sum(1, keepdim=True), atol=1e-4)
    np.testing.assert_allclose(rows[1], before[1], atol=1e-4)
    first, *others = facts["thresholds"][label.name].values()
    assert (first, set(others)) == (0.25, {None})
    views_text, thresholds_text = to_decide(changed.file)
    assert "the mean over 6 test views" in views_text
    assert f"- `{label.name}`: {label.classes[0]} 0.25, " in thresholds_text
    assert to_decide(plain.file) == []


def test_a_second_stage_is_no_graph(predictor, tmp_path):
    with pytest.raises(SM3Error) as caught:
        write_onnx(deciding(predictor(), stack=Stack(0.5)), tmp_path / "model.onnx")
    assert str(caught.value) == (
        f"--format onnx: {predictor().file.path} has a second stage (--stack svm), which a graph "
        "cannot hold. Export a classifier that was evaluated without it: --classifier NAME."
    )


def test_a_graph_that_gives_other_probabilities_is_refused(predictor, tmp_path, monkeypatch):
    predicting = predictor("both", "probe")
    monkeypatch.setattr(onnx_graph, "TOLERANCE", -1.0)
    with pytest.raises(
        SM3Error, match=r"ONNX graph and torch differ in the probabilities of \w+ by"
    ):
        write_onnx(predicting, tmp_path / "model.onnx")


@pytest.fixture(scope="module", params=["probe", "finetune"])
def written(request, trained_runs, tmp_path_factory):
    """(session, predictor, protocol) of the graph of a run."""
    trained = RunFolder(trained_runs / "both").trained()
    predicting = open_predictor(trained, find_classifier(trained, request.param))
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    write_onnx(predicting, path)
    return onnxruntime.InferenceSession(path), predicting, request.param


@pytest.mark.slow
class TestOnnxruntime:
    def feed(self, predictor):
        """Raw views of the test split, {input: array}."""
        views, present = inputs_of(batch_of(predictor))
        arrays = {name: rows.numpy() for name, rows in zip(NAMES, views, strict=True)}
        return {**arrays, "present": present.numpy()}

    def test_it_gives_the_probabilities_of_torch_and_of_evaluate(self, written, trained_runs):
        session, predictor, protocol = written
        feed = self.feed(predictor)
        assert feed["derm"].dtype == np.uint8
        path = trained_runs / "both" / "eval" / f"{protocol}-test.predictions.npz"
        kept = Predictions.load(path)
        graph = Graph(predictor).eval()
        # Batches of one, of five, and of the rest.
        for part in (slice(0, 1), slice(1, 6), slice(6, None)):
            fed = {name: rows[part] for name, rows in feed.items()}
            with torch.inference_mode():
                views = [torch.from_numpy(fed[name]) for name in NAMES]
                torch_rows = graph(views, torch.from_numpy(fed["present"]))
            answers = session.run(None, fed)
            for output, rows, own in zip(session.get_outputs(), answers, torch_rows, strict=True):
                wanted = kept.labels[output.name].scores[part]
                assert rows.shape == wanted.shape
                assert np.abs(rows - own.numpy()).max() < 1e-5
                assert np.abs(rows - wanted).max() < 1e-4

    def test_what_stands_for_a_missing_image_does_not_matter(self, written):
        session, predictor, _ = written
        feed = self.feed(predictor)
        feed["present"] = np.array([[True, False]] * len(feed["derm"]))
        one = session.run(None, feed)
        other = session.run(None, {**feed, "clinic": 255 - feed["clinic"]})
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
        both = session.run(None, {**feed, "present": np.ones_like(feed["present"])})
        assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(one, both, strict=True))

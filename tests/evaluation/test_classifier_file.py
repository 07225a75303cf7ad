"""The file of a classifier: what goes in comes out, and nothing else is taken for one."""

import dataclasses
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sm3kit.core.errors import CheckpointError
from sm3kit.deployment.predictor import find_classifier
from sm3kit.evaluation.classifier_file import read_classifier, read_weights, save_classifier
from sm3kit.evaluation.labelling.label_network import FromFeatures
from sm3kit.runs.folder import RunFolder


@pytest.fixture
def probe(runs, evaluated):
    """The classifier file and the record of a probe of the run of two stages."""
    record = evaluated(runs.stage2, epochs=1, select="last")
    return runs.stage2 / "eval" / "probe-test.safetensors", record


def changed(file, **facts):
    """The file with other facts about itself; None takes one out."""
    with safe_open(file, "pt") as opened:
        kept = json.loads(opened.metadata()["sm3kit"])
    kept = {name: value for name, value in (kept | facts).items() if value is not None}
    save_file(load_file(file), file, metadata={"format": "pt", "sm3kit": json.dumps(kept)})


def test_what_is_written_is_read(runs, opened, fast, probe, tmp_path):
    file, record = probe
    subject = opened(runs.stage2)
    network = FromFeatures(subject.classifier(relation=True, prototypes=True, seed=4))
    settings = dataclasses.replace(fast, protocol="probe", seed=4)
    path = tmp_path / "again.safetensors"
    save_classifier(network, path, subject, settings, record)
    weights = read_weights(path)
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())
    classifier = read_classifier(path)
    assert classifier.path == path and classifier.seed == 4
    assert (
        classifier.model == subject.trained.file_hash == RunFolder(runs.stage2).trained().file_hash
    )
    assert list(classifier.labels) == list(subject.pool.labels)
    assert list(classifier.places) == subject.embedding.order
    for name in ("protocol", "split", "select", "leaky", "transfer", "scope", "chosen"):
        assert getattr(classifier, name) == record[name], name
    for name, modality in subject.pool.modalities.items():
        reading = classifier.readings[name]
        assert (reading.image_size, reading.shape) == (modality.image_size, modality.shape)
        assert reading.values == "uint8"


def test_a_damaged_file_is_named(probe):
    file, _ = probe
    whole = file.read_bytes()
    for content in (b"", whole[:20], whole[: len(whole) // 2], b"{}" * 99):
        file.write_bytes(content)
        for read, words in ((read_classifier, "cannot be used"), (read_weights, "cannot be read")):
            with pytest.raises(CheckpointError, match=words) as caught:
                read(file)
            assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"format": 2}, "it has format 2 instead of 1"),
        ({"places": "one"}, "places is not a list"),
        ({"labels": None}, "it has no labels"),
        ({"readings": {"derm": {}}}, "it has no readings.derm.plugin"),
    ],
)
def test_other_facts_are_refused(probe, facts, said):
    file, _ = probe
    changed(file, **facts)
    with pytest.raises(CheckpointError, match=said):
        read_classifier(file)


def test_a_file_without_facts_is_refused(probe):
    file, _ = probe
    save_file(load_file(file), file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="does not say how its images are read"):
        read_classifier(file)


def test_weights_that_are_not_finite_are_refused(probe):
    file, _ = probe
    weights = load_file(file)
    weights["classifier.heads.heads.0.bias"][0] = torch.nan
    save_file(weights, file)
    with pytest.raises(CheckpointError, match="comes from a training that diverged"):
        read_weights(file)


def test_the_classifier_of_another_run_is_refused(runs, probe):
    file, _ = probe
    assert find_classifier(RunFolder(runs.stage2).trained()).path == file
    (runs.stage1 / "eval").mkdir()
    file.rename(runs.stage1 / "eval" / file.name)
    with pytest.raises(CheckpointError, match="was trained on other networks than"):
        find_classifier(RunFolder(runs.stage1).trained())

"""Inception-Combined: its subsets, and what decides on studies that lack a modality."""

import pytest
import torch

from sm3kit.classifiers.base import ClassifierInputs
from sm3kit.classifiers.inception_combined import InceptionCombined

LABELS = {"DIAG": ("nev", "mel", "bcc"), "VS": ("abs", "reg")}


def build(*names, **options):
    torch.manual_seed(0)
    widths = {name: 4 + number for number, name in enumerate(names)}
    return InceptionCombined(ClassifierInputs(widths=widths, labels=LABELS), **options)


def studies(classifier, *absent, rows=4):
    """Studies of which the first lacks some modalities."""
    torch.manual_seed(1)
    features = {name: torch.randn(rows, width) for name, width in classifier.widths.items()}
    present = {name: torch.ones(rows, dtype=torch.bool) for name in features}
    for name in absent:
        present[name][0] = False
    return features, present


@pytest.mark.parametrize(
    ("names", "subsets", "streams"),
    [
        (["derm"], "each", ["all"]),
        (["derm"], "powerset", ["all"]),
        (["derm", "clinic"], "each", ["all", "derm", "clinic"]),
        (["derm", "clinic"], "powerset", ["all", "derm", "clinic"]),
        (["d", "c", "m"], "each", ["all", "d", "c", "m"]),
        (["d", "c", "m"], "powerset", ["all", "d+c", "d+m", "c+m", "d", "c", "m"]),
        (["all", "b"], "each", ["all_", "all", "b"]),
        (["a", "b+c", "a+b", "c"], "powerset", None),
    ],
)
def test_its_streams(names, subsets, streams):
    classifier = build(*names, subsets=subsets)
    made = list(classifier(*studies(classifier)))
    assert streams is None or made == streams
    assert streams is not None or len(made) == 15
    assert classifier.decision_weights == {made[0]: 1.0}
    assert classifier.stream_weights == {}


def test_a_head_sees_the_features_of_its_subset():
    classifier = build("d", "c", "m", subsets="powerset")
    features, present = studies(classifier)
    streams = classifier(features, present)
    for stream, names in {"all": "dcm", "d+m": "dm", "c": "c"}.items():
        rows = torch.cat([features[name] for name in names], dim=1)
        for head, logits in zip(classifier.heads[stream].heads, streams[stream], strict=True):
            assert torch.allclose(rows @ head.weight.T + head.bias, logits, atol=1e-6)


def test_the_largest_subset_of_a_study_decides():
    classifier = build("d", "c", "m", subsets="powerset")
    streams = classifier(*studies(classifier, "m"))
    for stream in ("all", "d+m", "c+m", "m"):
        assert torch.equal(streams[stream][0][0], streams["d+c"][0][0])
        assert not torch.equal(streams[stream][0][1], streams["d+c"][0][1])
    decided, label = classifier.decide(streams)[0][0], streams["d+c"][0][0].softmax(0)
    assert torch.allclose(decided, label)


def test_several_largest_subsets_decide_by_their_mean():
    classifier = build("d", "c", "m")
    streams = classifier(*studies(classifier, "m"))
    mean = (streams["d"][0][0] + streams["c"][0][0]) / 2
    assert torch.allclose(streams["all"][0][0], mean)
    assert torch.allclose(streams["m"][0][0], mean)


def test_a_study_without_any_image_is_undecided():
    classifier = build("d", "c")
    decided = classifier.decide(classifier(*studies(classifier, "d", "c")))
    assert torch.allclose(decided[0][0], torch.full((3,), 1 / 3))


def test_a_study_trains_only_the_subsets_that_it_has():
    classifier = build("d", "c")
    features, present = studies(classifier, "c", rows=1)
    streams = classifier(features, present)
    sum(rows.square().sum() for logits in streams.values() for rows in logits).backward()
    trained = {
        stream
        for stream, heads in classifier.heads.items()
        if any(weight.grad is not None and weight.grad.any() for weight in heads.parameters())
    }
    assert trained == {"d"}

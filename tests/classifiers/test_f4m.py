"""F4M: its three-stream loss by hand, the sum, and studies that lack a modality."""

import pytest
import torch
from torch.nn import functional as F

from sm3kit.classifiers.base import ClassifierInputs
from sm3kit.classifiers.f4m import F4M

LABELS = {"DIAG": ("nev", "mel", "bcc"), "VS": ("abs", "reg")}


def inputs(**widths):
    return ClassifierInputs(widths=widths, labels=LABELS)


def studies(rows=8, **widths):
    torch.manual_seed(1)
    features = {name: torch.randn(rows, width) for name, width in widths.items()}
    return features, {name: torch.ones(rows, dtype=torch.bool) for name in widths}


def perceptron(state, stream, rows, label):
    """Linear, batch norm of a batch, Swish, twice, and a head, written out."""
    for linear, norm in ((0, 1), (4, 5)):
        of = f"perceptrons.{stream}."
        rows = rows @ state[f"{of}{linear}.weight"].T + state[f"{of}{linear}.bias"]
        mean, variance = rows.mean(0), rows.var(0, unbiased=False)
        rows = (rows - mean) / (variance + 1e-5).sqrt()
        rows = rows * state[f"{of}{norm}.weight"] + state[f"{of}{norm}.bias"]
        rows = rows / (1 + (-rows).exp())
    of = f"heads.{stream}.heads.{label}."
    return rows @ state[f"{of}weight"].T + state[f"{of}bias"]


def test_the_loss_of_three_streams_by_hand():
    torch.manual_seed(0)
    classifier = F4M(inputs(derm=6, clinic=6), hidden=5, embedding=4, dropout=0.0).double()
    features, present = studies(derm=6, clinic=6)
    features = {name: rows.double() for name, rows in features.items()}
    labels = torch.tensor([[0, 1, 2, 0, 1, 2, 0, 1], [0, 1, 0, 1, 0, 1, 0, 1]]).T
    streams = classifier(features, present)
    loss = sum(
        classifier.stream_weights[name]
        * torch.stack([F.cross_entropy(rows, labels[:, k]) for k, rows in enumerate(logits)]).mean()
        for name, logits in streams.items()
    )
    state, by_hand = classifier.state_dict(), 0.0
    seen = {**features, "fusion": features["derm"] + features["clinic"]}
    for stream, rows in seen.items():
        for label in range(2):
            logits = perceptron(state, stream, rows, label)
            chances = logits.exp() / logits.exp().sum(1, keepdim=True)
            right = chances[torch.arange(8), labels[:, label]]
            by_hand -= 0.33 / 2 * float(right.log().mean().detach())
    assert list(streams) == ["derm", "clinic", "fusion"]
    assert float(loss.detach()) == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize(("count", "share"), [(1, 0.5), (2, 0.33), (3, 0.25), (4, 0.2)])
def test_the_streams_share_the_loss(count, share):
    widths = dict.fromkeys("abcd"[:count], 6)
    assert set(F4M(inputs(**widths)).stream_weights.values()) == {share}


def test_the_sum_alone_stands_in_for_an_absent_image():
    classifier = F4M(inputs(derm=6, clinic=6), hidden=5, embedding=4).eval()
    features, present = studies(derm=6, clinic=6)
    present["clinic"][0] = False
    streams = classifier(features, present)
    for mine, fused in zip(streams["clinic"], streams["fusion"], strict=True):
        assert torch.equal(mine[0], fused[0])
        assert not torch.allclose(mine[1:], fused[1:])
    doubled = {"derm": features["derm"], "clinic": features["derm"]}
    whole = {name: torch.ones(8, dtype=torch.bool) for name in doubled}
    fused = classifier(doubled, whole)["fusion"][0][0]
    assert torch.allclose(streams["fusion"][0][0], fused)  # Scaled up to the sum of all.


def test_an_absent_image_trains_nothing():
    classifier = F4M(inputs(derm=6, clinic=6), hidden=5, embedding=4)
    features, present = studies(derm=6, clinic=6)
    present["clinic"][:] = False
    classifier(features, present)["clinic"][0].square().sum().backward()
    assert not any(w.grad is not None and w.grad.any() for w in classifier.parameters())


def test_a_feature_of_another_width_is_projected_before_the_sum():
    same = F4M(inputs(derm=6, clinic=6))
    other = F4M(inputs(derm=6, clinic=10))
    assert list(same.to_width) == []
    assert {name: tuple(layer.weight.shape) for name, layer in other.to_width.items()} == {
        "clinic": (6, 10)
    }
    assert other.perceptrons["clinic"][0].in_features == 10


def test_searched_weights_decide():
    classifier = F4M(inputs(derm=6, clinic=6)).eval()
    features, present = studies(derm=6, clinic=6)
    streams = classifier(features, present)
    classifier.decision_weights = {"derm": 0.1, "clinic": 0.25, "fusion": 0.65}
    logits = 0.1 * streams["derm"][0] + 0.25 * streams["clinic"][0] + 0.65 * streams["fusion"][0]
    assert torch.allclose(classifier.decide(streams)[0], logits.softmax(1), atol=1e-6)

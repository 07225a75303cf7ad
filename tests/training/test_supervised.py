"""Learning from labels: one step by hand, the chosen epoch, and what the optimiser reaches."""

import io
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader

from sm3kit.core.errors import TrainingError
from sm3kit.core.variant import Variant
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.data.progress import Reporter
from sm3kit.losses.ce import CrossEntropy
from sm3kit.networks.joint_batches import JointBatch
from sm3kit.runs.folder import RunFolder
from sm3kit.training.fitting import Training
from sm3kit.training.label_cost import LabelCost
from sm3kit.training.supervised import Supervised, learn

LR, EPS, DECAY = 0.1, 1e-8, 0.5
LABELS = torch.tensor([[0, 2], [1, -1], [1, 0], [-1, -1]])  # Two labels of two and three classes.


class Heads(nn.Module):
    """Two linear heads without bias, one frozen layer, and one that no label reaches."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.heads = nn.ModuleList(nn.Linear(3, count, bias=False) for count in (2, 3))
        self.frozen, self.unused = nn.Linear(3, 3, bias=False), nn.Linear(1, 1)

    def forward(self, batch):
        with torch.no_grad():
            features = self.frozen(batch.joint)
        return {"joint": [head(features) for head in self.heads]}

    def weight_of(self, stream):
        return 1.0

    def labels_of(self, stream, batch):
        return batch.labels

    def extra_terms(self):
        return {}


def settings(**changes):
    facts = {"protocol": "probe", "epochs": 1, "batch_size": 4, "seed": 0}
    facts |= {"optimiser": "adamw", "schedule": "constant", "warmup_epochs": 0}
    facts |= {"lr": LR, "eps": EPS, "weight_decay": DECAY, **changes}
    return SimpleNamespace(**facts)


def cost(loss=None):
    """The cross-entropy of two labels, or another loss of theirs."""
    return LabelCost("ce", loss or CrossEntropy(), {"shape": 2, "tone": 3}, LABELS)


def batch():
    joint = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    return JointBatch(joint, LABELS, torch.arange(4))


@pytest.fixture
def taught(tmp_path):
    """taught(score=None, **settings) -> the module and the chosen epoch; one batch an epoch."""

    def teach(score=None, **changes):
        network = Heads()
        weights = [*network.heads.parameters(), *network.unused.parameters()]
        module = Supervised(network, cost(), weights, settings(**changes), Variant(), 1, score)
        quiet = Reporter(Console(file=io.StringIO()))
        loader = partial(DataLoader, [batch()], batch_size=None)
        training = Training(RunFolder(tmp_path / "eval"), quiet, "hash", "sm3kit evaluate")
        return module, learn(module, EpochBatches(4, 4, 0), training, loader)

    return teach


def test_one_step_is_adamw_on_the_mean_over_the_labels(taught):
    module, epoch = taught()
    assert epoch == 1
    start = Heads()
    features = start.frozen(batch().joint).detach()
    for label, head in enumerate(start.heads):
        known = LABELS[:, label] >= 0
        targets = nn.functional.one_hot(LABELS[known, label], head.out_features).float()
        chances = (features[known] @ head.weight.T).softmax(dim=1)
        # Of the cross-entropy over the known studies, of which the loss takes the mean over two.
        gradient = ((chances - targets).T @ features[known] / known.sum() / 2).detach()
        # The first step of Adam goes by the sign, as far as eps lets it.
        step = gradient / (gradient.abs() + EPS)
        wanted = head.weight.detach() * (1 - LR * DECAY) - LR * step
        assert torch.allclose(module.network.heads[label].weight, wanted, atol=1e-6)
    assert torch.equal(module.network.frozen.weight, start.frozen.weight)
    assert module.extra["trainable"] == 2 * 3 + 3 * 3


def test_the_chosen_epoch_is_the_best_one(taught):
    scores, weights = iter([0.6, 0.9, 0.7]), []

    def score(network):
        weights.append(network.heads[0].weight.detach().clone())
        return next(scores)

    module, epoch = taught(score, epochs=3)
    assert epoch == 2
    assert torch.equal(module.network.heads[0].weight, weights[1])
    rows = module.trainer.callbacks[1].rows
    assert [row["auc"] for row in rows] == [0.6, 0.9, 0.7]
    assert rows[0]["loss"] == pytest.approx((rows[0]["ce/shape"] + rows[0]["ce/tone"]) / 2)


def test_a_loss_that_is_not_finite_names_its_label(taught, monkeypatch):
    forward = Heads.forward
    monkeypatch.setattr(
        Heads,
        "forward",
        lambda self, batch: {
            "joint": [forward(self, batch)["joint"][0], torch.full((4, 3), torch.nan)]
        },
    )
    with pytest.raises(TrainingError) as caught:
        taught()
    assert str(caught.value) == (
        "The loss term ce/tone is not finite in epoch 1 of the probe. Lower --lr, now 0.1. "
        "Nothing was saved."
    )


class Streams(Heads):
    """Two streams, the second of half weight, and a term beside the labels."""

    def forward(self, batch):
        logits = super().forward(batch)["joint"]
        self.term = 0.1 * logits[0].square().mean()
        return {"one": logits, "two": [2 * rows for rows in logits]}

    def weight_of(self, stream):
        return {"one": 1.0, "two": 0.5}[stream]

    def labels_of(self, stream, batch):
        # The second stream learns from the last two studies alone.
        mask = torch.tensor([[False], [False], [True], [True]])
        return batch.labels.where(mask, -1) if stream == "two" else batch.labels

    def extra_terms(self):
        return {"shrink": self.term}


def test_streams_are_weighted_and_other_terms_added():
    network = Streams()
    module = Supervised(network, cost(), list(network.parameters()), settings(), Variant(), 1, None)
    loss = module.training_step(batch(), 0)
    logits = Heads()(batch())["joint"]
    ce = nn.functional.cross_entropy
    wanted = {
        "ce/shape": ce(logits[0][:3], LABELS[:3, 0]) + 0.5 * ce(2 * logits[0][2:3], LABELS[2:3, 0]),
        "ce/tone": ce(logits[1][[0, 2]], LABELS[[0, 2], 1])
        + 0.5 * ce(2 * logits[1][2:3], LABELS[2:3, 1]),
        "shrink": 0.1 * logits[0].square().mean(),
    }
    assert module.last_terms.keys() == wanted.keys()
    for name, term in wanted.items():
        torch.testing.assert_close(module.last_terms[name], term.detach(), rtol=0, atol=1e-6)
    total = (wanted["ce/shape"] + wanted["ce/tone"]) / 2 + wanted["shrink"]
    torch.testing.assert_close(loss, total, rtol=0, atol=1e-6)
    rows = {name: float(term.detach()) for name, term in wanted.items()}
    assert module.total(rows) == pytest.approx(total.item())


@pytest.mark.parametrize("kind", [Heads, Streams])
def test_the_loss_knows_the_sizes_of_the_classes(kind):
    """Of the studies that a stream learns from, which are not those of the batch."""
    asked = []

    class Asking(CrossEntropy):
        def forward(self, logits, labels, counts):
            asked.append((labels.tolist(), counts.tolist()))
            return super().forward(logits, labels, counts)

    network = kind()
    module = Supervised(
        network, cost(Asking()), list(network.parameters()), settings(), Variant(), 1, None
    )
    for _ in range(2):
        module.training_step(batch(), 0)
    first = [([0, 1, 1, -1], [1, 2]), ([2, -1, 0, -1], [1, 0, 1])]
    second = [([-1, -1, 1, -1], [0, 1]), ([-1, -1, 0, -1], [1, 0, 0])]
    assert asked == 2 * (first + second if kind is Streams else first)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_an_optimiser_is_that_of_torch(taught, name):
    module, _ = taught(optimiser=name)
    own = Heads()
    weights = [*own.heads.parameters()]
    options = {
        "adamw": (torch.optim.AdamW, {"eps": EPS, "weight_decay": DECAY}),
        "adam": (torch.optim.Adam, {"eps": EPS, "weight_decay": DECAY}),
        "sgd": (torch.optim.SGD, {"momentum": 0.9, "weight_decay": DECAY}),
    }
    make, more = options[name]
    optimiser = make(weights, lr=LR, **more)
    logits = own(batch())["joint"]
    ce = nn.functional.cross_entropy
    loss = (ce(logits[0][:3], LABELS[:3, 0]) + ce(logits[1][[0, 2]], LABELS[[0, 2], 1])) / 2
    loss.backward()
    optimiser.step()
    for head, wanted in zip(module.network.heads, own.heads, strict=True):
        torch.testing.assert_close(head.weight, wanted.weight, rtol=0, atol=1e-6)


def test_a_cosine_ends_at_zero(taught):
    module, _ = taught(schedule="cosine", warmup_epochs=0, epochs=5)
    rates = [row["lr"] for row in module.trainer.callbacks[1].rows]
    wanted = [LR * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(5)]
    assert rates == pytest.approx(wanted, abs=1e-12)

"""Learning from labels: one step by hand, the chosen epoch, and what the optimiser reaches."""

import io
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
from sm3kit.networks.joint_batches import JointBatch
from sm3kit.runs.folder import RunFolder
from sm3kit.training.fitting import Training
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
        return [head(features) for head in self.heads]


def settings(**changes):
    facts = {"protocol": "probe", "epochs": 1, "batch_size": 4, "seed": 0}
    facts |= {"lr": LR, "eps": EPS, "weight_decay": DECAY, **changes}
    return SimpleNamespace(**facts)


def batch():
    joint = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    return JointBatch(joint, LABELS, torch.arange(4))


@pytest.fixture
def taught(tmp_path):
    """taught(score=None, **settings) -> the module and the chosen epoch; one batch an epoch."""

    def teach(score=None, **changes):
        network = Heads()
        weights = [*network.heads.parameters(), *network.unused.parameters()]
        module = Supervised(
            network, weights, settings(**changes), Variant(), ["shape", "tone"], 1, score
        )
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
        lambda self, batch: [forward(self, batch)[0], torch.full((4, 3), torch.nan)],
    )
    with pytest.raises(TrainingError) as caught:
        taught()
    assert str(caught.value) == (
        "The loss term ce/tone is not finite in epoch 1 of the probe. Lower --lr, now 0.1. "
        "Nothing was saved."
    )

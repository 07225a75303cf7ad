"""Networks and tables small enough for float64, and NT-Xent row by row: what is compared with them."""

import torch
from torch import nn
from torch.nn import functional as F

from sm3kit.backbones.base import Backbone
from sm3kit.networks.joint_batches import JointBatch
from sm3kit.training.pseudo_labels.clusters import PseudoLabel

EXACT = {"rtol": 1e-9, "atol": 1e-9}
WIDTH, TEMPERATURE = 6, 0.1
LABELS = (PseudoLabel("one", 3), PseudoLabel("two", 2))


class Small(Backbone):
    """Two convolutions with batch norm."""

    def __init__(self, model, channels):
        super().__init__()
        self.width = WIDTH
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 5, 3, bias=False),
            nn.BatchNorm2d(5),
            nn.ReLU(),
            nn.Conv2d(5, WIDTH, 3, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
        )

    def forward(self, view):
        return self.layers(view).mean(dim=(2, 3))


class Plain:
    """A modality whose views are what the network wants."""

    channels = 3
    shape = (3, 9, 9)
    local_views = 0

    def global_views(self, views):
        return views

    def normalise(self, views):
        return views


class Listed:
    """A joint source over a table."""

    def __init__(self, joint):
        self.joint = joint

    def __len__(self):
        return len(self.joint)

    def batch(self, index):
        return JointBatch(self.joint[index], torch.full((len(index), 2), -1), index)


def contrast(a, b, anchors="all"):
    """NT-Xent of N pairs, row by row."""
    rows = F.normalize(torch.cat([a, b]), dim=1)
    similar = rows @ rows.T / TEMPERATURE
    count = len(a)
    losses = []
    for row in range(2 * count if anchors == "all" else count):
        partner = (row + count) % (2 * count)
        others = [column for column in range(2 * count) if column != row]
        losses.append(torch.logsumexp(similar[row, others], 0) - similar[row, partner])
    return torch.stack(losses).mean()

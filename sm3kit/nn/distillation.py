"""Losses of knowledge distillation: what a student takes over from a frozen teacher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sm3kit.nn.host.values import host_values, known_tensor
from sm3kit.nn.pairs.ntx import without

TINY = 1e-12
MASKED = -1e4  # A cosine so far below all others that a softmax gives it nothing.


def soft_targets(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), the mean over the rows (B, C).

    Source: Hinton et al. 2015, arXiv:1503.02531, section 2.
    """
    divergence = F.kl_div(
        F.log_softmax(student / temperature, dim=-1),
        F.softmax(teacher / temperature, dim=-1),
        reduction="batchmean",
    )
    return temperature**2 * divergence


def weighted_cross_entropy(logits: Tensor, labels: Tensor, counts: Sequence[int]) -> Tensor:
    """Cross-entropy, each class weighted by its inverse frequency; zero where no label is known.

    Args:
        logits: (B, C).
        labels: (B,), -1 where unknown.
        counts: (C,) studies of each class; a class of none has no weight.
    """
    sizes = known_tensor(counts, logits.device).to(logits.dtype)
    weights = torch.where(sizes > 0, sizes.sum() / sizes.clamp(min=1), 0.0)
    total = F.cross_entropy(logits, labels, weight=weights, ignore_index=-1, reduction="sum")
    known = labels[known_tensor(np.flatnonzero(host_values(labels) >= 0), labels.device)]
    return total / weights[known].sum().clamp(min=TINY)


def similarities(views: Sequence[Tensor], anchors: Tensor, group: Tensor | None) -> Tensor:
    """Cosines (V * B, B) between views [(B, P)] * V of images and anchors (B, P), view by view.

    Args:
        group: (B,) code of the patient or lesion; other images of the same one are far below all
            others. None means that no two images belong together.
    """
    cosines = F.normalize(torch.cat(list(views)), dim=1) @ F.normalize(anchors, dim=1).T
    if group is None:
        return cosines
    others = group.unsqueeze(0) == group.unsqueeze(1)
    others &= ~torch.eye(len(group), dtype=torch.bool, device=group.device)
    return cosines.masked_fill(others.repeat(len(views), 1), MASKED)


def own_anchors(cosines: Tensor) -> Tensor:
    """Which column of `similarities` (V * B, B) is of the same image, (V * B,)."""
    rows, anchors = cosines.shape
    return torch.arange(rows, device=cosines.device) % anchors


def rows_to_learn(cosines: Tensor, share: float) -> Tensor:
    """Which rows of a teacher's `similarities` are worth learning, (V * B,) bool.

    All rows whose own anchor is the nearest, and of the others the share whose own anchor has the
    best rank; of equal ranks those with the larger cosine.

    Source: Wang et al. 2023, released code.
    Differs from the release: there, chance decides between equal ranks.
    """
    own = cosines.gather(1, own_anchors(cosines).unsqueeze(1))
    rank = (cosines > own).sum(dim=1)
    order = torch.argsort(own.squeeze(1), descending=True, stable=True)
    order = order[torch.argsort(rank[order], stable=True)]
    right = int((rank == 0).sum())
    count = right + int((len(rank) - right) * share)
    return torch.zeros_like(rank, dtype=torch.bool).index_fill(0, order[:count], value=True)


def relative_distances(points: Tensor) -> Tensor:
    """Distances (N, N) between points (N, D), in units of their mean.

    Source: Park et al. 2019, arXiv:1904.05068, equations 4 and 5.
    """
    centred = points - points.mean(dim=0)  # Less is lost to rounding; no distance changes.
    squares = centred.pow(2).sum(dim=1)
    products = centred @ centred.T
    distances = (squares.unsqueeze(0) + squares.unsqueeze(1) - 2 * products).clamp(min=TINY).sqrt()
    apart = ~torch.eye(len(points), dtype=torch.bool, device=points.device)
    others = without(distances, torch.arange(len(points), device=points.device))
    return distances * apart / others.flatten().mean()


def angles(points: Tensor) -> Tensor:
    """Cosines (N, N, N) of the angle at point i between points j and k of (N, D).

    Source: Park et al. 2019, arXiv:1904.05068, equations 6 and 7.
    """
    directions = F.normalize(points.unsqueeze(0) - points.unsqueeze(1), dim=2, eps=TINY)
    return directions @ directions.transpose(1, 2)


def gram_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """The root of the mean squared difference between Gram matrices of the channels.

    G = F F^T / (C H W) of a map F (C, H * W). |G - G'|^2 is computed from products over the
    channels, H W x H W, as C x C would take gigabytes for the last map of a ResNet-50.

    Source: Wang et al. 2023, released code.

    Args:
        student: maps (B, C, H, W).
        teacher: maps (B, C, H', W').
    """
    channels = student.shape[1]
    one, other = (maps.double().flatten(2) / maps[0].numel() ** 0.5 for maps in (student, teacher))

    def product(left: Tensor, right: Tensor) -> Tensor:
        return (left.transpose(1, 2) @ right).pow(2).sum()

    squared = product(one, one) - 2 * product(one, other) + product(other, other)
    mean = squared / (len(student) * channels**2)
    return mean.clamp(min=TINY**2).sqrt().to(student.dtype)

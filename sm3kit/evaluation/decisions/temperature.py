"""A temperature per label, so that its probabilities are as certain as they are right."""

from __future__ import annotations

import math

from torch import Tensor

COLDEST, HOTTEST = 0.05, 20.0
SMALLEST = 1e-300  # Of a probability: a logarithm has to be finite.


def tempered(probabilities: Tensor, temperature: float) -> Tensor:
    """softmax(log p / T) of probabilities (N, C); T = 1 gives them back as they are.

    It keeps the order of the classes of a study, and of two classes that of the studies.
    """
    if temperature == 1:
        return probabilities
    logits = probabilities.clamp_min(SMALLEST).log()
    return (logits / temperature).softmax(dim=1)


def fit_temperature(probabilities: Tensor, truth: Tensor) -> float:
    """The temperature of the least negative log-likelihood, from 0.05 to 20.

    The likelihood is convex in 1 / T; its slope is halved between both ends until they meet. A
    label with fewer than two classes among the studies keeps T = 1: any certainty would be right.

    Source: Guo et al. 2017, arXiv:1706.04599, section 4.2, temperature scaling.
    Differs from the paper: one temperature per label, on the logarithm of probabilities, as these
    may be a mean over views, members and streams.

    Args:
        probabilities: (N, C), float64.
        truth: (N,), -1 where unknown.
    """
    known = truth >= 0
    logits, true = probabilities[known].clamp_min(SMALLEST).log(), truth[known]
    if not bool((true != true[:1]).any()):
        return 1.0
    reached = logits.gather(1, true[:, None])[:, 0]

    def slope(inverse: float) -> float:
        expected = ((logits * inverse).softmax(dim=1) * logits).sum(dim=1)
        return float((expected - reached).mean())

    low, high = math.log(1 / HOTTEST), math.log(1 / COLDEST)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(math.exp(middle)) < 0 else (low, middle)
    return math.exp(-(low + high) / 2)


def negative_log_likelihood(probabilities: Tensor, truth: Tensor) -> float:
    """Mean of -log p of the true classes (N,) of the known studies; NaN without any."""
    known = truth >= 0
    rows = probabilities[known].gather(1, truth[known][:, None])
    return float(-rows.clamp_min(SMALLEST).log().mean()) if len(rows) else math.nan

"""The learning rate of a step, as a share of the full one."""

from __future__ import annotations

import math


def rate_share(schedule: str, step: int, steps: int, warmup: int = 0) -> float:
    """The share of the learning rate that a step takes.

    It follows from the number of the step alone, so a training that goes on needs no scheduler.

    Source: Goyal et al. 2017, arXiv:1706.02677, section 2.2, for the warm-up; Loshchilov and
    Hutter 2017, arXiv:1608.03983, equation 5, for the cosine, without restarts.

    Args:
        schedule: "constant" or "cosine", which brings the rate to zero at the last step.
        step: its number since the very beginning, from 0.
        steps: of the whole training.
        warmup: steps over which the rate grows linearly from zero; the last of them takes all of
            it, and the schedule begins with the next one.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    progress = min((step - warmup) / max(steps - warmup - 1, 1), 1.0)
    return (1 + math.cos(math.pi * progress)) / 2

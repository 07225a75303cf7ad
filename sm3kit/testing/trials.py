"""The features that objectives are tried on, the same in every process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sm3kit.objectives.base import Objective
from sm3kit.testing.tensors import ROWS, WIDTH, leaf


def made_objective(plugin: Any, options: Mapping[str, Any]) -> Objective:
    """An objective as it is at the end of a training, under seed 0."""
    torch.manual_seed(0)
    objective: Objective = plugin(WIDTH, **options)
    objective.before_step(1.0)
    return objective


def objective_features(plugin: Any) -> tuple[Any, dict[str, Any]]:
    """Features as `plugin.on` wants them, and the other arguments of `forward`."""
    torch.manual_seed(1)
    group = torch.arange(ROWS)
    if plugin.on == "modality":
        targets = [torch.randn(ROWS, WIDTH) for _ in range(2)]
        features = [leaf(ROWS, WIDTH) for _ in range(2)]
        wanted = {"targets": targets} if plugin.wants_target else {}
        return features, {**wanted, "group": group}
    streams = {name: [leaf(ROWS, WIDTH) for _ in range(2)] for name in ("a", "b", "c")}
    present = {name: torch.ones(ROWS, dtype=torch.bool) for name in streams}
    return streams, {"present": present, "group": group}

"""The losses of a pre-training, tried on random features before anything is written."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from sm3kit.data.viewing import change_views
from sm3kit.networks.assemble import Stage1, build_clusterer, build_relation
from sm3kit.training.preparation import Setup, view_counts

ROWS = 8  # Studies of the made-up batch.


def rehearse(setup: Setup, parts: Stage1, labels: int) -> None:
    """Tries the losses of stage 1 on random features, and builds what stage 2 will need.

    Args:
        setup: what is to be trained.
        parts: its networks and losses, which stay as they are.
        labels: number K of pseudo-labels.

    Raises:
        VariantError: choices that do not go together, for example one view and nothing to
            compare it with.
        OptionError: options that cannot be.
    """
    if setup.variant.stage != "mlssl" and setup.variant.stage1.epochs:
        _rehearse_stage1(setup, parts)
    if setup.variant.stage != "mmssl":
        _rehearse_stage2(setup, parts.branches.joint_width, labels)


@torch.no_grad()
def _rehearse_stage1(setup: Setup, parts: Stage1) -> None:
    with torch.random.fork_rng(devices=[]):
        features = {
            name: [torch.randn(ROWS, parts.branches.widths[name]) for _ in range(count)]
            for name, count in view_counts(setup).items()
        }
        for name, by_modality in parts.objectives.items():
            for modality, objective in by_modality.items():
                if modality in features:
                    views = features[modality]
                    more: dict[str, Any] = {"targets": views} if objective.wants_target else {}
                    if name in parts.teachers:
                        more = parts.teaching(name, modality).made_up(ROWS, len(views))
                    copy.deepcopy(objective)(views, **more)
        if parts.crossings and features.keys() == parts.branches.widths.keys():
            streams = _streams(parts, features)
            for objective in parts.crossings.values():
                copy.deepcopy(objective)(streams)


def _rehearse_stage2(setup: Setup, joint_width: int, labels: int) -> None:
    change_views(setup.pool, setup.variant, setup.variant.stage2.views)
    with torch.random.fork_rng(devices=[]):
        build_relation(setup.variant, joint_width, labels)
    build_clusterer(setup.variant)


def _streams(parts: Stage1, features: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    present = {name: torch.ones(ROWS, dtype=torch.bool) for name in features}
    streams: dict[str, list[Tensor]] = copy.deepcopy(parts.branches.fusion)(features, present)
    return streams

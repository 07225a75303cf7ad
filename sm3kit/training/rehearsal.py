"""The losses tried once before anything is written: what does not go together shows here."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from sm3kit.data.viewing import viewed
from sm3kit.networks.assemble import Stage1, build_clusterer, build_relation
from sm3kit.training.job import Job

ROWS = 8  # Studies of the made-up batch.


def rehearse(job: Job, parts: Stage1, labels: int) -> None:
    """Tries the losses of stage 1 on random features, and builds what stage 2 will need.

    Args:
        job: the training.
        parts: its networks and losses, which stay as they are.
        labels: number K of pseudo-labels.

    Raises:
        VariantError: choices that do not go together, for example one view and nothing to
            compare it with.
        OptionError: options that cannot be.
    """
    if job.variant.stage != "mlssl" and job.variant.epochs:
        _rehearse_stage1(job, parts)
    if job.variant.stage != "mmssl":
        _rehearse_stage2(job, parts.fusion.joint_width, labels)


@torch.no_grad()
def _rehearse_stage1(job: Job, parts: Stage1) -> None:
    with torch.random.fork_rng(devices=[]):
        features = {
            name: [torch.randn(ROWS, parts.fusion.widths[name]) for _ in range(count)]
            for name, count in _views(job).items()
        }
        for each in parts.objectives.values():
            for modality, objective in each.items():
                if modality in features:
                    views = features[modality]
                    copy.deepcopy(objective)(views, views if objective.wants_target else None)
        if parts.crossings and features.keys() == parts.fusion.widths.keys():
            streams = _streams(parts, features)
            for objective in parts.crossings.values():
                copy.deepcopy(objective)(streams)


def _rehearse_stage2(job: Job, joint_width: int, labels: int) -> None:
    viewed(job.pool, job.variant, job.variant.mlssl_views)
    with torch.random.fork_rng(devices=[]):
        build_relation(job.variant, joint_width, labels)
    build_clusterer(job.variant)


def _streams(parts: Stage1, features: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    present = {name: torch.ones(ROWS, dtype=torch.bool) for name in features}
    found: dict[str, list[Tensor]] = copy.deepcopy(parts.fusion)(features, present)
    return found


def _views(job: Job) -> dict[str, int]:
    """{modality: number V of its views}, as the first study with each has them."""
    counts: dict[str, int] = {}
    for index, case in enumerate(job.cases):
        if not case.images.keys() <= counts.keys():
            shown = job.views[0, index].views
            counts |= {name: len(views) for name, views in shown.items()}
        if counts.keys() == job.pool.modalities.keys():
            break
    return counts

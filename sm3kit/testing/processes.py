"""Two processes against one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from sm3kit.testing.law import Plugin
from sm3kit.testing.tensors import ROWS, build_objective, each_tensor, leaves, objective_features


def process_difference(plugin: Plugin, **options: Any) -> float:
    """The largest difference of loss and gradients, two gloo processes against one.

    Numbers above 1 are compared in relation to the largest of their kind.

    Every process holds half of the rows; the objective is in eval mode, so that batch norm does
    not mix in. Losses and gradients are averaged over processes, as DDP does.
    """
    with tempfile.TemporaryDirectory() as folder:
        results, store = str(Path(folder) / "result.pt"), str(Path(folder) / "store")
        arguments = (plugin, options, store, results)
        spawn(_half, args=arguments, nprocs=2)  # type: ignore[no-untyped-call]
        two = torch.load(results, weights_only=True)
    alone = _loss_and_gradients(plugin, {**options, "gather": False}, slice(None))
    return max(
        float((a - b).abs().max() / a.abs().max().clamp(min=1))
        for a, b in zip(alone, two, strict=True)
    )


def _half(rank: int, plugin: Plugin, options: dict[str, Any], store: str, results: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    try:
        half = slice(rank * ROWS // 2, (rank + 1) * ROWS // 2)
        values = _loss_and_gradients(plugin, {**options, "gather": True}, half)
        for value in values:
            dist.all_reduce(value)
            value /= 2
        if rank == 0:
            torch.save(values, results)
    finally:
        dist.destroy_process_group()


def _loss_and_gradients(plugin: Plugin, options: dict[str, Any], rows: slice) -> list[Tensor]:
    """Loss, gradients of the features (zeros where other rows are), gradients of the weights."""
    objective = build_objective(plugin, options).eval()
    features, keywords = objective_features(plugin)
    cut_features, cut_keywords = each_tensor((features, keywords), lambda tensor: tensor[rows])
    terms = objective(cut_features, **cut_keywords)
    total = torch.stack(list(terms.values())).sum()
    torch.autograd.backward(total)
    learning = [*leaves(features), *objective.parameters()]
    gradients = [
        leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in learning
    ]
    return [total.detach(), *gradients]

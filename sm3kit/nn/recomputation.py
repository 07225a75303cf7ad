"""Networks that see a batch in parts, and compute a part again instead of keeping it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from sm3kit.nn.pairs.contrastive import in_shards


def parts_of(count: int, size: int) -> list[slice]:
    """Slices that cut `count` rows into parts of about equal length, at most `size`.

    No part is a single row, which a batch norm could not normalise: rather they are one longer.

    Args:
        count: rows; 0 gives one empty part.
        size: 0 takes all rows as one part.
    """
    if not size or count <= size:
        return [slice(0, count)]
    parts = -(-count // size)
    if count // parts < 2:
        parts = max(count // 2, 1)
    return in_shards(count, parts)


def recomputed(
    network: nn.Module, function: Callable[..., tuple[Tensor, ...]], *tables: Tensor
) -> tuple[Tensor, ...]:
    """What a function makes of tables; for the gradients it is computed again.

    So nothing is kept in between but tables and result. Random numbers are the same both times,
    and the second pass changes no statistics of batch norms. Where no gradients are wanted it is
    computed once.

    Source: Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited
    setup", arXiv:2101.06983, section 3; the second pass is torch's activation checkpointing.

    Args:
        network: all networks of the function.
        function: of tables.
        tables: tensors.
    """
    if not torch.is_grad_enabled():
        return function(*tables)

    def passes() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _same_statistics(network)

    made: tuple[Tensor, ...] = checkpoint(function, *tables, use_reentrant=False, context_fn=passes)
    return made


@contextmanager
def _same_statistics(network: nn.Module) -> Iterator[None]:
    """Leaves the running statistics of batch norms as they are."""
    norms = [
        layer
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked for norm in norms]
    for norm in norms:
        # Not by track_running_stats: the second pass must keep the same tensors as the first.
        count = norm.num_batches_tracked
        norm.momentum, norm.num_batches_tracked = 0.0, count if count is None else count.clone()
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count

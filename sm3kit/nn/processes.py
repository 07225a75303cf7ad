"""Values of all processes of a training on several GPUs, with gradients."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def process_count() -> int:
    """How many processes train together; 1 outside distributed training."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_rows(rows: Tensor) -> Tensor:
    """The rows (world * N, P) of all processes, each with N; gradients come back to their owners."""
    gathered: Tensor = _Gather.apply(rows)
    return gathered


def gather_values(values: Tensor) -> Tensor:
    """The values (world * N, ...) of all processes, each with N, without gradients."""
    parts = [torch.empty_like(values) for _ in range(process_count())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum (...) of the values (...) of all processes; gradients come back from all of them.

    With a loss that is the same in every process, the mean of its gradients over processes, as
    DDP takes it, is the gradient of that loss.
    """
    if process_count() == 1:
        return values
    total: Tensor = _Sum.apply(values)
    return total


def any_row(present: Tensor, gather: bool) -> Tensor:
    """1 if some row is present, else 0, as a scalar; of all processes with `gather`.

    Args:
        present: (N,) bool.
        gather: look at the rows of all processes.
    """
    if gather and process_count() > 1:
        present = gather_values(present)
    return present.any().to(torch.float32)


class _Gather(torch.autograd.Function):
    """The rows of all processes; gradients of all processes come back and are added up."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        """Rows (world * N, P) of rows (N, P)."""
        return gather_values(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """The gradient (N, P) of this process's rows."""
        return _total(gradients[0]).chunk(process_count())[dist.get_rank()]


class _Sum(torch.autograd.Function):
    """The sum over all processes; gradients of all processes are added up, too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """The sum, of the same shape."""
        return _total(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """The gradient of this process's values."""
        return _total(gradients[0])


def _total(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)  # Others may read the values too.
    dist.all_reduce(total)
    return total

"""Values of all processes that work together, such as those of a training on several GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")
CHUNK = 2**24  # Numbers of a table that processes exchange at a time: 64 MiB.


def process_count() -> int:
    """How many processes train together; 1 outside distributed training."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_rank() -> int:
    """The number of this process, from 0; 0 outside distributed training."""
    return dist.get_rank() if process_count() > 1 else 0


def from_first(value: T) -> T:
    """The value that the first process has; any object that can be pickled."""
    if process_count() == 1:
        return value
    box = [value if process_rank() == 0 else None]
    dist.broadcast_object_list(box, src=0, device=_device())
    return box[0]  # type: ignore[return-value]


def share_weights(module: nn.Module) -> None:
    """Gives all processes the weights and buffers of the first one, in place."""
    if process_count() == 1:
        return
    for value in module.state_dict().values():
        sent = value.to(_device(), copy=True).contiguous()
        dist.broadcast(sent, src=0)
        value.copy_(sent)


def in_any(flags: Sequence[bool]) -> list[bool]:
    """Which of some flags are set in one process or more."""
    if process_count() == 1:
        return list(flags)
    table = torch.tensor(flags, dtype=torch.int32, device=_device())
    dist.all_reduce(table, dist.ReduceOp.MAX)
    return [bool(flag) for flag in table.tolist()]


def join_tables(table: Tensor) -> None:
    """Adds up a table (N, D) of all processes in place: each has other rows, and zeros elsewhere."""
    if process_count() == 1:
        return
    for part in torch.split(table, max(CHUNK // max(table[:1].numel(), 1), 1)):
        sent = part.to(_device())
        dist.all_reduce(sent)
        part.copy_(sent)


def join_shares(rows: Tensor, count: int) -> Tensor:
    """The rows (B, ...) of a batch, of which each process has a share; with their gradients.

    Args:
        rows: (b, ...) those of this process: number r of W has the rows r, r + W, ... and,
            where the last one is missing, another in its place.
        count: B.
    """
    world = process_count()
    if world == 1:
        return rows
    whole = gather_rows(rows) if rows.requires_grad else gather_values(rows)
    return whole.reshape(world, *rows.shape).transpose(0, 1).flatten(0, 1)[:count]


def wait_for_all() -> None:
    """Waits until every process has come to this point."""
    in_any([False])


def _device() -> torch.device:
    """Where tensors lie that processes exchange."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


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

"""Small tensors on a GPU whose values the host knows, so that no step waits to ask for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

Values = np.ndarray[Any, Any]

# Of tensors that are on a GPU: their values, and the version of the tensor that has them.
_KNOWN = WeakTensorKeyDictionary()


def host_values(tensor: Tensor) -> Values:
    """The values of a tensor; the host waits for those of a GPU that it does not know.

    It knows what the other functions here have made, until somebody changes it in place.
    """
    if tensor.device.type == "cpu":
        own: Values = tensor.numpy()
        return own
    values = _known(tensor)
    if values is None:
        values = tensor.detach().cpu().numpy()
        remember(tensor, values)
    return values


def remember(tensor: Tensor, values: Values) -> Tensor:
    """The tensor, whose values the host knows from now on."""
    if tensor.device.type != "cpu":
        _KNOWN[tensor] = (values, _version(tensor))
    return tensor


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A small tensor on a device; where it comes from the CPU, the host knows its values."""
    if tensor.device.type != "cpu" or torch.device(device).type == "cpu":
        return tensor.to(device)
    there = _send(tensor, device)
    return remember(there, tensor.numpy())


def known_tensor(values: Sequence[Any] | Values, device: torch.device) -> Tensor:
    """A small tensor of values that the host has; see `host_values`."""
    made = torch.tensor(values)
    return made if device.type == "cpu" else remember(_send(made, device), np.asarray(values))


def derive(made: Tensor, sources: Sequence[Tensor], rule: Callable[[Values], Values]) -> Tensor:
    """A tensor that was made of others; where the host knows these, it knows the tensor as well.

    Args:
        made: on the device of its sources.
        sources: of one shape.
        rule: the same for the values of all sources, stacked.
    """
    known = [values for values in map(_known, sources) if values is not None]
    return remember(made, rule(np.stack(known))) if len(known) == len(sources) else made


def columns_of(table: Tensor, columns: Sequence[int]) -> Tensor:
    """Some columns (B, k) of a table (B, K)."""
    places = np.array(columns, dtype=np.int64)
    picked = table[:, known_tensor(places, table.device)]
    return derive(picked, [table], lambda values: values[0][:, places])


def column_of(table: Tensor, column: int) -> Tensor:
    """One column (B,) of a table (B, K)."""
    return derive(table[:, column], [table], lambda values: values[0][:, column])


def without_waiting(device: torch.device | str) -> bool:
    """Whether the host may go on while something is copied to a device: to a GPU, in order."""
    return torch.device(device).type == "cuda"


def _send(tensor: Tensor, device: torch.device | str) -> Tensor:
    if without_waiting(device) and torch.cuda.is_available():
        tensor = tensor.pin_memory()  # A copy from other memory may be waited for.
    return tensor.to(device, non_blocking=without_waiting(device))


def _known(tensor: Tensor) -> Values | None:
    if tensor not in _KNOWN:
        return None
    known: tuple[Values, int] = _KNOWN[tensor]
    return known[0] if known[1] == _version(tensor) else None


def _version(tensor: Tensor) -> int:
    """How often a tensor was changed in place; nobody counts those of inference mode."""
    return -1 if tensor.is_inference() else tensor._version

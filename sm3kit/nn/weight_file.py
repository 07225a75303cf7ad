"""Files of weights that come from elsewhere: nothing but tensors is read from them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from sm3kit.core.errors import CheckpointError
from sm3kit.core.files import regular_file


def read_weight_file(weights: str, load: Callable[[str], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of a weight file {name: tensor}, at least one.

    Args:
        weights: its path, as the user wrote it.
        load: reads a file of either format, and runs no code in it.

    Raises:
        CheckpointError: it is missing, damaged, or holds anything but tensors.
    """
    remedy = "Give --weights imagenet, none, or a .safetensors or .pth file."
    if not os.path.lexists(weights):
        raise CheckpointError(f"No weight file {weights!r}. {remedy}")
    path = regular_file(weights, "weight file", remedy, CheckpointError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of pickles, which are refused if they are no tensors.
            state = load(str(path))
    except Exception as error:  # What a damaged or hostile file raises has no common base.
        damaged = isinstance(error, SafetensorError | RuntimeError | OSError | EOFError)
        if damaged and error.__cause__ is None:
            # What torch says is for programmers, and how to run the code in a file is part of it.
            known = isinstance(error, SafetensorError)
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            reason = reason if known else "it is truncated, or not a PyTorch file."
            raise CheckpointError(f"The weight file {path} cannot be read: {reason}") from error
        raise CheckpointError(_not_plain(path)) from error
    if not state or not all(map(_plain, state, state.values())):
        raise CheckpointError(_not_plain(path))
    return state


def _plain(name: Any, value: Any) -> bool:
    """Whether an entry is a tensor with a name that can be copied into a network."""
    if not isinstance(name, str) or not isinstance(value, torch.Tensor):
        return False
    strange = value.is_meta or value.is_quantized or value.is_complex()
    return value.layout == torch.strided and not strange


def _not_plain(path: Path) -> str:
    return (
        f"The weight file {path} is not a plain state_dict of tensors, or contains code, and is "
        "not loaded. Save the state_dict as .safetensors."
    )

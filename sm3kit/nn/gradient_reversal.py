"""Gradients that come back with the other sign."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -gradient


def reverse_gradient(values: Tensor) -> Tensor:
    """The values as they are; what made them learns the opposite of what is made of them.

    Source: Ganin and Lempitsky 2015, arXiv:1409.7495, section 3.
    As in the paper; the weight of the loss takes the place of its lambda.
    """
    reversed_values: Tensor = _Reversal.apply(values)
    return reversed_values

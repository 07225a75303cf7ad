"""The rows of a batch that are present, and layers that see only these."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from sm3kit.nn.host.values import derive, host_values, known_tensor


def count_present(mask: Tensor) -> int:
    """How many rows of a mask (B,) are present."""
    return int(host_values(mask).sum())


def places_of(mask: Tensor) -> Tensor:
    """The positions (b,) int64 of the rows that are present in a mask (B,)."""
    return known_tensor(np.flatnonzero(host_values(mask)), mask.device)


def rows_of(table: Tensor, mask: Tensor) -> Tensor:
    """The rows of a table (B, ...) that are present; the table itself, where all are."""
    there = host_values(mask)
    if there.all():
        return table
    return derive(table[places_of(mask)], [table], lambda values: values[0][there])


def among_zeros(rows: Tensor, mask: Tensor) -> Tensor:
    """The rows (b, ...) that are present put back among zeros (B, ...); see `rows_of`."""
    zeros = rows.new_zeros(len(mask), *rows.shape[1:])
    return zeros.index_copy(0, places_of(mask), rows)


def at_least(mask: Tensor, rows: int) -> Tensor:
    """The mask (B,), or one without any row where fewer are present."""
    few = 0 < count_present(mask) < rows
    return known_tensor(np.zeros(len(mask), dtype=bool), mask.device) if few else mask


def in_all(masks: Sequence[Tensor]) -> Tensor:
    """(B,) the rows that are present in all masks (B,)."""
    return derive(torch.stack(list(masks)).all(dim=0), masks, lambda values: np.all(values, axis=0))


def in_any(masks: Sequence[Tensor]) -> Tensor:
    """(B,) the rows that are present in at least one of the masks (B,)."""
    return derive(torch.stack(list(masks)).any(dim=0), masks, lambda values: np.any(values, axis=0))


class BatchNorm(_BatchNorm):
    """Batch norm of (B, C) or (B, C, H, W), for as few rows as there are, even none.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167.
    Differs from the paper: where a channel has fewer than two values, which have no variance, the
    running statistics serve in training, too.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        assert input.ndim >= 2

    def forward(self, rows: Tensor) -> Tensor:
        """Rows of the same shape."""
        if self.training and rows.numel() < 2 * self.num_features:
            mean, variance = self.running_mean, self.running_var
            return F.batch_norm(rows, mean, variance, self.weight, self.bias, eps=self.eps)
        normal: Tensor = super().forward(rows)
        return normal


def on_present(layers: nn.Module, present: Tensor, *tables: Tensor) -> Tensor:
    """What layers make of the rows that are present, among zeros (B, ...).

    In training absent rows never reach the layers, so that no batch norm counts them.

    Args:
        layers: takes any number of rows, even none: see `BatchNorm`.
        present: (B,) bool.
        tables: what the layers take, (B, ...) each.
    """
    if not layers.training:  # Rows do not affect each other, and an exported graph has no branches.
        return only_present(layers(*tables), present)
    where = places_of(present)
    rows: Tensor = layers(*(table[where] for table in tables))
    return among_zeros(rows, present)


def only_present(rows: Tensor, present: Tensor) -> Tensor:
    """Rows (B, ...), with zeros where a modality is absent."""
    return rows.masked_fill(~present.view(-1, *[1] * (rows.ndim - 1)), 0.0)


def in_place_of_absent(
    logits: Sequence[Tensor], present: Tensor, others: Sequence[Tensor]
) -> list[Tensor]:
    """Logits [(B, C_k)] * K of a stream, those of another stream where its modality is absent.

    So an average over streams is not drawn to a stream that has seen nothing; the other stream
    learns nothing from standing in.

    Args:
        logits: of the stream.
        present: (B,) bool.
        others: of the stream that stands in, [(B, C_k)] * K.
    """
    return [
        torch.where(present.unsqueeze(1), rows, stand_in.detach())
        for rows, stand_in in zip(logits, others, strict=True)
    ]

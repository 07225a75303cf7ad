"""What of the embeddings lies along a few directions: there, near and far still mean something."""

from __future__ import annotations

from torch import Tensor

from sm3kit.nn.clustering.principal import principal_directions
from sm3kit.nn.unit_length import unit_length


def leading_part(rows: Tensor, components: int) -> Tensor:
    """The rows (N, D) along their leading principal directions, of unit length: (N, components).

    In hundreds of dimensions, noise makes all rows about equally far from each other, so that no
    density and no silhouette tells groups apart.

    Args:
        rows: of unit length.
        components: 0 gives the rows themselves. There are never more than N or D.
    """
    if not components:
        return rows
    return unit_length((rows.double() @ principal_directions(rows, components)).to(rows))

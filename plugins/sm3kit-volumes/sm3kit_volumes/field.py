"""The uneven sensitivity of MR coils."""

from __future__ import annotations

import numpy as np

from sm3kit_volumes.volume import Voxels

ORDER = 3


def bias_field(side: int, amount: float, rng: np.random.Generator) -> Voxels:
    """A smooth random field (S, S, 1) of factors around 1, float32.

    Its logarithm is a polynomial of order 3 on -1 to 1, without a constant term.

    Source: Van Leemput et al. 1999, https://doi.org/10.1109/42.811268, Section II-B; the order
    and the uniform coefficients are those of TorchIO's RandomBiasField.

    Args:
        amount: coefficients are drawn from -x to x.
    """
    place = np.linspace(-1, 1, side)
    coefficients = rng.uniform(-amount, amount, size=(ORDER + 1, ORDER + 1))
    powers = np.add.outer(np.arange(ORDER + 1), np.arange(ORDER + 1))
    coefficients[(powers > ORDER) | (powers == 0)] = 0
    field = np.exp(np.polynomial.polynomial.polygrid2d(place, place, coefficients))
    return field[:, :, np.newaxis].astype(np.float32)

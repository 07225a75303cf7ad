"""Numbers that show a collapse before it costs a training.

Monitors of embeddings that are not finite are NaN. Ranks are not: they have none.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sm3kit.core.errors import DataError
from sm3kit.nn.finite import not_finite
from sm3kit.nn.unit_length import unit_length

COLLAPSED = 0.1  # Below this `normalised_std` a space is about to collapse.
WITHIN = 1e-4  # Added to the variance of the views of an image; of LiDAR.


def normalised_std(embeddings: Tensor) -> float:
    """Mean over dimensions of the standard deviation of unit-length embeddings (N, D), times sqrt(D).

    One for embeddings spread evenly over the sphere, zero for a collapsed space.

    Source: Chen and He 2021, arXiv:2011.10566, section 4.1; they print it without sqrt(D).
    """
    if len(embeddings) < 2:
        return float("nan")
    unit = unit_length(embeddings.float())
    return float(unit.std(dim=0).mean() * unit.shape[1] ** 0.5)


def rankme(embeddings: Tensor) -> float:
    """The effective rank of embeddings (N, D), between 1 and min(N, D).

    Source: Garrido et al. 2023, arXiv:2210.02885, equation 1: the exponential of the entropy of
    the singular values.
    """
    # No library finds the singular values of NaN.
    if len(embeddings) < 2 or not_finite({"embeddings": embeddings}):
        return float("nan")
    rows = embeddings.double()
    # The singular values are the roots of the eigenvalues of the smaller Gram matrix.
    gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    values = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    shares = values / values.sum().clamp(min=1e-12) + 1e-12
    return float(torch.exp(-(shares * shares.log()).sum()))


def lidar(views: Sequence[Tensor]) -> float:
    """The effective rank of what tells images apart, of q views (n, D) of n images.

    It counts the directions in which images differ more than the views of an image do, so noise
    of many dimensions, which RankMe counts, is none of it.

    Source: Thilak et al. 2023, arXiv:2312.04000, section 4: the exponential of the entropy of the
    eigenvalues of the scatter between images, whitened by that of the views within them.
    Differs from the paper: where the n (q - 1) differences between views are fewer than twice the
    dimensions, features are reduced to half as many principal components first (Belhumeur et al.
    1997, doi.org/10.1109/34.598228): the scatter within images would be zero in some directions,
    and these alone would count. The paper takes 50 views of each of 1000 images.
    """
    rows = torch.stack(list(views), dim=1).double()  # (n, q, D)
    count, each = rows.shape[:2]
    kept = min(rows.shape[2], count * (each - 1) // 2)
    if kept < 1 or not_finite({"views": rows}):
        return float("nan")
    rows = rows - rows.mean((0, 1))
    if kept < rows.shape[2]:
        rows = _first_components(rows.flatten(0, 1), kept).reshape(count, each, kept)
    means = rows.mean(1)
    within = (rows - means.unsqueeze(1)).flatten(0, 1)
    whiten = torch.linalg.cholesky(
        within.T @ within / len(within) + WITHIN * torch.eye(kept, dtype=rows.dtype)
    )
    whitened = torch.linalg.solve_triangular(whiten, means.T, upper=False)
    values = torch.linalg.eigvalsh(whitened @ whitened.T / count).clamp(min=0)
    shares = values / values.sum().clamp(min=1e-12) + 1e-12
    return float(torch.exp(-(shares * shares.log()).sum()))


def _first_components(rows: Tensor, kept: int) -> Tensor:
    """The first principal components (N, kept) of centred rows (N, D)."""
    if len(rows) > rows.shape[1]:
        axes: Tensor = torch.linalg.eigh(rows.T @ rows)[1]
        return rows @ axes[:, -kept:]
    gram = torch.linalg.eigh(rows @ rows.T)
    components: Tensor = gram[1][:, -kept:] * gram[0][-kept:].clamp(min=0).sqrt()
    return components


def alignment(a: Tensor, b: Tensor) -> float:
    """Mean squared distance of the partners (a_i, b_i) on the unit sphere, 0 to 4; a, b (N, D).

    Source: Wang and Isola 2020, arXiv:2005.10242, section 4.1.
    """
    return float((unit_length(a.float()) - unit_length(b.float())).pow(2).sum(1).mean())


def uniformity(embeddings: Tensor) -> float:
    """Log of the mean Gaussian potential of all pairs of embeddings (N, D); lower is more even.

    Source: Wang and Isola 2020, arXiv:2005.10242, section 4.1, with t = 2.
    """
    if len(embeddings) < 2:
        return float("nan")
    unit = unit_length(embeddings.float())
    return float(torch.pdist(unit).pow(2).mul(-2).exp().mean().log())


def partner_ranks(queries: Tensor, gallery: Tensor, chunk: int = 1024) -> Tensor:
    """The rank (N,) of each query's partner in the gallery by cosine similarity, from 1.

    Source: Wang et al. 2025, table 6. Ties count half, so that a collapsed space is at chance.

    Args:
        queries, gallery: (N, D), partners at equal rows.
        chunk: queries that are compared at once.

    Raises:
        DataError: some are not finite. NaN is neither more similar nor less nor equal, and would
            come out first.
    """
    bad = not_finite({"queries": queries, "gallery": gallery})
    if bad:
        raise DataError(
            f"Ranks need finite embeddings, and the {' and the '.join(bad)} hold NaN or infinity. "
            "The networks that made them have diverged: lower the learning rate of their training."
        )
    unit, keys = unit_length(queries.double()), unit_length(gallery.double())
    ranks = []
    for start in range(0, len(unit), chunk):
        similarity = unit[start : start + chunk] @ keys.T
        own = similarity.diagonal(offset=start).unsqueeze(1)
        # Rounding must not break ties.
        higher = (similarity > own + 1e-9).sum(1)
        equal = ((similarity - own).abs() <= 1e-9).sum(1) - 1
        ranks.append(1 + higher + equal / 2)
    return torch.cat(ranks) if ranks else torch.zeros(0)

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
TIE = 1e-9  # Similarities that differ by less are the same, as float64 rounds.
BLOCK = 2048  # Rows that are compared at once, with a quarter of them: so much fits into a cache.
SPARSE = 64  # From one pair in so many on, a block is computed again as a whole.
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


def partner_ranks(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """The rank (N,) of each row's partner by cosine similarity, from 1: one way, and back.

    Source: Wang et al. 2025, table 6. Ties count half, so that a collapsed space is at chance.

    Ranks are those of similarities in float64. The table of all similarities is never held: blocks
    of it are computed in float32, which serve both ways, and only those that are closer to that of
    the partner than float32 can tell are computed again.

    Args:
        one, other: (N, D), partners at equal rows; each row looks for its partner in the other.

    Raises:
        DataError: some are not finite. NaN is neither more similar nor less nor equal, and would
            come out first.
    """
    bad = not_finite({"queries": one, "gallery": other})
    if bad:
        raise DataError(
            f"Ranks need finite embeddings, and the {' and the '.join(bad)} hold NaN or infinity. "
            "The networks that made them have diverged: lower the learning rate of their training."
        )
    places = torch.arange(len(one), device=one.device)
    blocks = torch.split(places, BLOCK)
    own = torch.cat([(_unit(one, rows) * _unit(other, rows)).sum(1) for rows in blocks])
    rounded = [torch.cat([_unit(own, rows).float() for rows in blocks]) for own in (one, other)]
    there, back = _Similarities(one, other, own), _Similarities(other, one, own)
    ahead, ahead_back = torch.zeros_like(own), torch.zeros_like(own)
    parts = torch.split(rounded[1], BLOCK)
    for rows in torch.split(places, BLOCK // 4):
        queries = rounded[0][rows]
        for columns, gallery in zip(blocks, parts, strict=True):
            block = queries @ gallery.T
            ahead[rows] += there.ahead(block, rows, columns)
            ahead_back[columns] += back.ahead(block.T, columns, rows)
    return 1 + ahead, 1 + ahead_back


class _Similarities:
    """The similarities of queries (N, D) to a gallery (N, D), by blocks; own (N,) to partners."""

    def __init__(self, queries: Tensor, gallery: Tensor, own: Tensor) -> None:
        self.queries, self.gallery, self.own = queries, gallery, own
        self.lengths = _lengths(queries), _lengths(gallery)
        # A dot product of unit vectors in float32, summed in any order, is off by D / 2^24 at most,
        # and by 10 sqrt(D) / 2^24 but once in 10^20 (Higham and Mary 2019, doi.org/10.1137/18M1226312,
        # theorem 2.4); both vectors and the threshold are rounded, too.
        width = queries.shape[1]
        self.margin = (min(width, 10 * width**0.5) + 8) * 2.0**-24 + TIE

    def ahead(self, block: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """How many of the columns are more similar to each row than its partner; ties are halves.

        Args:
            block: (R, C) similarities of the rows to the columns, in float32.
            rows, columns: (R,) and (C,), their places.
        """
        own = self.own[rows].unsqueeze(1)
        low, high = (own - self.margin).float(), (own + self.margin).float()
        surely, perhaps = ((block - bound).sign_().clamp_(min=0).sum(1) for bound in (high, low))
        doubtful = torch.nonzero(perhaps > surely)[:, 0]
        # What is above one bound and not above the other, by the very comparisons.
        close = block[doubtful]
        near = (close > low[doubtful]) & (close <= high[doubtful])
        if near.sum() > block.numel() // SPARSE:
            exact = _unit(self.queries, rows) @ _unit(self.gallery, columns).T
            return _count(exact - own, rows.unsqueeze(1) == columns)
        places = near.nonzero()
        at, of = doubtful[places[:, 0]], places[:, 1]
        lengths = self.lengths[0][rows[at]] * self.lengths[1][columns[of]]
        queries, gallery = self.queries[rows[at]].double(), self.gallery[columns[of]].double()
        cosines = torch.linalg.vecdot(queries, gallery) / lengths
        more = (cosines - self.own[rows[at]]).unsqueeze(1)
        counts = _count(more, (rows[at] == columns[of]).unsqueeze(1))
        ahead: Tensor = surely.double().index_add_(0, at, counts)
        return ahead


def _lengths(rows: Tensor) -> Tensor:
    """The lengths (N,) in float64; that of zeros is as good as any."""
    parts = [torch.linalg.vector_norm(part.double(), dim=1) for part in torch.split(rows, BLOCK)]
    lengths: Tensor = torch.cat(parts).clamp(min=1e-300)
    return lengths


def _unit(rows: Tensor, places: Tensor) -> Tensor:
    return unit_length(rows[places].double())


def _count(more: Tensor, partners: Tensor) -> Tensor:
    """What is ahead (N,), of differences (N, M) to the similarity of the partner; ties are halves."""
    # Rounding must not break ties.
    higher, equal = more > TIE, (more.abs() <= TIE) & ~partners
    return higher.sum(1).double() + equal.sum(1) / 2

"""How often runs of a clustering agree that two rows belong together."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def co_association(pieces: Tensor) -> Tensor:
    """The share of runs (N, N) that put two rows into one piece.

    Source: Fred and Jain 2005, IEEE TPAMI 27(6), equation 2.

    Args:
        pieces: (runs, N) int64, the piece of each row in each run.
    """
    together = torch.zeros(pieces.shape[1], pieces.shape[1])
    for run in pieces:
        members = F.one_hot(run).float()
        together.addmm_(members, members.T)
    return together / len(pieces)


def average_linkage(similarity: Tensor, k: int) -> Tensor:
    """Exactly k clusters (N,) of rows, joined by their mean similarity (N, N), which is at most 1.

    Source: Sokal and Michener 1958, UPGMA; SciPy computes it.
    """
    from scipy.cluster.hierarchy import linkage  # They take long to load.
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(similarity)
    if k >= count:
        return torch.arange(count)
    upper = torch.triu_indices(count, count, 1)
    joins = count - k
    tree = linkage((1 - similarity[upper[0], upper[1]]).double().numpy(), "average")[:joins, :2]
    # The first joins as a forest; the i-th makes the node count + i. Unlike a cut at a height, it
    # has k trees where joins are equally high.
    parents = np.repeat(np.arange(count, count + joins), 2)
    edges = coo_matrix(
        (np.ones(2 * joins), (parents, tree.astype(np.int64).ravel())),
        shape=(count + joins, count + joins),
    )
    clusters = connected_components(edges, directed=False)[1][:count]
    return torch.from_numpy(clusters.astype(np.int64))


def mean_co_association(pieces: Tensor, members: Tensor, clusters: Tensor, k: int) -> Tensor:
    """The mean co-association (N, k) of rows with the members of each cluster.

    It is the mean over the runs of the share of the cluster that lies in the row's piece, so that no
    matrix of pairs is needed.

    Args:
        pieces: (runs, N) int64, the piece of each row in each run.
        members: (runs, n) int64, the piece of each member.
        clusters: (n,) the cluster of each member; none of the k is empty.
    """
    sizes = torch.bincount(clusters, minlength=k)
    total = torch.zeros(pieces.shape[1], k)
    for run, own in zip(pieces, members, strict=True):
        count = int(torch.maximum(run.max(), own.max())) + 1
        table = torch.bincount(own * k + clusters, minlength=count * k).view(count, k)
        total += (table / sizes)[run]
    return total / len(pieces)

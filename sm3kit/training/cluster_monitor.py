"""What pseudo-labels look like: sizes, change between epochs, and what they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from torch import Tensor

from sm3kit.training.mlssl import MultiLabelSSL
from sm3kit.training.stage import Row


def look_at_clusters(module: Any, truth: Mapping[str, Tensor]) -> Row:
    """The clustering of this epoch, as columns of metrics.csv.

    For each label: sizes, entropy of the sizes (1 is balanced), objective, number of re-seeded
    clusters, NMI with the epoch before, and NMI with the true label. The last is for diagnosis:
    nothing is chosen by it. `nmi_labels` is the mean NMI of two labels; 1 says that all labels
    are the same partition.

    Args:
        module: the stage.
        truth: {label: (N,) class of each study, -1 where unknown}.
    """
    assert isinstance(module, MultiLabelSSL)
    row: Row = {}
    partitions = module.assigned.cpu()
    for number, (label, found) in enumerate(zip(module.labels, module.clusterings, strict=True)):
        name, own = label.name, partitions[number]
        row[f"sizes/{name}"] = "+".join(str(size) for size in found.sizes.tolist())
        row[f"entropy/{name}"] = found.entropy
        row[f"objective/{name}"] = found.objective
        row[f"reseeded/{name}"] = found.reseeded
        if module.before is not None:
            row[f"nmi_before/{name}"] = nmi(module.before[number].cpu(), own)
        if name in truth:
            row[f"nmi_truth/{name}"] = nmi(truth[name], own)
    pairs = list(combinations(partitions, 2))
    if pairs:
        row["nmi_labels"] = sum(nmi(one, other) for one, other in pairs) / len(pairs)
    return row


def nmi(one: Tensor, other: Tensor) -> float:
    """How much two partitions of the same rows agree: one if equal, zero if independent.

    The mutual information over the arithmetic mean of the two entropies, of scikit-learn. Two
    partitions into one cluster each are equal; without a row that both know it is not a number.

    Source: Vinh et al. 2010, JMLR 11, table 2, NMI_sum.

    Args:
        one, other: (N,) int64 from 0; rows where either is -1 are left out.
    """
    from sklearn.metrics import normalized_mutual_info_score  # It takes a second to load.

    known = (one >= 0) & (other >= 0)
    if not known.any():
        return float("nan")
    score = normalized_mutual_info_score(one[known].numpy(), other[known].numpy())
    return min(1.0, float(score))  # Equal partitions may be above by a rounding.

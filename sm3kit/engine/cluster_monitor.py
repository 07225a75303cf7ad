"""What pseudo-labels look like: sizes, change between epochs, and what they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from torch import Tensor

from sm3kit.engine.mlssl import MultiLabelSSL
from sm3kit.engine.stage import Row
from sm3kit.nn.partitions import normalised_mutual_information as nmi


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

"""The label embeddings of stage 2, for the labels of the data at hand."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sm3kit.core.errors import CheckpointError, DataError
from sm3kit.data.pool import Pool
from sm3kit.networks.assemble import build_relation
from sm3kit.nn.label_heads import of_equal_length
from sm3kit.relations.base import Relation
from sm3kit.runs.model import TrainedModel


class LabelEmbedding(nn.Module):
    """The relation of stage 2, for the labels of the data at hand and in their order.

    Args:
        relation: trained on K labels.
        order: which of them each label of the data is.
    """

    def __init__(self, relation: Relation, order: Sequence[int]) -> None:
        super().__init__()
        self.relation, self.order = relation, list(order)

    @property
    def width(self) -> int:
        """P of the embeddings."""
        return self.relation.embedding

    def forward(self, joint: Tensor) -> Tensor:
        """Label embeddings (B, K, P) of joint features (B, J)."""
        embeddings = of_equal_length(self.relation(joint), self.relation.normed)
        return embeddings[:, self.order]


def open_label_embedding(
    trained: TrainedModel, pool: Pool, width: int
) -> tuple[LabelEmbedding | None, list[Tensor | None], list[str]]:
    """The relation and the prototypes for the labels of the pool, if they were trained for them.

    Args:
        trained: the run.
        pool: the studies.
        width: J of the joint feature.

    Returns:
        The relation or None, per label the weights (C, P) of its prototypes or None, and notes.

    Raises:
        CheckpointError: the weights do not fit.
    """
    none: list[Tensor | None] = [None] * len(pool.labels)
    if not trained.facts.labels:
        return None, none, []
    known = list(trained.facts.labels)
    places = list(_places(trained, pool).values())
    if len(places) < len(pool.labels):
        return (
            None,
            none,
            [
                f"Stage 2 of the run was trained for the labels {', '.join(known)}, and the data have "
                "others: the heads use the joint feature."
            ],
        )
    embedding, weights = _trained_on(trained, places, width)
    fitting = [
        weight if len(weight) == len(label.classes) else None
        for weight, label in zip(weights, pool.labels, strict=True)
    ]
    return embedding, fitting, []


def open_clusters(
    trained: TrainedModel, pool: Pool, width: int
) -> tuple[LabelEmbedding, dict[str, Tensor]]:
    """The relation and the prototypes of the labels that the run and the pool have in common.

    Args:
        trained, pool, width: see `open_label_embedding`.

    Returns:
        The relation for these labels, and {label: weights (C, P) of its prototypes, one for each
        cluster}, in the order of the pool.

    Raises:
        CheckpointError: the run has no stage 2, or its weights do not fit.
        DataError: there is no such label.
    """
    known = list(trained.facts.labels)
    if not known:
        raise CheckpointError(
            f"{trained.folder} has no pseudo-labels, which stage 2 makes. Train it: sm3kit pretrain "
            f"--stage mlssl --init {trained.folder}"
        )
    places = _places(trained, pool)
    if not places:
        have = ", ".join(label.name for label in pool.labels) or "none"
        raise DataError(
            f"Stage 2 of {trained.folder} has clusters for {', '.join(known)}, and the labels of the "
            f"data are {have}: none to compare them with. Give data with these labels, or a run "
            "without stage2.pseudo_labels."
        )
    embedding, weights = _trained_on(trained, list(places.values()), width)
    return embedding, dict(zip(places, weights, strict=True))


def _trained_on(
    trained: TrainedModel, places: Sequence[int], width: int
) -> tuple[LabelEmbedding, list[Tensor]]:
    """The relation for the labels at some places of stage 2, and the weights of their prototypes."""
    relation = build_relation(trained.variant, width, len(trained.facts.labels))
    trained.load(relation, trained.of("relation"), "the relation")
    weights = [trained.of("prototypes")[f"heads.{place}.weight"] for place in places]
    return LabelEmbedding(relation, places), weights


def _places(trained: TrainedModel, pool: Pool) -> dict[str, int]:
    """{label of the pool: where it is among the labels of stage 2}, of those that are there."""
    known = list(trained.facts.labels)
    places = {label.name: _place(label.name, known, pool) for label in pool.labels}
    return {name: place for name, place in places.items() if place is not None}


def _place(name: str, known: Sequence[str], pool: Pool) -> int | None:
    """Where a label of the pool is among the labels of stage 2; pools of several name the data set."""
    data = pool.sources[0].spec.partition(":")[0]
    for spelling in (name, f"{data}/{name}", name.partition("/")[2]):
        if spelling in known:
            return known.index(spelling)
    return None

"""The label embeddings of stage 2, for the labels of the data at hand."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

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
    order = [_place(label.name, known, pool) for label in pool.labels]
    if any(place is None for place in order):
        return (
            None,
            none,
            [
                f"Stage 2 of the run was trained for the labels {', '.join(known)}, and the data have "
                "others: the heads use the joint feature."
            ],
        )
    relation = build_relation(trained.variant, width, len(known))
    trained.load(relation, trained.of("relation"), "the relation")
    places = [place for place in order if place is not None]
    weights = [trained.of("prototypes")[f"heads.{place}.weight"] for place in places]
    fitting = [
        weight if len(weight) == len(label.classes) else None
        for weight, label in zip(weights, pool.labels, strict=True)
    ]
    return LabelEmbedding(relation, places), fitting, []


def _place(name: str, known: Sequence[str], pool: Pool) -> int | None:
    """Where a label of the pool is among the labels of stage 2; pools of several name the data set."""
    data = pool.sources[0].spec.partition(":")[0]
    for spelling in (name, f"{data}/{name}", name.partition("/")[2]):
        if spelling in known:
            return known.index(spelling)
    return None

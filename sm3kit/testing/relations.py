"""The laws of label relations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sm3kit.relations.base import Relation
from sm3kit.testing import tensors
from sm3kit.testing.every_plugin import check_documented
from sm3kit.testing.law import Laws, NotTried, Plugin, require, require_attributes
from sm3kit.testing.tensors import ROWS, WIDTH

LABELS = 4


@dataclass(frozen=True)
class RelationTrial:
    """A relation class and the options to build it with."""

    plugin: Plugin
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, labels: int = LABELS) -> Relation:
        """The relation between labels, under seed 0."""
        torch.manual_seed(0)
        relation: Relation = self.plugin(WIDTH, labels, **self.options)
        return relation

    def feature(self) -> Tensor:
        """Joint features (B, D)."""
        return torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(1))


LAWS: Laws[RelationTrial] = Laws()


def check_relation(plugin: Plugin, **options: Any) -> None:
    """Gives (B, K, P), rows independent of each other, attention rows that sum to one.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    LAWS.enforce(RelationTrial(plugin, options), plugin)


@LAWS.law("builds", first=True)
def builds(trial: RelationTrial) -> None:
    """It can be built for one label and for several."""
    for labels in (1, LABELS):
        relation = trial.build(labels)
        remedy = "call super().__init__() there, and set self.width, self.labels and self.embedding"
        require_attributes(relation, ["_modules", "width", "labels", "embedding"], remedy)


@LAWS.law("shape")
def shape_of_embeddings(trial: RelationTrial) -> None:
    """Features (B, D) become label embeddings (B, K, P)."""
    for labels in (1, LABELS):
        relation = trial.build(labels)
        embeddings, wanted = relation(trial.feature()), (ROWS, labels, relation.embedding)
        require(embeddings.shape == wanted, f"gives {tuple(embeddings.shape)}, not {wanted}")


@LAWS.law("input")
def input_stays(trial: RelationTrial) -> None:
    """The features stay as they were."""
    tensors.leaves_alone(trial.build(), trial.feature())


@LAWS.law("gradient")
def every_weight_learns(trial: RelationTrial) -> None:
    """A gradient reaches every weight and the feature."""
    relation, feature = trial.build(), trial.feature().requires_grad_()
    tensors.all_learn(relation, relation(feature).square().sum())
    require(feature.grad is not None, "gives the feature no gradient")


@LAWS.law("batch order")
def any_order(trial: RelationTrial) -> None:
    """No study sees another: the order of the rows does not matter."""
    tensors.any_row_order(trial.build().eval(), trial.feature())


@LAWS.law("seed")
def seed_decides(trial: RelationTrial) -> None:
    """The same seed gives the same weights and embeddings."""
    tensors.by_seed(trial.build, lambda relation: relation(trial.feature()))


@LAWS.law("attention")
def attention_is_shared_out(trial: RelationTrial) -> None:
    """Attention is (B, heads, K, K), and its rows sum to one."""
    attention = trial.build().eval().attention(trial.feature())
    if attention is None:
        raise NotTried("it has no attention")
    wanted = attention.shape[0::2] == (ROWS, LABELS) and attention.shape[-1] == LABELS
    require(wanted, "gives attention that is not (B, heads, K, K)")
    require(
        bool((attention.sum(-1) - 1).abs().max() < 1e-5),
        "gives attention rows that do not sum to one",
    )


@LAWS.law("state")
def state_is_whole(trial: RelationTrial) -> None:
    """With its state saved and loaded it is the same."""
    tensors.round_trip(trial.build(), trial.build(), lambda relation: relation(trial.feature()))

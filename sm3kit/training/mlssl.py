"""Stage 2, multi-label self-supervised learning on the features of stage 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sm3kit.clusterers.base import Clusterer, Clustering
from sm3kit.core.errors import DataError
from sm3kit.core.variant import Variant
from sm3kit.networks.joint_batches import JointBatch, JointSource
from sm3kit.nn.finite import listed, not_finite
from sm3kit.nn.label_heads import LabelHeads, label_loss, of_equal_length
from sm3kit.relations.base import Relation
from sm3kit.training.divergence import diverged
from sm3kit.training.optimiser import adamw


@dataclass(frozen=True)
class PseudoLabel:
    """One label of stage 2: its name, and its number of clusters."""

    name: str
    clusters: int


class MultiLabelSSL(pl.LightningModule):
    """Clusters the embeddings of each label, and learns to tell the clusters.

    Source: Wang et al. 2025, section 3.3 and equation 6; the released code for the memory bank,
    which holds what each study's embedding was when it was last seen.

    Args:
        relation: joint features to label embeddings; it learns.
        clusterer: what makes the pseudo-labels.
        labels: the K labels.
        variant: optimiser settings, choices of stage 2, seed.
        source: the joint features of N studies.
        steps_per_epoch: optimiser steps in an epoch.
        first_epoch: the epoch that a resumed training begins with.
        optimiser_state: what the optimiser remembers of the epochs before.
    """

    stage = "mlssl"
    bank: Tensor
    assigned: Tensor
    relation: Relation
    prototypes: LabelHeads

    def __init__(
        self,
        relation: Relation,
        clusterer: Clusterer,
        labels: Sequence[PseudoLabel],
        variant: Variant,
        source: JointSource,
        steps_per_epoch: int,
        first_epoch: int = 0,
        optimiser_state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.clusterer, self.labels, self.variant = clusterer, labels, variant
        self.source, self.steps_per_epoch = source, steps_per_epoch
        self.first_epoch, self.optimiser_state = first_epoch, optimiser_state
        self.rate = variant.mlssl_lr
        self.relation = relation
        self.prototypes = LabelHeads(
            relation.embedding, [label.clusters for label in labels], bias=False
        )
        self.prototypes.requires_grad_(not variant.freeze_prototypes)
        count = len(source)
        self.register_buffer("bank", torch.zeros(len(labels), count, relation.embedding))
        self.register_buffer("assigned", torch.full((len(labels), count), -1, dtype=torch.long))
        self.before: Tensor | None = None
        self.clusterings: list[Clustering] = []
        self.last_terms: dict[str, Tensor] = {}
        self.extra: dict[str, Any] = {}

    @property
    def epochs(self) -> int:
        """How many epochs there are in all."""
        return self.variant.mlssl_epochs

    @property
    def epoch(self) -> int:
        """The epoch since the very beginning, from 0."""
        return self.first_epoch + self.current_epoch

    @property
    def remedy(self) -> str:
        """What to lower where it diverges, as a sentence."""
        return f"Lower -o training.mlssl_lr, now {self.variant.mlssl_lr:g}."

    def total(self, terms: dict[str, float]) -> float:
        """The loss that the mean terms of an epoch add up to."""
        whole = sum(terms.values())
        return whole if self.variant.label_loss == "sum" else whole / len(self.labels)

    def embed(self, joint: Tensor) -> Tensor:
        """Label embeddings (B, K, P) of joint features (B, J), all about sqrt(P) long."""
        embeddings: Tensor = self.relation(joint)
        return of_equal_length(embeddings, self.relation.normed)

    @torch.no_grad()
    def fill_bank(self, batches: Iterator[JointBatch], *, dropout: bool = False) -> None:
        """Puts the embeddings of all studies into the memory bank."""
        self.relation.train(dropout)
        for batch in batches:
            self.bank[:, batch.index] = self.embed(batch.joint).transpose(0, 1)
        self.relation.train()

    def on_train_epoch_start(self) -> None:
        """Seeds this epoch by its number, then clusters what is in the bank."""
        # Another offset than that of stage 1.
        torch.manual_seed(self.variant.seed * 1_000_003 + self.epoch + 250_000_001)
        if self.variant.bank == "fresh":
            self.fill_bank(self.source.in_order(self.epoch))
        self._cluster()

    @torch.no_grad()
    def _cluster(self) -> None:
        """Pseudo-labels and prototypes of this epoch, each label with a seed of its own.

        Raises:
            DataError: the embeddings of a label, which is named, cannot be clustered.
        """
        self.before = self.assigned.clone() if self.epoch else None
        self.clusterings = []
        for number, (label, head) in enumerate(
            zip(self.labels, self.prototypes.heads, strict=True)
        ):
            seed = np.random.SeedSequence([self.variant.seed, self.epoch, number])
            try:
                found = self.clusterer.fit(
                    self.bank[number], label.clusters, int(seed.generate_state(1)[0] >> 1)
                )
            except DataError as error:
                raise DataError(
                    f"Label {label.name} in epoch {self.epoch + 1} of stage 2: {error}"
                ) from error
            self.clusterings.append(found)
            self.assigned[number] = found.assignments.to(self.device)
            assert isinstance(head, nn.Linear)
            head.weight.copy_(F.normalize(found.centroids.to(self.device), dim=1))

    def training_step(self, batch: JointBatch, batch_idx: int) -> Tensor:
        """The cross-entropy of the pseudo-labels.

        Raises:
            TrainingError: a label's loss is not finite; it is named.
        """
        embeddings = self.embed(batch.joint)
        if self.variant.bank == "memory":
            self.bank[:, batch.index] = embeddings.detach().transpose(0, 1)
        logits = [rows / self.variant.temperature for rows in self.prototypes(embeddings)]
        targets = self.assigned[:, batch.index].T
        loss, terms = label_loss(logits, targets, self.variant.label_loss)
        named = zip(self.labels, terms, strict=True)
        self.last_terms = {f"ce/{label.name}": term.detach() for label, term in named}
        if not bool(loss.isfinite()):
            raise diverged(self, f"The loss term {listed(not_finite(self.last_terms))} is")
        # Without a relation and with frozen prototypes there is nothing to learn.
        return loss if loss.requires_grad else loss + 0 * self._anything()

    def _anything(self) -> Tensor:
        """A number with gradient that changes nothing."""
        return torch.zeros((), device=self.device, requires_grad=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the relation and the prototypes."""
        v = self.variant
        return adamw(
            {v.mlssl_lr: [*self.relation.parameters(), *self.prototypes.parameters()]},
            v.betas,
            v.mlssl_eps,
            v.mlssl_weight_decay,
            self.optimiser_state,
            fused=True,
        )

"""Classifiers on the joint feature, with or without the relation of stage 2."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sm3kit.data.batches import Batch
from sm3kit.evaluation.label_embedding import LabelEmbedding
from sm3kit.evaluation.subject import Subject
from sm3kit.networks.branches import Branches
from sm3kit.networks.joint_batches import JointBatch
from sm3kit.nn.label_heads import LabelHeads


class Classifier(nn.Module):
    """One linear head per label, on the joint feature or on label embeddings.

    Source: Wang et al. 2025, section 4.2; released code: heads start from N(0, 0.01) with a bias
    of zero, or from the prototypes of stage 2.

    Args:
        embedding: the relation of stage 2, or None.
        width: J of the joint feature.
        classes: number of classes of each label.
        prototypes: per label the weights (C, P) to start from, or None.
    """

    def __init__(
        self,
        embedding: LabelEmbedding | None,
        width: int,
        classes: Sequence[int],
        prototypes: Sequence[Tensor | None],
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.heads = LabelHeads(
            width if embedding is None else embedding.relation.embedding, classes
        )
        for head, weight in zip(self.heads.heads, prototypes, strict=True):
            if weight is not None and embedding is not None:
                assert isinstance(head, nn.Linear)
                head.weight.data.copy_(weight)

    def forward(self, joint: Tensor) -> list[Tensor]:
        """Logits [(B, C)] * K of joint features (B, J)."""
        return self.heads(joint if self.embedding is None else self.embedding(joint))  # type: ignore[no-any-return]


class FromFeatures(nn.Module):
    """A classifier whose batches are joint features.

    Args:
        classifier: what learns.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, batch: JointBatch) -> list[Tensor]:
        """Logits [(B, C)] * K."""
        logits: list[Tensor] = self.classifier(batch.joint)
        return logits


class FromImages(nn.Module):
    """Networks and a classifier whose batches are images.

    Args:
        branches: backbones and fusion.
        classifier: heads, and the relation if there is one.
    """

    def __init__(self, branches: Branches, classifier: Classifier) -> None:
        super().__init__()
        # The first name stands in files.
        self.extractor, self.classifier = branches, classifier

    def forward(self, batch: Batch) -> list[Tensor]:
        """Logits [(B, C)] * K."""
        joint = self.extractor.joint(self.extractor.features(batch), batch.present)
        with torch.autocast(joint.device.type, enabled=False):
            logits: list[Tensor] = self.classifier(joint)
        return logits


def classifier_of(subject: Subject, *, relation: bool, prototypes: bool, seed: int) -> Classifier:
    """A fresh classifier for the labels of a subject, which stays as it is when this one learns.

    Args:
        relation: whether heads sit on the label embeddings of stage 2.
        prototypes: whether they start as its prototypes.
        seed: of the weights.
    """
    torch.manual_seed(seed)
    classes = [len(label.classes) for label in subject.pool.labels]
    start = subject.prototypes if prototypes else [None] * len(classes)
    embedding = copy.deepcopy(subject.embedding) if relation else None
    width = subject.branches.joint_width
    return Classifier(embedding, width, classes, start).to(subject.device)

"""One linear head per label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from sm3kit.classifiers.base import JOINT, Classifier, ClassifierInputs, Streams
from sm3kit.nn.label_heads import LabelHeads


class Linear(Classifier):
    """One linear head per label, on the joint feature or on label embeddings.

    Source: Wang et al. 2025, section 4.2; released code: heads start from N(0, 0.01) with a bias
    of zero, or from the prototypes of stage 2.
    As in the paper.
    """

    on: ClassVar[Literal["modalities", "joint"]] = "joint"
    wants_embedding: ClassVar[bool] = True

    def __init__(self, inputs: ClassifierInputs) -> None:
        super().__init__(inputs)
        self.embedding = inputs.embedding
        width = inputs.widths[JOINT]
        if inputs.embedding is not None:
            width = inputs.embedding.width  # type: ignore[assignment]
        self.heads = LabelHeads(width, self.classes)
        if inputs.embedding is None:
            return
        for head, weight in zip(self.heads.heads, inputs.prototypes, strict=True):
            if weight is not None:
                assert isinstance(head, nn.Linear)
                head.weight.data.copy_(weight)

    def forward(
        self, features: Mapping[str, Tensor], present: Mapping[str, Tensor], **more: Any
    ) -> Streams:
        """Logits of the one stream "joint"."""
        joint = features[JOINT]
        return {JOINT: self.heads(joint if self.embedding is None else self.embedding(joint))}

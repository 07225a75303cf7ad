"""A classifier by name, built for the networks of a run and for labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sm3kit.classifiers.base import JOINT, Classifier, ClassifierInputs
from sm3kit.core.errors import VariantError
from sm3kit.core.options import bind
from sm3kit.core.registry import registry
from sm3kit.datasets.base import LabelSpec
from sm3kit.evaluation.labelling.label_embedding import LabelEmbedding
from sm3kit.networks.branches import Branches


@dataclass(frozen=True)
class ClassifierSpec:
    """A classifier by name.

    Attributes:
        name: of the plugin.
        options: {option: value}, typed.
    """

    name: str = "linear"
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, options: Mapping[str, Mapping[str, Any]]) -> ClassifierSpec:
        """A classifier with those of the options {plugin: {option: value}} that are its own.

        Raises:
            SM3Error: no such classifier, or an option that it does not take.
        """
        component = registry("classifiers").get(name)
        return cls(name, bind(component, f"classifier {name!r}", options.get(name, {})))

    @property
    def component(self) -> type[Classifier]:
        """Its class."""
        component: type[Classifier] = registry("classifiers").get(self.name)
        return component

    def build(
        self,
        branches: Branches,
        labels: Sequence[LabelSpec],
        *,
        known: Tensor | None = None,
        embedding: LabelEmbedding | None = None,
        prototypes: Sequence[Tensor | None] = (),
    ) -> Classifier:
        """A fresh classifier, on the device of the branches.

        Args:
            branches: whose features it gets.
            labels: K labels.
            known: (N, K) labels of the training studies, -1 where unknown; None where trained
                weights are put in afterwards.
            embedding: the label embeddings of stage 2, for a classifier that wants them.
            prototypes: per label the weights (C, P) to start from, or None.
        """
        component = self.component
        joint = component.on == "joint"
        inputs = ClassifierInputs(
            widths={JOINT: branches.joint_width} if joint else dict(branches.widths),
            labels={label.name: label.classes for label in labels},
            maps=_maps(self.name, branches) if component.wants_maps else {},
            shapes=_shapes(branches) if component.wants_views else {},
            known=torch.empty(0, len(labels), dtype=torch.long) if known is None else known,
            embedding=embedding if component.wants_embedding else None,
            prototypes=prototypes or [None] * len(labels),
        )
        return component(inputs, **self.options).to(branches.device)


def _maps(name: str, branches: Branches) -> dict[str, Any]:
    """The feature maps of the backbones.

    Raises:
        VariantError: none of them gives any.
    """
    maps = {modality: own.map_shapes for modality, own in branches.backbones.items()}
    if any(maps.values()):
        return maps
    raise VariantError(
        f"--classifier {name} needs feature maps, and no backbone of the run gives any. Use "
        "another --classifier, or a run with a convolutional backbone."
    )


def _shapes(branches: Branches) -> dict[str, Sequence[int]]:
    return {name: branches.modalities[name].shape for name in branches.modalities}

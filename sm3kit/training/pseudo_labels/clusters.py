"""Clusters of studies: the pseudo-labels of stage 2, and what a sampler of either stage draws by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sm3kit.core.errors import DataError, VariantError
from sm3kit.core.variant import Variant
from sm3kit.data.batches import eval_loader
from sm3kit.data.epoch_batches import Draw
from sm3kit.networks.assemble import build_clusterer, build_sampler
from sm3kit.networks.branches import Branches
from sm3kit.nn.label_heads import of_equal_length
from sm3kit.samplers.base import Array
from sm3kit.training.base import Learner
from sm3kit.training.preparation import Setup
from sm3kit.training.seeds import seed_of_clustering


@dataclass(frozen=True)
class PseudoLabel:
    """One label of stage 2: its name, and its number of clusters."""

    name: str
    clusters: int


def pseudo_labels(setup: Setup) -> list[PseudoLabel]:
    """The labels of stage 2, if they can be trained: those of the data, and then weak ones.

    A label with weak labels has a cluster for each class.

    Raises:
        VariantError, DataError: there are no labels, too few studies, or values out of range.
    """
    settings = setup.variant.stage2
    if settings.pseudo_labels:
        if not settings.clusters:
            raise VariantError(
                f"stage2.pseudo_labels={settings.pseudo_labels} needs the number of clusters of "
                "each: add -o stage2.clusters=3."
            )
        labels = [
            PseudoLabel(f"pseudo{n + 1}", settings.clusters) for n in range(settings.pseudo_labels)
        ]
    else:
        labels = [
            PseudoLabel(label.name, settings.clusters or len(label.classes))
            for label in setup.pool.labels
        ]
        weak = {name: len(target.classes) for name, target in setup.weak.items()}
        labels = [PseudoLabel(own.name, weak.pop(own.name, own.clusters)) for own in labels]
        labels += [PseudoLabel(*own) for own in weak.items()]
    if not labels:
        raise _without_labels(setup)
    if settings.diversity and len(labels) < 2:
        raise VariantError(
            f"stage2.diversity={settings.diversity:g} keeps labels apart, and {labels[0].name!r} is "
            "the only one. Leave it out, or add -o stage2.pseudo_labels=8."
        )
    most = max(labels, key=lambda label: label.clusters)
    if most.clusters > len(setup.cases):
        who = "Stage 2" if setup.variant.stage != "mmssl" else f"--sampler {setup.variant.sampler}"
        raise DataError(
            f"{who} cannot make {most.clusters} clusters for {most.name!r} from "
            f"{len(setup.cases)} studies. Give more studies, or lower -o stage2.clusters."
        )
    return labels


def _without_labels(setup: Setup) -> VariantError:
    variant = setup.variant
    if variant.stage == "mmssl":
        who, instead = f"--sampler {variant.sampler} makes clusters", "Leave it out"
    else:
        who, instead = "stage 2 makes a pseudo-label", "Use --stage mmssl"
    return VariantError(
        f"{', '.join(variant.data)} has no labels, and {who} for each. {instead}, or say how many: "
        "-o stage2.pseudo_labels=8 -o stage2.clusters=3."
    )


def draw_of(setup: Setup, renew: Callable[[int], Array] | None = None) -> Draw:
    """What the sampler of a pre-training draws from: clusters of the studies, never their labels.

    Args:
        setup: the studies, and which sampler.
        renew: epoch -> (N, K) clusters. Until it is asked, others of the same number stand in.

    Raises:
        VariantError, DataError: as `build_sampler` and `pseudo_labels` do.
    """
    sampler, count = build_sampler(setup.variant), len(setup.cases)
    groups = np.array([case.group for case in setup.cases], np.int64)
    if sampler.on == "nothing":
        return Draw(sampler, np.empty((count, 0), np.int64), groups)
    numbers = [label.clusters for label in pseudo_labels(setup)]
    return Draw(sampler, np.arange(count)[:, None] % np.array(numbers), groups, renew)


def clusters_of(
    joint: Tensor, labels: Sequence[PseudoLabel], variant: Variant, doing: str, epoch: int = 0
) -> Tensor:
    """Clusters (N, K) of joint features (N, J), for each label with a seed of its own.

    Args:
        joint: compared by direction, as in stage 2.
        labels: into how many clusters.
        variant: which clusterer, and the seed.
        doing: what needs them, for the message.
        epoch: another one has other seeds.

    Raises:
        DataError: they cannot be clustered; the label is named.
    """
    clusterer, rows = build_clusterer(variant), of_equal_length(joint, False)
    columns = []
    for number, label in enumerate(labels):
        seed = seed_of_clustering(variant.seed, epoch, number)
        try:
            columns.append(clusterer.fit(rows, label.clusters, seed).assignments.cpu())
        except DataError as error:
            raise DataError(f"{doing}, clusters for {label.name}: {error}") from error
    return torch.stack(columns, dim=1)


class StudyClusters:
    """Clusters of the joint features that a stage 1 has come to, for its sampler.

    All studies are embedded under the evaluation view and clustered as often as stage 2 would, into
    as many clusters. What was made last is kept in the checkpoint.

    Args:
        setup: the studies, the clusterer, and how often.
        branches: the networks, as they learn.
        module: the training.
    """

    def __init__(self, setup: Setup, branches: Branches, module: Learner) -> None:
        self.setup, self.branches, self.module = setup, branches, module
        self.labels = pseudo_labels(setup)
        # Before a checkpoint is read: it takes what the module keeps.
        module.extra["clusters"] = torch.empty(0, len(self.labels), dtype=torch.long)

    def __call__(self, epoch: int) -> Array:
        """The clusters (N, K) of an epoch.

        Raises:
            DataError: the features cannot be clustered.
        """
        kept = self.module.extra
        due = epoch % self.setup.variant.stage1.cluster_every == 0
        if due or not len(kept["clusters"]):
            variant, joint = self.setup.variant, self._joint()
            doing = f"--sampler {variant.sampler} in epoch {epoch + 1} of stage 1"
            clusters = clusters_of(joint, self.labels, variant, doing, epoch)
            # Processes may differ in a last bit: all take what the first has found.
            kept["clusters"] = self.module.trainer.strategy.broadcast(clusters)
        table: Array = kept["clusters"].numpy()
        return table

    @torch.no_grad()
    def _joint(self) -> Tensor:
        """The joint features (N, J); the networks are in eval mode meanwhile."""
        size, names = self.setup.variant.stage1.batch_size, list(self.branches.widths)
        training = self.branches.training
        self.branches.eval()
        try:
            parts = [
                self.branches.joint(self.branches.features(batch), batch.present)
                for batch in eval_loader(self.setup.views, size, names)
            ]
        finally:
            self.branches.train(training)
        return torch.cat(parts)

"""What stage 2 clusters: its label embeddings, frozen features of a teacher, or both."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from sm3kit.clusterers.base import Clustering
from sm3kit.core.errors import VariantError
from sm3kit.core.variant import FUSION_OF_ONE, Variant
from sm3kit.data.batches import StudyViews
from sm3kit.networks.assemble import build_fusion
from sm3kit.networks.branches import Branches
from sm3kit.networks.extraction import Encoder
from sm3kit.nn.clustering.partitions import cluster_means
from sm3kit.nn.unit_length import unit_length
from sm3kit.runs.frozen_network import WORDS, FrozenNetwork, Source, open_network
from sm3kit.training.hardware import resolved_precision, smallest_view
from sm3kit.training.preparation import Setup
from sm3kit.training.teachers import teacher_caveats

OF_STAGE_1 = "stage1"  # The teacher that every run has: its own networks.


class TeacherRows(NamedTuple):
    """What a teacher says of the studies.

    Attributes:
        rows: (N, T) of unit length.
        fingerprint: a hash of its weights.
    """

    rows: Tensor
    fingerprint: str


def feature_source(variant: Variant) -> Source | None:
    """Where the teacher of stage 2 comes from; None if it has none, or the run's own networks.

    Raises:
        VariantError: there is a teacher without effect, or none where one is needed.
    """
    settings = variant.stage2
    word, backbone = settings.teacher, settings.teacher_backbone
    if variant.stage == "mmssl":
        return None
    if settings.features == "own":
        for name, value in (("teacher", word), ("teacher_backbone", backbone)):
            if value:
                raise VariantError(
                    f"-o stage2.{name}={value} has no effect with stage2.features=own. Add "
                    "-o stage2.features=teacher or both, or leave it out."
                )
        return None
    if not word:
        raise VariantError(
            f"stage2.features={settings.features} clusters features of a teacher. Give one: -o "
            f"stage2.teacher={OF_STAGE_1} for the run's own networks, {WORDS}."
        )
    source = Source(word, backbone, f"-o stage2.teacher={word}")
    own = word == OF_STAGE_1
    if backbone and (own or source.is_model or source.run):
        raise VariantError(
            f"-o stage2.teacher_backbone={backbone} has no effect with stage2.teacher={word}: only "
            "a weight file does not tell its model. Leave it out."
        )
    return None if own else source


def check_source(setup: Setup, *, fetch: bool) -> list[Source]:
    """The source of the teacher of stage 2, if there is one, whose networks fit the data.

    They are opened and let go: stage 1 needs the memory.

    Args:
        setup: choices and data.
        fetch: load ImageNet weights, which may have to be fetched.

    Raises:
        SM3Error: there is no such teacher, or it does not fit the data.
    """
    source = feature_source(setup.variant)
    if source is None:
        return []
    for name in setup.pool.modalities:
        open_network(source, setup.variant, setup.pool, name, fetch=fetch)
    return [source]


def feature_caveats(source: Source) -> list[str]:
    """What a user should know of what a teacher of stage 2 saw in its own training."""
    caveats = teacher_caveats([source], "stage 2")
    if source.tuned:
        caveats.append(f"{source.word} learned from labels, and the pseudo-labels know of them")
    return caveats


def teacher_rows(setup: Setup, branches: Branches) -> TeacherRows | None:
    """Features of the teacher of stage 2 for the evaluation view of each study; None without one.

    The features of each modality have unit length, stand side by side, with zeros where an image is
    missing, and have unit length again. Nothing of the teacher stays.

    Args:
        setup: choices and data.
        branches: the networks of stage 1, on the device that computes.

    Raises:
        SM3Error: there is no such teacher, or its features are not finite.
    """
    variant = setup.variant
    source = feature_source(variant)
    if variant.stage2.features == "own":
        return None
    shown = StudyViews(setup.pool, setup.cases, setup.images, variant.seed)
    if source is not None:
        networks = {
            name: open_network(source, variant, setup.pool, name, fetch=True)
            for name in setup.pool.modalities
        }
        variant, branches = _assembled(networks, variant, branches.device)
        modalities = {name: network.modality for name, network in networks.items()}
        pool = dataclasses.replace(setup.pool, modalities=modalities)
        shown = StudyViews(pool, setup.cases, setup.images, variant.seed)
    size = smallest_view(shown.pool.modalities)
    precision = resolved_precision(variant.stage2.precision, branches, size)
    encoder = Encoder(branches, variant, setup.features, setup.reporter, precision, setup.workers)
    with setup.reporter:
        features = encoder.evaluation(shown)
    rows = side_by_side(features.whole(), features.present)
    weights = " ".join(branches.fingerprint(name) for name in branches.backbones)
    return TeacherRows(rows, weights)


def _assembled(
    networks: Mapping[str, FrozenNetwork], variant: Variant, device: torch.device
) -> tuple[Variant, Branches]:
    """The networks of all modalities as one, and the variant that describes them."""
    per_modality, options = dict[str, dict[str, object]](), dict[str, dict[str, object]]()
    for network in networks.values():
        per_modality |= network.described.per_modality
        options |= network.described.options
    described = dataclasses.replace(
        variant, fusion=FUSION_OF_ONE, per_modality=per_modality, options=options
    )
    backbones = {name: network.backbone for name, network in networks.items()}
    fusion = build_fusion(described, {name: net.width for name, net in backbones.items()})
    modalities = {name: network.modality for name, network in networks.items()}
    branches = Branches(backbones, fusion, modalities, variant.machine.channels_last)
    return described, branches.to(device).requires_grad_(False).eval()


def side_by_side(features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
    """Features {modality: (N, D)} as blocks of unit length in rows (N, T) of unit length.

    Args:
        present: {modality: (N,) bool}; blocks of absent images are zeros.
    """
    blocks = [unit_length(rows) * present[name].unsqueeze(1) for name, rows in features.items()]
    return unit_length(torch.cat(blocks, dim=1))


def rows_to_cluster(own: Tensor, teacher: Tensor | None, *, both: bool) -> Tensor:
    """What is clustered of N studies for one label.

    Args:
        own: (N, P) label embeddings.
        teacher: (N, T) of unit length; None where the embeddings alone are clustered.
        both: the embeddings, at unit length, beside the teacher's features, not these alone.
    """
    if teacher is None:
        return own
    return torch.cat([unit_length(own), teacher], dim=1) if both else teacher


def own_centroids(own: Tensor, clustering: Clustering, before: Tensor) -> Tensor:
    """The mean embedding (k, P) of the members of each cluster, by their weights.

    Args:
        own: (N, P) label embeddings.
        clustering: made in another space; members that are left out count nothing. Where all
            members of a cluster weigh nothing, they count alike.
        before: (k, P) what a cluster without members keeps.
    """
    taken = (clustering.assignments >= 0).to(own.device)
    rows, members = own[taken], clustering.assignments.to(own.device)[taken]
    weights = clustering.weights.to(own)[taken].unsqueeze(1)
    zeros = before.new_zeros(len(before), own.shape[1] + 1)
    sums = cluster_means(torch.cat([weights * rows, weights], dim=1), members, zeros)
    weighted = sums[:, :-1] / sums[:, -1:].clamp(min=torch.finfo(own.dtype).tiny)
    return torch.where(sums[:, -1:] > 0, weighted, cluster_means(rows, members, before))

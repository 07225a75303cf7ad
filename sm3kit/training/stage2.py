"""Stage 2, multi-label self-supervised learning: label embeddings on the features of stage 1."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sm3kit.clusterers.base import Clusterer, Clustering, fit_from
from sm3kit.core.errors import CheckpointError, DataError
from sm3kit.core.variant import Variant
from sm3kit.data.batches import StudyViews
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.data.viewing import change_views
from sm3kit.networks.assemble import build_clusterer, build_relation
from sm3kit.networks.branches import Branches
from sm3kit.networks.extraction import Encoder
from sm3kit.networks.joint_batches import CachedJoint, EncodedJoint, JointBatch, JointSource
from sm3kit.nn.clustering.diversity import diversity_loss, soft_assignments
from sm3kit.nn.clustering.weak_targets import WeakTargets, fingerprint
from sm3kit.nn.host.values import host_values, known_tensor
from sm3kit.nn.label_heads import LabelHeads, label_loss, of_equal_length
from sm3kit.nn.processes import from_first, process_rank, share_weights
from sm3kit.relations.base import Relation
from sm3kit.samplers.base import Array
from sm3kit.training import checkpoints
from sm3kit.training.base import EpochRow, Learner
from sm3kit.training.fitting import fit
from sm3kit.training.hardware import resolved_precision
from sm3kit.training.monitoring import cluster_row
from sm3kit.training.optimising.optimisers import WeightGroup, optimiser
from sm3kit.training.preparation import Setup
from sm3kit.training.pseudo_labels.assignments import (
    agreement,
    renumbered,
    soft_targets,
    weights_of,
    with_numbers,
)
from sm3kit.training.pseudo_labels.clusters import PseudoLabel, draw_of, pseudo_labels
from sm3kit.training.pseudo_labels.features import own_centroids, rows_to_cluster, teacher_rows
from sm3kit.training.seeds import seed_for, seed_of_clustering

FIRST = "first_assigned"  # The pseudo-labels of the first epoch, in checkpoints.


class MultiLabelSSL(Learner):
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
        truth: {label: (N,) class of each study, -1 where unknown}; looked at, never learned from.
        teacher: (N, T) features to cluster, or to cluster beside the embeddings; None for these alone.
        weak: {label: what scores say of it}, mixed into its targets.
    """

    bank: Tensor
    teacher: Tensor | None
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
        truth: Mapping[str, Tensor] | None = None,
        teacher: Tensor | None = None,
        weak: Mapping[str, WeakTargets] | None = None,
    ) -> None:
        super().__init__("mlssl", variant, variant.stage2, variant.seed, steps_per_epoch)
        self.alike = True
        self.clusterer, self.labels, self.source = clusterer, labels, source
        self.truth = truth or {}
        self.weak = [(weak or {}).get(label.name) for label in labels]
        self.soft: list[Tensor | None] = []  # Per label (N, C) targets, where it has weak labels.
        self.relation = relation
        most = [clusterer.most(label.clusters) for label in labels]
        self.prototypes = LabelHeads(relation.embedding, most, bias=False)
        self.prototypes.requires_grad_(not variant.stage2.freeze_prototypes)
        count = len(source)
        learns = any(weight.requires_grad for weight in self.parameters())
        # Without a relation and with frozen prototypes there is nothing to learn, and DDP wants some.
        self.nothing = None if learns else nn.Parameter(torch.zeros(()))
        self.register_buffer("bank", torch.zeros(len(labels), count, relation.embedding))
        self.register_buffer("assigned", torch.full((len(labels), count), -1, dtype=torch.long))
        # No part of a checkpoint: it is large, and the same whenever it is computed.
        self.register_buffer("teacher", teacher, persistent=False)
        self.counting: Tensor | None = None  # (K, N) of the assignments, if not all count alike.
        self.before: Tensor | None = None
        self.clusterings: list[Clustering] = []
        self.clustered: int | None = None  # The epoch of the clusters.
        self.ahead = False  # Whether they were made before it began.

    @property
    def remedy(self) -> str:
        """What to lower where it diverges, as a sentence."""
        return f"Lower -o stage2.lr, now {self.variant.stage2.lr:g}."

    @property
    def memory_remedy(self) -> str:
        """What to lower where the memory of a GPU is too small, as a sentence."""
        v = self.variant
        encodes = v.stage2.feature_views == 0 and v.stage2.bank == "fresh"
        also = f", or --batch-size, now {v.stage1.batch_size}" if encodes else ""
        return f"Lower -o stage2.batch_size, now {v.stage2.batch_size}{also}."

    def total(self, terms: dict[str, float]) -> float:
        """The loss that the mean terms of an epoch add up to."""
        costs = [value for name, value in terms.items() if name.startswith("ce/")]
        whole = sum(costs)
        if self.variant.stage2.label_loss == "mean":
            whole /= len(self.labels)
        return sum((value for name, value in terms.items() if not name.startswith("ce/")), whole)

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
        super().on_train_epoch_start()
        if not self.ahead:
            self._cluster()
        self.ahead = False

    def partitions(self, epoch: int) -> Array:
        """The clusters (N, K) of an epoch, for a sampler, which may ask before the epoch begins."""
        if self.clustered != epoch:
            self._cluster()
            self.ahead = True
        table: Array = self.assigned.T.cpu().numpy()
        return table

    @torch.no_grad()
    def _cluster(self) -> None:
        """Pseudo-labels and prototypes of this epoch, each label with a seed of its own.

        Raises:
            DataError: the embeddings of a label, which is named, cannot be clustered.
        """
        if self.variant.stage2.bank == "fresh":
            self.fill_bank(self.source.in_order(self.epoch))
        self.clustered = self.epoch
        self.before = self.assigned.clone() if self.epoch else None
        self.clusterer.before_epoch(self.epoch / max(self.epochs - 1, 1))
        self.clusterings = from_first(
            [self._clustering(number) for number in range(len(self.labels))]
            if process_rank() == 0
            else []
        )
        for number, clustering in enumerate(self.clusterings):
            self.assigned[number] = clustering.assignments.to(self.device)
            head = self.prototypes.heads[number]
            assert isinstance(head, nn.Linear)
            centroids = clustering.centroids.to(self.device)
            if self.teacher is not None:
                before = head.weight[: len(centroids)]
                centroids = own_centroids(self.bank[number], clustering, before)
            head.weight[: len(centroids)] = F.normalize(centroids, dim=1)
        self.counting = weights_of(self.clusterings, self.device)
        self.soft = soft_targets(self.weak, self.clusterings, self.device)
        if not self.epoch:
            # For reports; 32,767 clusters are enough, and a checkpoint keeps it to the end.
            self.extra[FIRST] = self.assigned.to("cpu", torch.int16)

    def _clustering(self, number: int) -> Clustering:
        """The clustering of a label, by its number."""
        label, both = self.labels[number], self.variant.stage2.features == "both"
        rows = rows_to_cluster(self.bank[number], self.teacher, both=both)
        seed = seed_of_clustering(self.seed, self.epoch, number)
        try:
            clustering = self._fit(number, rows, seed)
        except DataError as error:
            raise DataError(
                f"Label {label.name} in epoch {self.epoch + 1} of stage 2: {error}"
            ) from error
        weak = self.weak[number]
        if weak is not None:
            return with_numbers(clustering, weak.class_numbers(clustering.assignments))
        keeps = self.clusterer.keeps_numbers and self.before is not None
        return renumbered(clustering, rows, self.assigned[number]) if keeps else clustering

    def _fit(self, number: int, rows: Tensor, seed: int) -> Clustering:
        """The clusters of rows (N, D), which begin at the seeds of weak labels if asked for."""
        weak, seeds = self.weak[number], self.variant.stage2.weak_seeds
        if weak is None or not seeds:
            return self.clusterer.fit(rows, self.labels[number].clusters, seed)
        return fit_from(self.clusterer, rows, seed, weak.start(rows, seeds))

    def logits(self, embeddings: Tensor) -> list[Tensor]:
        """Logits [(B, C)] * K of embeddings (B, K, P) for the clusters that each label has now."""
        every, temperature = self.prototypes(embeddings), self.variant.stage2.temperature
        return [
            rows[:, :count] / temperature
            for rows, count in zip(every, self.cluster_counts, strict=True)
        ]

    @property
    def cluster_counts(self) -> list[int]:
        """How many clusters each of the K labels has now."""
        if not self.clusterer.chooses_k:
            return [label.clusters for label in self.labels]
        if self.clusterings:
            return [len(clustering.centroids) for clustering in self.clusterings]
        # A training that goes on where no epoch is left.
        return [max(int(own) + 1, 1) for own in self.assigned.amax(dim=1).tolist()]

    def training_step(self, batch: JointBatch, batch_idx: int) -> Tensor:
        """The cross-entropy of the pseudo-labels, and what labels cost that share their clusters.

        Raises:
            TrainingError: a label's loss is not finite; it is named.
        """
        embeddings = self.whole(self.embed(batch.joint), batch_idx)
        index = self.whole(batch.index, batch_idx)
        if self.variant.stage2.bank == "memory":
            # A study that a sampler has drawn twice is remembered as its last row.
            last = {study: row for row, study in enumerate(host_values(index).tolist())}
            studies, rows = (known_tensor([*own], self.device) for own in (last, last.values()))
            self.bank[:, studies] = embeddings.detach()[rows].transpose(0, 1)
        logits = self.logits(embeddings)
        targets = self.assigned[:, index].T
        weights = None if self.counting is None else self.counting[:, index].T
        soft = [None if own is None else own[index] for own in self.soft]
        loss, terms = label_loss(logits, targets, self.variant.stage2.label_loss, weights, soft)
        named = {f"ce/{label.name}": term for label, term in zip(self.labels, terms, strict=True)}
        weight, target = self.variant.stage2.diversity, self.variant.stage2.diversity_target
        if weight:
            named["diversity"] = weight * diversity_loss(soft_assignments(logits), target)
            loss = loss + named["diversity"]
        self.keep_terms(named)
        return loss if self.nothing is None else loss + 0 * self.nothing

    def look(self) -> EpochRow:
        """The clusters of this epoch."""
        before = None if self.before is None else self.before.cpu()
        names = [label.name for label in self.labels]
        row = cluster_row(names, self.clusterings, self.assigned.cpu(), before, self.truth)
        for name, weak, clustering in zip(names, self.weak, self.clusterings, strict=True):
            if weak is not None:
                row[f"weak/{name}"] = agreement(weak, clustering)
        return row

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the relation and the prototypes."""
        settings = self.variant.stage2
        weights = list(self.parameters())
        return optimiser(
            "adamw",
            [WeightGroup(settings.lr, weights)],
            self.variant.stage1.betas,
            settings.eps,
            settings.weight_decay,
            self.optimiser_state,
            fused=True,
        )


def train(setup: Setup, branches: Branches, resumed: dict[str, Any] | None) -> None:
    """Trains stage 2 with all processes; the first one writes its model.

    Raises:
        CheckpointError: the networks are others than when the stage began.
        Interrupted, TrainingError: as `fit` does.
    """
    variant = setup.variant
    labels = pseudo_labels(setup)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    branches.to(device).requires_grad_(False).eval()
    share_weights(branches)  # The first process has the batch statistics and the chosen epoch.
    # As stage 1 left it: batch statistics of a GPU may differ in their last bits when they are
    # moved again.
    frozen = " ".join(branches.fingerprint(name) for name in branches.backbones)
    taught = teacher_rows(setup, branches)
    extra = {"extractor": frozen} | ({"teacher": taught.fingerprint} if taught else {})
    extra |= {"weak": fingerprint(setup.weak)} if setup.weak else {}
    first = _epochs_done(setup, resumed, extra)
    first_pass = _first_pass(setup, branches) if variant.stage2.bn_leak else None
    torch.manual_seed(seed_for("relation", variant.seed))
    relation = build_relation(variant, branches.joint_width, len(labels))
    source = _source(setup, branches)
    batches = _batches(setup, first)
    rows = taught.rows if taught else None
    about = (labels, variant, source, len(batches), _truth(setup), rows, setup.weak)
    module = MultiLabelSSL(relation, build_clusterer(variant), *about)
    module.order, module.extra = batches, dict(extra)
    if resumed and FIRST in resumed:  # Earlier versions kept none.
        module.extra[FIRST] = resumed[FIRST]
    if resumed:
        checkpoints.resume(module, resumed, setup.run.last)
        setup.reporter.say(f"resume   stage 2 after epoch {first} of {variant.stage2.epochs}")
    else:
        module.to(device)
        torch.manual_seed(seed_for("bank", variant.seed))
        module.fill_bank(
            source.in_order(0) if first_pass is None else iter(first_pass),
            dropout=first_pass is not None,
        )
    own = ", ".join(f"{label.name} {label.clusters}" for label in labels)
    setup.reporter.say(
        f"stage 2  relation {variant.relation}, clusterer {variant.clusterer}: {own}"
    )
    assert batches.draw
    batches.draw.renew = module.partitions if variant.samples_clusters else None
    fit(module, setup.training(), lambda rank, world: source.shuffled(batches))
    if setup.world.is_first:
        _write(setup, branches, module)


def _truth(setup: Setup) -> dict[str, Tensor]:
    """{label: (N,) class of each study, -1 where unknown}."""
    return {
        label.name: torch.tensor([case.labels[number] for case in setup.cases])
        for number, label in enumerate(setup.pool.labels)
    }


def steps_per_epoch(setup: Setup) -> int:
    """The optimiser steps of an epoch."""
    return len(_batches(setup, 0))


def _batches(setup: Setup, first: int) -> EpochBatches:
    """The order of the batches, from an epoch on, and what this process has of each."""
    return EpochBatches(
        len(setup.cases),
        setup.variant.stage2.batch_size,
        setup.variant.seed,
        draw=draw_of(setup),
        rank=setup.world.rank,
        world=setup.world.size,
        first_epoch=first,
        divide=True,
    )


def _source(setup: Setup, branches: Branches) -> JointSource:
    """Joint features of the studies to train on, from the cache or encoded in every epoch."""
    variant = setup.variant
    precision = resolved_precision(variant.stage2.precision, branches)
    if variant.stage2.feature_views == 0:
        other = change_views(setup.pool, variant, variant.stage2.views)
        shown = StudyViews(other, setup.cases, setup.images, variant.seed)
        return EncodedJoint(shown, branches, precision, variant.stage1.batch_size, setup.workers)
    encoder = Encoder(branches, variant, setup.features, setup.reporter, precision, setup.workers)
    with setup.reporter:
        features = encoder.random_views(
            setup.views, variant.stage2.feature_views, variant.stage2.views
        )
    return CachedJoint(features, branches, variant.seed)


def _epochs_done(setup: Setup, resumed: dict[str, Any] | None, extra: Mapping[str, str]) -> int:
    if resumed is None:
        return 0
    if "teacher" in extra and resumed["teacher"] != extra["teacher"]:
        raise CheckpointError(
            f"The teacher {setup.variant.stage2.teacher} has changed since stage 2 of "
            f"{setup.run.folder} began. Delete {setup.run.last} to train stage 2 again."
        )
    if resumed["extractor"] != extra["extractor"]:
        raise CheckpointError(
            f"The networks of stage 1 have changed since stage 2 of {setup.run.folder} began. "
            f"Delete {setup.run.last} to train stage 2 again."
        )
    if "weak" in extra and resumed["weak"] != extra["weak"]:
        raise CheckpointError(
            f"The weak labels have changed since stage 2 of {setup.run.folder} began. Restore them, "
            "or start a new run with another --out."
        )
    done: int = resumed["epochs_done"]
    return done


def _first_pass(setup: Setup, branches: Branches) -> list[JointBatch]:
    """Joint features of a first pass in train mode, which moves the batch statistics.

    Source: the released code fills its memory bank before it calls `eval`.
    """
    variant = setup.variant
    other = change_views(setup.pool, variant, variant.stage2.views)
    shown = StudyViews(other, setup.cases, setup.images, variant.seed)
    torch.manual_seed(seed_for("statistics", variant.seed))
    order = EpochBatches(len(setup.cases), variant.stage2.batch_size, variant.seed, least=1)
    source = EncodedJoint(shown, branches, "32-true", workers=setup.workers)
    batches = source.shuffled(order).loader
    joint_batches = []
    for batch in batches:
        # One image alone may have no batch statistics.
        branches.train(all(int(mask.sum()) != 1 for mask in batch.present.values()))
        with torch.no_grad():
            joint = branches.joint(branches.features(batch), batch.present)
        joint_batches.append(JointBatch(joint, batch.labels, batch.index).to(branches.device))
    branches.eval()
    return joint_batches


def _write(setup: Setup, branches: Branches, module: MultiLabelSSL) -> None:
    names = [label.name for label in module.labels]
    clusters = dict(zip(names, module.cluster_counts, strict=True))
    facts = setup.facts("mlssl", setup.variant.stage2.epochs, clusters)
    counts = {name: int(own.covered.sum()) for name, own in setup.weak.items()}
    facts = dataclasses.replace(facts, weak=counts)
    networks: dict[str, Tensor] = dict(branches.state_dict())
    networks |= {f"relation.{name}": value for name, value in module.relation.state_dict().items()}
    for number, (head, count) in enumerate(
        zip(module.prototypes.heads, module.cluster_counts, strict=True)
    ):
        networks[f"prototypes.heads.{number}.weight"] = head.get_parameter("weight")[:count]
    assigned = {"assigned": module.assigned.cpu(), "ids": [case.study.id for case in setup.cases]}
    if FIRST in module.extra:
        assigned[FIRST] = module.extra[FIRST]
    checkpoints.write_stage(setup.run, setup.run.mlssl, networks, facts, assigned)

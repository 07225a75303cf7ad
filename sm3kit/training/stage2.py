"""Stage 2 of a run: from a frozen extractor to label embeddings and prototypes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sm3kit.core.errors import CheckpointError, DataError, VariantError
from sm3kit.data.batches import StudyViews
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.data.viewing import viewed
from sm3kit.networks.assemble import build_clusterer, build_relation
from sm3kit.networks.extraction import Encoder
from sm3kit.networks.extractor import Extractor
from sm3kit.networks.joint_batches import CachedJoint, EncodedJoint, JointBatch, JointSource
from sm3kit.training import checkpoints
from sm3kit.training.cluster_monitor import look_at_clusters
from sm3kit.training.fitting import Machine, fit
from sm3kit.training.hardware import resolved_precision
from sm3kit.training.job import Job
from sm3kit.training.mlssl import MultiLabelSSL, PseudoLabel


def pseudo_labels(job: Job) -> list[PseudoLabel]:
    """The labels of stage 2, if they can be trained.

    Raises:
        VariantError, DataError: there are no labels, too few studies, or values out of range.
    """
    v = job.variant
    if v.pseudo_labels:
        if not v.clusters:
            raise VariantError(
                f"training.pseudo_labels={v.pseudo_labels} needs to know how many clusters each "
                "has: add -o training.clusters=3."
            )
        found = [PseudoLabel(f"pseudo{n + 1}", v.clusters) for n in range(v.pseudo_labels)]
    else:
        found = [PseudoLabel(x.name, v.clusters or len(x.classes)) for x in job.pool.labels]
    if not found:
        raise VariantError(
            f"{', '.join(v.data)} has no labels, and stage 2 makes a pseudo-label for each. Take "
            "--stage mmssl, or say how many: -o training.pseudo_labels=8 -o training.clusters=3."
        )
    most = max(found, key=lambda label: label.clusters)
    if most.clusters > len(job.cases):
        raise DataError(
            f"Stage 2 is to find {most.clusters} clusters for {most.name!r} among "
            f"{len(job.cases)} studies. Give more studies, or lower -o training.clusters."
        )
    return found


def train(job: Job, extractor: Extractor, resumed: dict[str, Any] | None) -> None:
    """Trains stage 2 on one device and writes its model.

    Raises:
        Interrupted: the user stopped it; the run can be resumed.
        CheckpointError: the extractor is another than when the stage began.
        TrainingError: a loss term is not finite.
    """
    variant = job.variant
    labels = pseudo_labels(job)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    extractor.to(device).requires_grad_(False).eval()
    # As stage 1 left it: batch statistics of a GPU may differ in their last bits when they are
    # moved again.
    frozen = " ".join(extractor.fingerprint(name) for name in extractor.backbones)
    first = _epochs_done(job, resumed, frozen)
    leaked = _leaked(job, extractor) if variant.bn_leak else None
    torch.manual_seed(variant.seed + 1)
    relation = build_relation(variant, extractor.fusion.joint_width, len(labels))
    source = _source(job, extractor)
    batches = EpochBatches(
        len(job.cases), variant.mlssl_batch_size, variant.seed, first_epoch=first
    )
    module = MultiLabelSSL(
        relation, build_clusterer(variant), labels, variant, source, len(batches), first
    )
    module.extra = {"extractor": frozen}
    if resumed:
        checkpoints.load_weights(module, resumed["model"], job.run.last)
        module.optimiser_state = resumed["optimiser"]
        job.reporter.say(f"resume   stage 2 after epoch {first} of {variant.mlssl_epochs}")
    else:
        module.to(device)
        torch.manual_seed(variant.seed + 2)
        module.fill_bank(
            source.in_order(0) if leaked is None else iter(leaked), dropout=leaked is not None
        )
    truth = {
        label.name: torch.tensor([case.labels[number] for case in job.cases])
        for number, label in enumerate(job.pool.labels)
    }
    job.reporter.say(
        f"stage 2  relation {variant.relation}, clusterer {variant.clusterer}: "
        + ", ".join(f"{label.name} {label.clusters}" for label in labels)
    )
    fit(
        module,
        job,
        lambda rank, world: source.shuffled(batches),
        lambda module: look_at_clusters(module, truth),
        Machine(),
    )
    _write(job, extractor, module)


def _source(job: Job, extractor: Extractor) -> JointSource:
    """Joint features of the studies to train on, from the cache or encoded in every epoch."""
    variant = job.variant
    precision = resolved_precision(variant.mlssl_precision, extractor)
    if variant.feature_views == 0:
        other = viewed(job.pool, variant, variant.mlssl_views)
        shown = StudyViews(other, job.cases, job.images, variant.seed)
        return EncodedJoint(shown, extractor, precision, variant.batch_size, job.workers)
    encoder = Encoder(extractor, variant, job.features, job.reporter, precision, job.workers)
    with job.reporter:
        features = encoder.augmented(job.views, variant.feature_views, variant.mlssl_views)
    return CachedJoint(features, extractor, variant.seed)


def _epochs_done(job: Job, resumed: dict[str, Any] | None, frozen: str) -> int:
    if resumed is None:
        return 0
    if resumed["extractor"] != frozen:
        raise CheckpointError(
            f"The networks of stage 1 are others than when stage 2 of {job.run.folder} began. "
            f"Delete {job.run.last} to train stage 2 anew."
        )
    done: int = resumed["epochs_done"]
    return done


def _leaked(job: Job, extractor: Extractor) -> list[JointBatch]:
    """Joint features of a first pass in train mode, which moves the batch statistics.

    Source: the released code fills its memory bank before it calls `eval`.
    """
    variant = job.variant
    other = viewed(job.pool, variant, variant.mlssl_views)
    shown = StudyViews(other, job.cases, job.images, variant.seed)
    torch.manual_seed(variant.seed)
    order = EpochBatches(len(job.cases), variant.mlssl_batch_size, variant.seed, least=1)
    source = EncodedJoint(shown, extractor, "32-true", workers=job.workers)
    batches = source.shuffled(order).loader
    found = []
    for batch in batches:
        # One image alone may have no batch statistics.
        extractor.train(all(int(mask.sum()) != 1 for mask in batch.present.values()))
        with torch.no_grad():
            joint = extractor.joint(batch)
        found.append(JointBatch(joint, batch.labels, batch.index).to(extractor.device))
    extractor.eval()
    return found


def _write(job: Job, extractor: Extractor, module: MultiLabelSSL) -> None:
    record = {
        "stage": "mlssl",
        "epochs_done": job.variant.mlssl_epochs,
        "variant": job.variant.as_dict(),
        "data_hash": job.data_hash,
        "channels": {name: one.channels for name, one in job.pool.modalities.items()},
        "labels": {label.name: label.clusters for label in module.labels},
    }
    networks: dict[str, Tensor] = dict(extractor.state_dict())
    for part in ("relation", "prototypes"):
        state = getattr(module, part).state_dict()
        networks |= {f"{part}.{name}": value for name, value in state.items()}
    assigned = {"assigned": module.assigned.cpu(), "ids": [case.study.id for case in job.cases]}
    checkpoints.write_stage(job.run, job.run.mlssl, networks, record, assigned)

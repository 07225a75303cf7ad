"""Clusters against classes: do the pseudo-labels of stage 2 agree with the true labels?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sm3kit.evaluation.labelling.label_embedding import open_clusters
from sm3kit.evaluation.missing.fitting import filling_for
from sm3kit.evaluation.settings import Settings
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.agreement import LabelClusters, summarise_agreement
from sm3kit.nn.finite import check_features

ROWS = 4096  # Studies that the relation sees at a time.


def clusters(subject: Subject, settings: Settings) -> dict[str, Any]:
    """Agreement of the pseudo-labels with the true labels on a split: NMI, ARI and accuracy.

    The pseudo-label of a study is the cluster whose prototype its label embedding is nearest to, by
    the logits of stage 2, under the evaluation view; on every split alike. Of the training studies
    it may differ from what the last epoch had assigned, which saw random views.

    For diagnosis alone: nothing is trained or chosen, and the accuracy matches clusters with
    classes by the true labels of the split itself.

    Returns:
        {"clusters": as `summarise_agreement` gives it, of the labels that the run and the data have
        in common, "cases", "groups", "resamples"}.

    Raises:
        CheckpointError: the run has no stage 2.
        DataError: it has none for a label of the data, or no study of the split has a known label.
    """
    trained, pool = subject.trained, subject.pool
    embedding, prototypes = open_clusters(trained, pool, subject.branches.joint_width)
    cases = subject.measured(settings)
    joint = subject.joint(cases, filling_for(subject, settings))
    embeddings = _embed(embedding.to(subject.device), joint, list(prototypes))
    labels = {}
    for number, label in enumerate(pool.labels):
        if label.name in prototypes:
            heads = prototypes[label.name]
            nearest = (embeddings[label.name] @ heads.T).argmax(1).numpy()
            truth = np.array([case.labels[number] for case in cases])
            labels[label.name] = LabelClusters(label.classes, len(heads), truth, nearest)
    groups = np.array([str(case.group) for case in cases])
    return {
        "clusters": summarise_agreement(labels, groups, settings.resamples),
        "cases": len(cases),
        "groups": len(np.unique(groups)),
        "resamples": settings.resamples,
    }


@torch.no_grad()
def _embed(embedding: torch.nn.Module, joint: Tensor, names: list[str]) -> dict[str, Tensor]:
    """Label embeddings {label: (N, P)} of joint features (N, J), on the CPU.

    Raises:
        TrainingError: some are not finite.
    """
    weights = [*embedding.parameters()]
    device = weights[0].device if weights else joint.device
    embedding.eval()
    parts = [embedding(rows.to(device)).cpu() for rows in torch.split(joint, ROWS)]
    embeddings = dict(zip(names, torch.cat(parts).unbind(1), strict=True))
    check_features(embeddings, "as label embeddings")
    return embeddings

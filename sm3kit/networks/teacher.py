"""A frozen network that an objective learns from, for the images of one modality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from sm3kit.backbones.base import Backbone
from sm3kit.data.batches import StudyViews, eval_loader
from sm3kit.data.cases import Case
from sm3kit.data.pool import Pool
from sm3kit.modalities.base import Modality
from sm3kit.nn.host.values import columns_of
from sm3kit.nn.label_heads import LabelHeads
from sm3kit.nn.precision import full_precision
from sm3kit.nn.recomputation import parts_of
from sm3kit.objectives.base import Teaching

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

INVERSE_REGULARISATION = 0.01  # Of heads on standardised features, which are many.
NEVER = -30.0  # The logit of a class that no training study is of.


class Teacher(nn.Module):
    """Features, logits and last feature maps of a backbone that does not learn.

    Its heads, one per label, are fitted to its features by `fit_heads`.

    Args:
        backbone: the network.
        modality: how raw views are normalised for it.
        counts: {label: training studies of each class}; None for an objective that does not want
            labels. See `Teaching`.
        columns: which column of the labels of a batch each of these labels is.
        shows_maps: whether the objective wants maps.
    """

    def __init__(
        self,
        backbone: Backbone,
        modality: Modality,
        counts: Mapping[str, Sequence[int]] | None = None,
        columns: Sequence[int] = (),
        shows_maps: bool = True,
    ) -> None:
        super().__init__()
        self.backbone, self.modality, self.shows_maps = backbone, modality, shows_maps
        self.counts, self.columns = counts, list(columns)
        self.heads = LabelHeads(backbone.width, [len(sizes) for sizes in (counts or {}).values()])
        self.requires_grad_(False).eval()

    def teaching(self, student: Backbone) -> Teaching:
        """What an objective with this teacher is built for."""
        shapes = [network.map_shapes for network in (student, self.backbone)]
        maps = (shapes[0][-1], shapes[1][-1]) if self.shows_maps and all(shapes) else None
        return Teaching(self.backbone.width, self.counts, maps)

    def train(self, mode: bool = True) -> Teacher:
        """The teacher in eval mode, whatever is asked for."""
        super().train(False)
        return self

    def encode(self, raw: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Float32 features (B, D) and maps [(B, C, H, W)] * L of raw views."""
        view = self.modality.normalise(raw)
        rows, maps = (
            self.backbone.features_and_maps(view) if self.shows_maps else (self.backbone(view), [])
        )
        return full_precision(rows), [full_precision(table) for table in maps]

    def _encode_in_parts(self, raw: Tensor, size: int) -> tuple[Tensor, list[Tensor]]:
        parts = [self.encode(raw[part]) for part in parts_of(len(raw), size)]
        maps = zip(*(own for _, own in parts), strict=True)
        return torch.cat([rows for rows, _ in parts]), [torch.cat(tables) for tables in maps]

    @torch.no_grad()
    def tell(self, views: Sequence[Tensor], labels: Tensor, micro_batch: int = 0) -> dict[str, Any]:
        """The keywords of an objective that wants a teacher, but for the maps of the student.

        Args:
            views: raw, [(B, C, S, S)] * V.
            labels: (B, all labels of the data), -1 where unknown.
            micro_batch: studies that it sees at a time; 0 is all.
        """
        encoded = [self._encode_in_parts(view, micro_batch) for view in views]
        told: dict[str, Any] = {"targets": [rows for rows, _ in encoded]}
        if self.shows_maps:
            told["target_maps"] = [maps[-1] for _, maps in encoded if maps]
        if self.counts is not None:
            told["labels"] = columns_of(labels, self.columns)
            with torch.autocast(labels.device.type, enabled=False):
                told["target_logits"] = [self.heads(rows) for rows, _ in encoded]
        return told

    def fit_heads(self, features: Tensor, labels: Tensor) -> None:
        """Fits a multinomial logistic regression per label, on standardised features.

        Args:
            features: (N, D) of the training studies.
            labels: (N, K), -1 where unknown.
        """
        # Every command that opens a run would wait a second for it.
        from sklearn.linear_model import LogisticRegression

        rows, known = features.double().cpu().numpy(), labels.cpu().numpy()
        mean, deviation = rows.mean(axis=0), rows.std(axis=0)
        deviation[deviation < 1e-8] = 1.0
        for label, head in enumerate(self.heads.heads):
            assert isinstance(head, nn.Linear)
            there = known[:, label] >= 0
            model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=1000)
            model.fit((rows[there] - mean) / deviation, known[there, label])
            weight, bias = _of_classes(model, head.out_features)
            weight = weight / deviation
            head.weight.data.copy_(torch.from_numpy(weight))
            head.bias.data.copy_(torch.from_numpy(bias - weight @ mean))


def _of_classes(model: LogisticRegression, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (C, D) and biases (C,) of all classes, of which the model saw some."""
    own, shift = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # The second one, against zero.
        own, shift = np.vstack([0 * own, own]), np.concatenate([0 * shift, shift])
    weight, bias = np.zeros((classes, own.shape[1])), np.full(classes, NEVER)
    weight[model.classes_], bias[model.classes_] = own, shift
    return weight, bias


def labels_to_teach(
    pool: Pool, cases: Sequence[Case], modality: str
) -> tuple[dict[str, list[int]], list[int]]:
    """The labels in which the training studies with a modality differ.

    Returns:
        {label: studies of each class}, and the columns of these labels.
    """
    counts, columns = {}, []
    for column, label in enumerate(pool.labels):
        sizes = Counter(case.labels[column] for case in cases if modality in case.images)
        own = [sizes[index] for index in range(len(label.classes))]
        if sum(size > 0 for size in own) > 1:
            counts[label.name] = own
            columns.append(column)
    return counts, columns


@torch.no_grad()
def fit_heads(
    shown: StudyViews,
    teachers: Iterable[tuple[str, Teacher]],
    device: torch.device,
    batch_size: int,
    workers: int,
) -> None:
    """Brings teachers to a device, and fits their heads to the evaluation view of each study.

    Args:
        shown: the training studies.
        teachers: modality and teacher.
        device: where they teach.
        batch_size: studies that are encoded at a time.
        workers: processes that prepare views.
    """
    every = [(modality, teacher.to(device)) for modality, teacher in teachers]
    every = [(modality, teacher) for modality, teacher in every if teacher.columns]
    if not every:
        return
    rows: list[list[tuple[Tensor, Tensor]]] = [[] for _ in every]
    for batch in eval_loader(shown, batch_size, list(shown.pool.modalities), workers):
        for (modality, teacher), own in zip(every, rows, strict=True):
            there = batch.present[modality]
            if there.any():
                features, _ = teacher.encode(batch.views[modality][0][there].to(device))
                own.append((features.cpu(), batch.labels[there][:, teacher.columns]))
    for (_, teacher), own in zip(every, rows, strict=True):
        if own:
            features, labels = map(torch.cat, zip(*own, strict=True))
            teacher.fit_heads(features, labels)

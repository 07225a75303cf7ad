"""SSD-KD, distillation from a frozen teacher, within one modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sm3kit.core import ranges
from sm3kit.core.errors import OptionError
from sm3kit.nn.distillation import (
    angles,
    gram_difference,
    own_anchors,
    relative_distances,
    rows_to_learn,
    similarities,
    soft_targets,
    weighted_cross_entropy,
)
from sm3kit.nn.host.values import column_of
from sm3kit.nn.label_heads import LabelHeads
from sm3kit.objectives.base import Features, Objective, Teaching, as_views


class SSDKD(Objective):
    """Learns what a frozen teacher says of an image, of its rotations, and of pairs of images.

    The first view is upright, the others are rotated. Beside the teacher it learns from labels,
    where there are any, which no other objective does.

    Source: Wang, Wang, Cai, Lee, Miao and Wang 2023, "SSD-KD: A self-supervised diverse knowledge
    distillation method for lightweight skin lesion classification using dermoscopic images",
    Medical Image Analysis 84, 102693, and its released code.
    Differs from the release: the second head of the teacher is trained alongside, by the term
    `ss_teacher`, and not before the student. The heads of the teacher are fitted to its frozen
    features. With several labels, their terms are averaged. A map is brought to the channels of the
    teacher alone, as Gram matrices have no height and width. Other images of the same patient or
    lesion are not to be told apart. AdamW instead of SGD.

    Args:
        width: D of the features.
        teaching: what is known of the teacher.
        teacher: who teaches: the folder of a run; a file `RUN/eval/finetune-….safetensors` of its
            fine-tuned networks; a model such as `timm/resnet50` with its ImageNet weights; or a
            weight file.
        teacher_backbone: the model that a weight file is for; empty means that of the student.
        ce: weight of the cross-entropy of the labels of upright views, by inverse class frequency.
        kd, kd_views: weight of the divergence from the class probabilities of the teacher, of
            upright and of rotated views.
        temperature: T of these.
        ss: weight of the divergence from how the teacher matches rotated views to images.
        ss_temperature: T of these.
        ss_keep: share of the rotated views that the teacher matches to another image and the student
            still learns from, the best of them.
        rkd_dist, rkd_angle: weight of the distances between images, and of the angles of three.
        gram: weight of the Gram matrices of the last feature maps.
    """

    wants_teacher: ClassVar[bool] = True
    wants_labels: ClassVar[bool] = True
    wants_maps: ClassVar[bool] = True
    wants_rotations: ClassVar[bool] = True

    def __init__(
        self,
        width: int,
        teaching: Teaching,
        *,
        teacher: str = "",
        teacher_backbone: str = "",
        ce: ranges.Amount = 0.1,
        kd: ranges.Amount = 0.9,
        kd_views: ranges.Amount = 2.7,
        temperature: ranges.Temperature = 4.0,
        ss: ranges.Amount = 10.0,
        ss_temperature: ranges.Temperature = 0.5,
        ss_keep: ranges.Share = 0.75,
        rkd_dist: ranges.Amount = 25.0,
        rkd_angle: ranges.Amount = 50.0,
        gram: ranges.Amount = 1000.0,
    ) -> None:
        super().__init__()
        self.weights = {"ce": ce, "kd": kd, "kd_views": kd_views, "ss": ss}
        self.weights |= {"ss_teacher": float(ss > 0)}
        self.weights |= {"rkd_dist": rkd_dist, "rkd_angle": rkd_angle, "gram": gram}
        self.temperature, self.ss_temperature, self.ss_keep = temperature, ss_temperature, ss_keep
        if not any(self.weights.values()):
            raise OptionError("The objective 'ssd_kd' has no term left: all its weights are zero.")
        self.counts = dict(teaching.counts or {}) if ce or kd or kd_views else {}
        self.heads = LabelHeads(width, [len(sizes) for sizes in self.counts.values()])
        if ss:
            self.matcher, self.target_matcher = _matcher(width), _matcher(teaching.width)
        self.has_maps = teaching.maps is not None and gram > 0
        if teaching.maps is not None and gram:
            own, others = (shape.channels for shape in teaching.maps)
            self.regressor = nn.Sequential(
                nn.Conv2d(own, others, 1), nn.BatchNorm2d(others), nn.ReLU()
            )
        self.notes = self._notes(teaching)

    def forward(
        self,
        features: Features,
        targets: Features | None = None,
        *,
        present: Mapping[str, Tensor] | None = None,
        group: Tensor | None = None,
        labels: Tensor | None = None,
        target_logits: Sequence[Sequence[Tensor]] = (),
        maps: Sequence[Tensor] = (),
        target_maps: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        """The weighted terms of views [(B, D)] * V, the first one upright; see the contract."""
        views, others = as_views(features), as_views(targets if targets is not None else features)
        terms: dict[str, Tensor] = {}
        if self.counts and labels is not None:
            terms |= self._of_labels(views, target_logits, labels)
        if self.weights["ss"]:
            terms |= self._of_matching(views, others, group)
        points, wanted = torch.cat(views), torch.cat(others)
        if self.weights["rkd_dist"]:
            terms["rkd_dist"] = F.smooth_l1_loss(
                relative_distances(points), relative_distances(wanted)
            )
        if self.weights["rkd_angle"]:
            terms["rkd_angle"] = F.smooth_l1_loss(angles(points), angles(wanted))
        if self.has_maps and maps:
            own = self.regressor(torch.cat(list(maps)))
            terms["gram"] = gram_difference(own, torch.cat(list(target_maps)))
        return {name: self.weights[name] * term for name, term in terms.items()}

    def _of_labels(
        self, views: Sequence[Tensor], target_logits: Sequence[Sequence[Tensor]], labels: Tensor
    ) -> dict[str, Tensor]:
        """The terms of labels and of the logits of the teacher, each a mean over the labels."""
        logits = [self.heads(view) for view in views]
        terms: dict[str, list[Tensor]] = {"ce": [], "kd": [], "kd_views": []}
        for label, counts in enumerate(self.counts.values()):
            own = [rows[label] for rows in logits]
            wanted = [rows[label] for rows in target_logits]
            column = column_of(labels, label)
            terms["ce"].append(weighted_cross_entropy(own[0], column, counts))
            terms["kd"].append(soft_targets(own[0], wanted[0], self.temperature))
            terms["kd_views"].append(
                soft_targets(torch.cat(own[1:]), torch.cat(wanted[1:]), self.temperature)
            )
        return {n: torch.stack(parts).mean() for n, parts in terms.items() if self.weights[n]}

    def _of_matching(
        self, views: Sequence[Tensor], others: Sequence[Tensor], group: Tensor | None
    ) -> dict[str, Tensor]:
        """How images are found again in their rotated views, by the student and by its teacher."""
        own, wanted = (
            similarities(rows[1:], rows[0], group)
            for rows in (
                self.matcher(torch.cat(list(views))).chunk(len(views)),
                self.target_matcher(torch.cat(list(others))).chunk(len(others)),
            )
        )
        told = wanted.detach()
        rows = rows_to_learn(told, self.ss_keep)
        ss = 0 * own.sum()  # The mean over no rows.
        if rows.any():
            ss = soft_targets(own[rows], told[rows], self.ss_temperature)
        return {"ss": ss, "ss_teacher": F.cross_entropy(wanted, own_anchors(wanted))}

    def _notes(self, teaching: Teaching) -> list[str]:
        notes = []
        if self.counts:
            names = ", ".join(self.counts)
            notes.append(f"ssd_kd learns from labels, unlike other pre-training: {names}.")
        elif self.weights["ce"] or self.weights["kd"] or self.weights["kd_views"]:
            notes.append(
                "ssd_kd leaves out its terms ce, kd and kd_views: no label has two classes among the "
                "training studies."
            )
        if teaching.maps is None and self.weights["gram"]:
            notes.append("ssd_kd leaves out its term gram: student or teacher has no feature maps.")
        return notes


def _matcher(width: int) -> nn.Module:
    """The head in whose space images are matched, as in the release."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

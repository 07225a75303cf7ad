"""All figures of a run, as far as it has what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.core.errors import SM3Error
from sm3kit.data.cases import Case
from sm3kit.evaluation.classifier import Classifier
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.predictions import LabelScores
from sm3kit.report import attention, spaces
from sm3kit.report.calibration import calibration_picture
from sm3kit.report.clusters import nmi_picture, size_picture
from sm3kit.report.confusion import confusion_picture
from sm3kit.report.embedding import FEWEST, embedding_picture, label_map, tsne
from sm3kit.report.gallery import Search, searches
from sm3kit.report.history import loss_picture, monitor_picture, rank_picture
from sm3kit.report.material import Material
from sm3kit.report.roc import roc_picture
from sm3kit.report.spaces import Space
from sm3kit.results.picture import Picture

Array = npt.NDArray[Any]
MOST = 1500


@dataclass
class Figures:
    """The figures of a run.

    Attributes:
        training: of the stages.
        labels: {label: figures}, in the order of the data.
        attention: between all labels.
        weights: attention (N, heads, K, K) and the labels, for an export; None without.
        searches: of pair matching.
        notes: what is left out and why, a sentence each.
    """

    training: list[Picture] = field(default_factory=list)
    labels: dict[str, list[Picture]] = field(default_factory=dict)
    attention: list[Picture] = field(default_factory=list)
    weights: tuple[Array, list[str]] | None = None
    searches: list[Search] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def pictures(self) -> list[Picture]:
        """All of them."""
        return [
            *self.training,
            *self.attention,
            *(picture for pictures in self.labels.values() for picture in pictures),
        ]

    def attempt(self, draw: Callable[[], None], what: str) -> None:
        """Draws, or notes what is missing."""
        try:
            draw()
        except SM3Error as error:
            self.notes.append(f"{what}: {error}")


def draw(material: Material, split: str, space: Space | None, *, images: bool) -> Figures:
    """Draws all figures of a run.

    Args:
        split: the studies of maps, attention and gallery.
        space: of the maps; None takes the joint feature, whose one map serves all labels.
        images: whether there is a gallery.
    """
    figures = Figures()
    rows = material.rows
    pictures = [
        loss_picture(rows, "mmssl"), monitor_picture(rows), rank_picture(rows),
        loss_picture(rows, "mlssl"), size_picture(rows), nmi_picture(rows),
    ]  # fmt: skip
    figures.training = [picture for picture in pictures if picture]
    subject = material.subject
    cases = _some(subject.pool.cases[split]) if subject else []
    if subject and cases:
        if subject.pool.labels:
            figures.attempt(lambda: _maps(figures, material, subject, cases, split, space), "Maps")
        if images and len(subject.pool.modalities) > 1:
            figures.attempt(lambda: figures.searches.extend(searches(subject, cases)), "Gallery")
    elif subject:
        figures.notes.append(f"The split {split} has no studies for maps and gallery.")
    figures.attempt(lambda: _scores(figures, material), "ROC, calibration and confusion")
    if subject and cases and subject.pool.labels:
        figures.attempt(lambda: _attention(figures, material, subject, cases), "Attention")
    return figures


def _some(cases: Sequence[Case]) -> list[Case]:
    """All cases, or a fixed sample of many."""
    if len(cases) <= MOST:
        return list(cases)
    chosen = np.random.default_rng(0).choice(len(cases), MOST, replace=False)
    return [cases[place] for place in sorted(chosen.tolist())]


def _maps(
    figures: Figures,
    material: Material,
    subject: Subject,
    cases: list[Case],
    split: str,
    space: Space | None,
) -> None:
    """A pair of maps for each label."""
    if len(cases) < FEWEST:
        figures.notes.append(f"Maps want {FEWEST} studies, and the split {split} has {len(cases)}.")
        return
    wanted: Space = space or "backbone"
    classifier = _classifier(material, subject) if wanted == "logits" else None
    moments = {"after": spaces.tables(subject, cases, wanted, classifier)}
    try:
        before = spaces.before_training(subject)
        own = _probed_before(material, before) if wanted == "logits" else None
        moments = {"before": spaces.tables(before, cases, wanted, own), **moments}
    except SM3Error as error:
        figures.notes.append(f"There is no map of before the training. {error}")
    groups = np.array([case.group for case in cases])
    cache, seed = subject.encoder.cache, subject.trained.variant.seed
    for number, label in enumerate(subject.pool.labels):
        truth = np.array([case.labels[number] for case in cases])
        maps = {
            moment: label_map(rows[label.name], tsne(rows[label.name], seed, cache), truth, groups)
            for moment, rows in moments.items()
        }
        picture = embedding_picture(label, truth, maps, spaces.TITLES[wanted], split)
        figures.labels.setdefault(label.name, []).append(picture)


def _probe(material: Material, subject: Subject) -> tuple[Any, Path] | None:
    """The record of a probe of these networks on their own data, and its weights."""
    for result in material.results:
        record, file = result.record, result.file.with_suffix(".safetensors")
        own = record["of"]["model"] == subject.trained.file_hash and not record["transfer"]
        honest = not (record["leaky"] or record.get("seen"))
        if record["protocol"] == "probe" and own and honest and file.is_file():
            return record, file
    return None


def _classifier(material: Material, subject: Subject) -> Classifier | None:
    kept = _probe(material, subject)
    return spaces.kept_classifier(subject, *kept) if kept else None


def _probed_before(material: Material, before: Subject) -> Classifier | None:
    kept = _probe(material, before)
    return spaces.train_probe(before, spaces.settings_from(kept[0])) if kept else None


def _attention(figures: Figures, material: Material, subject: Subject, cases: list[Case]) -> None:
    """Attention after the probe, if it trained the relation, else after stage 2."""
    if subject.embedding is None:
        return
    probe = _probe(material, subject)
    embedding, moment = subject.embedding, "after stage 2"
    if probe and probe[0]["scope"] == "relation":
        after_probe = spaces.kept_classifier(subject, *probe).embedding
        assert after_probe is not None
        embedding, moment = after_probe, "after the probe"
    weights = attention.attention_of(embedding, subject.joint(cases))
    if weights is None:
        relation = subject.trained.variant.relation
        figures.notes.append(f"The relation {relation} has no attention to show.")
        return
    labels = subject.pool.labels
    names = [label.name for label in labels]
    figures.weights = weights, names
    everyone = attention.attention_picture(weights, names, "attention", "all studies", moment)
    figures.attention = [everyone]
    for number, label in enumerate(labels):
        reported = label.classes.index(label.reported) if label.reported else None
        these = np.array([case.labels[number] == reported for case in cases])
        if not number and these.any():
            who = f"{label.name} {label.reported}"
            name = f"attention-{label.name}-{label.reported}"
            picture = attention.attention_picture(weights[these], names, name, who, moment)
            figures.attention.append(picture)
        row = attention.row_picture(weights, names, label.name, label.reported, these)
        figures.labels.setdefault(label.name, []).append(row)


def _scores(figures: Figures, material: Material) -> None:
    """ROC, calibration and confusion of each label, of the main result and those beside it."""
    main = material.main
    if main is None:
        return
    scores = main.predictions()
    beside = {main.record["protocol"]: scores.labels}
    for result in material.results:
        alike = ("split", "select", "data", "data_hash")
        same = result.labelled and all(result.record[k] == main.record[k] for k in alike)
        if same and result.record["protocol"] not in beside:
            beside[result.record["protocol"]] = result.predictions().labels
    for name, label in scores.labels.items():
        curves: dict[str, LabelScores] = {
            protocol: labels[name] for protocol, labels in beside.items() if name in labels
        }
        pictures = [
            roc_picture(name, curves, scores.min_positives),
            calibration_picture(name, label, main.title),
            confusion_picture(name, label, main.title),
        ]
        figures.labels.setdefault(name, []).extend(picture for picture in pictures if picture)

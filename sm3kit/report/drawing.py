"""All figures of a run, as far as it has what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from sm3kit.core.errors import SM3Error
from sm3kit.data.cases import Case
from sm3kit.evaluation.labelling.label_embedding import LabelEmbedding
from sm3kit.evaluation.subject import Subject
from sm3kit.metrics.predictions import LabelScores
from sm3kit.metrics.reporting import rare_classes
from sm3kit.report import spaces
from sm3kit.report.agreement import agreement_picture, read_agreement
from sm3kit.report.artists import Artists, Commission
from sm3kit.report.attention import attention_picture, row_picture
from sm3kit.report.calibration import calibration_picture
from sm3kit.report.clusters import nmi_picture, size_picture
from sm3kit.report.confusion import confusion_picture
from sm3kit.report.embedding import FEWEST, map_picture, tsne
from sm3kit.report.gallery import Search, searches
from sm3kit.report.history import (
    SPACES,
    alignment_picture,
    loss_picture,
    monitor_picture,
    rank_picture,
)
from sm3kit.report.material import Material
from sm3kit.report.roc import roc_picture
from sm3kit.report.spaces import Space
from sm3kit.results.picture import Picture, Rendering

Array = npt.NDArray[Any]
MOST = 1500


@dataclass
class Figures:
    """The figures of a run.

    Attributes:
        artists: who draws them.
        training: of the stages.
        labels: {label: figures}, in the order of the data.
        attention: between all labels.
        weights: attention (N, heads, K, K) and the labels, for an export; None without.
        searches: of pair matching.
        notes: what is left out and why, a sentence each.
    """

    artists: Artists
    training: list[Commission] = field(default_factory=list)
    labels: dict[str, list[Commission]] = field(default_factory=dict)
    attention: list[Commission] = field(default_factory=list)
    weights: tuple[Array, list[str]] | None = None
    searches: list[Search] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def pictures(self) -> list[Rendering]:
        """All of them, drawn."""
        everything = [*self.training, *self.attention, *chain(*self.labels.values())]
        return renderings(everything)

    def of_label(self, name: str, draw: Callable[..., Picture | None], *arguments: Any) -> None:
        """Has a figure of a label drawn."""
        self.labels.setdefault(name, []).append(self.artists.commission(draw, *arguments))

    def attempt(self, draw: Callable[[], None], what: str) -> None:
        """Draws, or notes what is missing."""
        try:
            draw()
        except SM3Error as error:
            self.notes.append(f"{what}: {error}")


def renderings(commissions: Iterable[Commission]) -> list[Rendering]:
    """Figures once they are drawn, less those that had nothing to draw."""
    return [picture for commission in commissions if (picture := commission.result())]


def draw_records(material: Material, artists: Artists) -> Figures:
    """Has all figures drawn that need neither networks nor studies."""
    figures, rows = Figures(artists), material.rows
    kinds: list[tuple[Callable[..., Picture | None], Any]] = [
        (loss_picture, (rows, "mmssl")), (monitor_picture, (rows,)), (alignment_picture, (rows,)),
        (loss_picture, (rows, "mlssl")), (size_picture, (rows,)), (nmi_picture, (rows,)),
    ]  # fmt: skip
    figures.training = [artists.commission(draw, *arguments) for draw, arguments in kinds]
    draw = partial(artists.commission, agreement_picture)
    read = partial(read_agreement, material.run.mlssl, rows)
    figures.attempt(lambda: figures.training.append(draw(read())), "Agreement of the pseudo-labels")
    figures.attempt(lambda: _scores(figures, material), "ROC, calibration and confusion")
    return figures


def draw_networks(
    figures: Figures, material: Material, split: str, space: Space | None, *, images: bool
) -> None:
    """Has the other figures drawn: ranks, maps, attention; and searches the pairs.

    Args:
        split: the studies of maps, attention and gallery.
        space: of the maps; None takes the joint feature, whose one map serves all labels.
        images: whether there is a gallery.
    """
    subject = material.subject
    before = None
    cases = _some(subject.pool.cases[split]) if subject else []
    if subject and (subject.pool.labels or len(subject.pool.modalities) > 1):
        try:
            before = spaces.before_training(subject)
        except SM3Error as error:
            figures.notes.append(f"Maps and ranks before the training are left out. {error}")
    _ranks(figures, material, before)
    if subject and cases:
        if subject.pool.labels:
            figures.attempt(
                lambda: _maps(figures, material, (before, subject), cases, split, space), "Maps"
            )
            figures.attempt(lambda: _attention(figures, material, subject, cases), "Attention")
        if images and len(subject.pool.modalities) > 1:
            figures.attempt(lambda: figures.searches.extend(searches(subject, cases)), "Gallery")
    elif subject:
        figures.notes.append(f"The split {split} has no studies for maps and gallery.")


def _ranks(figures: Figures, material: Material, before: Subject | None) -> None:
    """The ranks of validation pairs in each space, from those of the untrained networks."""
    if not any(name.startswith("rank/") for row in material.rows for name in row):
        return
    untrained: dict[str, Any] = {}
    measured = any(int(row["epoch"]) == 0 for row in material.rows)

    def rank_untrained() -> None:
        if before and before.pool.cases["val"] and not measured:
            pairs = before.embeddings(before.pool.cases["val"])
            untrained.update({space: pairs.mean_ranks(space) for space in SPACES.values()})

    figures.attempt(rank_untrained, "Ranks before the training")
    figures.training[3:3] = [
        figures.artists.commission(rank_picture, material.rows, space, untrained.get(space))
        for space in reversed(SPACES.values())
    ]


def _some(cases: Sequence[Case]) -> list[Case]:
    """All cases, or a fixed sample of many."""
    if len(cases) <= MOST:
        return list(cases)
    chosen = np.random.default_rng(0).choice(len(cases), MOST, replace=False)
    return [cases[place] for place in sorted(chosen.tolist())]


def _maps(
    figures: Figures,
    material: Material,
    subjects: tuple[Subject | None, Subject],
    cases: list[Case],
    split: str,
    space: Space | None,
) -> None:
    """A pair of maps for each label, of the networks before and after the training."""
    if len(cases) < FEWEST:
        figures.notes.append(f"Maps need {FEWEST} studies; the split {split} has {len(cases)}.")
        return
    wanted: Space = space or "backbone"
    before, subject = subjects
    probe = material.probe() if wanted == "logits" else None
    after = spaces.kept_probe(subject, *probe) if probe else None
    moments = {"after": spaces.tables(subject, cases, wanted, after)}
    if before:
        try:
            own = spaces.train_probe(before, spaces.settings_from(probe[0])) if probe else None
            moments = {"before": spaces.tables(before, cases, wanted, own), **moments}
        except SM3Error as error:
            figures.notes.append(f"The map before the training is left out. {error}")
    groups = np.array([case.group for case in cases])
    cache, seed = subject.encoder.cache, subject.trained.variant.seed
    for number, label in enumerate(subject.pool.labels):
        truth = np.array([case.labels[number] for case in cases])
        rows = {moment: table[label.name] for moment, table in moments.items()}
        placed = {moment: (one, tsne(one, seed, cache)) for moment, one in rows.items()}
        title = spaces.TITLES[wanted]
        figures.of_label(label.name, map_picture, label, truth, groups, placed, title, split)


def _attention(figures: Figures, material: Material, subject: Subject, cases: list[Case]) -> None:
    """Attention after the probe, if it trained the relation, else after stage 2."""
    if subject.embedding is None:
        return
    probe = material.probe()
    embedding, moment = subject.embedding, "after stage 2"
    if probe and probe[0]["scope"] == "relation":
        parts = spaces.kept_probe(subject, *probe).modules()
        embedding = next(part for part in parts if isinstance(part, LabelEmbedding))
        moment = "after the probe"
    weights = spaces.attention_of(embedding, subject.joint(cases))
    if weights is None:
        relation = subject.trained.variant.relation
        figures.notes.append(f"The relation {relation} has no attention to show.")
        return
    labels = subject.pool.labels
    names = [label.name for label in labels]
    figures.weights = weights, names
    draw = figures.artists.commission
    everyone = (weights, names, "attention", "all studies", moment)
    figures.attention = [draw(attention_picture, *everyone)]
    for number, label in enumerate(labels):
        reported = label.classes.index(label.reported) if label.reported else None
        these = np.array([case.labels[number] == reported for case in cases])
        if not number and these.any():
            who = f"{label.name} {label.reported}"
            name = f"attention-{label.name}-{label.reported}"
            more = draw(attention_picture, weights[these], names, name, who, moment)
            figures.attention.append(more)
        own = (weights, names, label.name, label.reported, these)
        figures.of_label(label.name, row_picture, *own)


def _scores(figures: Figures, material: Material) -> None:
    """ROC, calibration and confusion of each label, of the main result and those beside it."""
    main = material.main
    if main is None:
        return
    scores = main.predictions()
    beside = {main.measure: scores.labels}
    for result in material.results:
        alike = ("split", "select", "data", "data_hash", "dropped")
        same = result.labelled and all(result.record.get(k) == main.record.get(k) for k in alike)
        if same and result.measure not in beside:
            beside[result.measure] = result.predictions().labels
    for name, label in scores.labels.items():
        curves: dict[str, LabelScores] = {
            measure: labels[name] for measure, labels in beside.items() if name in labels
        }
        figures.of_label(name, roc_picture, name, curves, scores.min_positives)
        own = [label.reported_index] if label.reported else []
        interval = not rare_classes(label, scores.groups, own)
        calibration = partial(calibration_picture, interval=interval)
        figures.of_label(name, calibration, name, label, main.title)
        figures.of_label(name, confusion_picture, name, label, main.title)

"""The gallery of pair matching: a query, its true partner, the best matches, and the rank."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from sm3kit.data.cases import Case
from sm3kit.evaluation.subject import Subject
from sm3kit.networks.pair_spaces import Direction
from sm3kit.nn.unit_length import unit_length
from sm3kit.results.picture import COLOURS, Picture, look, sheet

Pixels = npt.NDArray[np.uint8]
BEST = 5
QUERIES = 6
SIDE = 88
QUALITY = 80


@dataclass(frozen=True)
class Query:
    """One search.

    Attributes:
        case: whose image is the query.
        rank: of the true partner, from 1; the middle rank among equals.
        best: the most similar cases, in order.
    """

    case: Case
    rank: float
    best: tuple[Case, ...]


@dataclass(frozen=True)
class Search:
    """Searches from one modality to another.

    Attributes:
        one, other: the modalities.
        space: "projection" or "backbone".
        queries: some of them, from the best rank to the worst.
        pairs: in the gallery.
        mean_rank: of all.
    """

    one: str
    other: str
    space: str
    queries: tuple[Query, ...]
    pairs: int
    mean_rank: float

    @property
    def direction(self) -> str:
        """Such as "derm → clinic"."""
        return f"{self.one} → {self.other}"

    @property
    def chance(self) -> float:
        """The mean rank that blind search would give."""
        return (self.pairs + 1) / 2


@dataclass(frozen=True)
class Thumbnail:
    """An image of a gallery.

    Attributes:
        source: its address inside the page.
        text: the same in words, for who cannot see it.
        study: the id of its case.
        partner: whether it is the true partner among the best matches.
    """

    source: str
    text: str
    study: str
    partner: bool


@torch.no_grad()
def searches(subject: Subject, cases: Sequence[Case], shown: int = QUERIES) -> list[Search]:
    """A search for each direction with two pairs or more; in projection space if there is one.

    The queries that are shown are at equal steps through all ranks, so that nobody chose them.

    Source: Wang et al. 2025, section 5.2.3, cosine similarity; its figure of matches tells no rule.
    """
    embeddings = subject.embeddings(cases)
    space = embeddings.spaces[-1]
    return [_search(way, space, cases, shown) for way in embeddings.directions(space)]


def _search(way: Direction, space: str, cases: Sequence[Case], shown: int) -> Search:
    pairs = [cases[place] for place in way.rows.tolist()]
    ranks = way.ranks()
    order = torch.argsort(ranks, stable=True)
    steps = np.unique(np.linspace(0, len(order) - 1, min(shown, len(order))).round().astype(int))
    chosen = order[torch.from_numpy(steps)]
    similarity = unit_length(way.queries[chosen]) @ unit_length(way.gallery).T
    best = similarity.argsort(dim=1, descending=True, stable=True)[:, :BEST]
    queries = [
        Query(pairs[place], float(ranks[place]), tuple(pairs[near] for near in row))
        for place, row in zip(chosen.tolist(), best.tolist(), strict=True)
    ]
    return Search(way.one, way.other, space, tuple(queries), len(pairs), float(ranks.mean()))


def thumbnail(subject: Subject, case: Case, modality: str, side: int = SIDE) -> Pixels:
    """The image of a case as its data set has it, (H, W, 3), at most `side` pixels long.

    One channel, or another number than three, becomes grey; values that are no bytes are
    stretched from their 1st to their 99th percentile; vectors are a strip.
    """
    reader = subject.pool.readers[case.source][modality]
    pixels = np.asarray(subject.images.get(case.eval_images()[modality], reader))
    if pixels.dtype != np.uint8:
        low, high = np.nanpercentile(pixels, [1, 99])
        scaled = (np.nan_to_num(pixels.astype(np.float64)) - low) / max(high - low, 1e-12)
        pixels = (255 * scaled.clip(0, 1)).astype(np.uint8)
    if pixels.shape[1:] == (1, 1):
        pixels = pixels.reshape(1, 1, -1).repeat(max(pixels.size // 4, 1), axis=1)
    if len(pixels) != 3:
        pixels = pixels.mean(0, keepdims=True).astype(np.uint8).repeat(3, axis=0)
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    scale = side / max(image.size)
    size = tuple(max(1, round(edge * scale)) for edge in image.size)
    way = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    return np.asarray(image.resize((size[0], size[1]), way))


def jpeg(pixels: Pixels) -> str:
    """Pixels as the address of an image inside a page; nothing but the pixels goes in."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


class Thumbnails:
    """The images of searches for a page; each is read and compressed once.

    Args:
        subject: whose studies are shown.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.sources: dict[tuple[int, str], str] = {}

    def of_search(self, search: Search) -> list[tuple[Query, list[Thumbnail]]]:
        """The images of each query, of its true partner, and of the best matches."""
        return [(query, self._of_query(search, query)) for query in search.queries]

    def _of_query(self, search: Search, query: Query) -> list[Thumbnail]:
        images = [(query.case, search.one, "query"), (query.case, search.other, "true partner")]
        for place, case in enumerate(query.best, 1):
            more = ", the true partner" if case is query.case else ""
            images.append((case, search.other, f"match {place}{more}"))
        return [
            Thumbnail(
                self._source(case, modality),
                f"{what}: {modality} of {case.study.id}",
                case.study.id,
                place > 1 and case is query.case,
            )
            for place, (case, modality, what) in enumerate(images)
        ]

    def _source(self, case: Case, modality: str) -> str:
        key = id(case), modality
        if key not in self.sources:
            self.sources[key] = jpeg(thumbnail(self.subject, case, modality))
        return self.sources[key]


@look()
def gallery_picture(subject: Subject, search: Search) -> Picture:
    """A search as one picture: a row for each query."""
    rows = len(search.queries)
    columns = 2 + max(len(query.best) for query in search.queries)
    figure, panels = sheet(1.15 * columns, 1.35 * rows + 0.3, rows, columns)
    heads = ["query", "true partner", *(f"{place + 1}." for place in range(columns - 2))]
    for row, query in enumerate(search.queries):
        line = panels[row * columns : (row + 1) * columns]
        images = [(query.case, search.one), (query.case, search.other)]
        images += [(case, search.other) for case in query.best]
        for panel in line:
            panel.set_xticks([])
            panel.set_yticks([])
            panel.spines[:].set_visible(False)
        for panel, (case, modality) in zip(line, images, strict=False):
            panel.imshow(thumbnail(subject, case, modality))
        for panel, case in zip(line[2:], query.best, strict=False):
            if case is query.case:
                panel.spines[:].set(visible=True, linewidth=3, color=COLOURS[0])
                panel.set_xlabel("partner", fontsize=9)
        line[0].set_xlabel(f"rank {query.rank:g}", fontsize=9)
    for panel, head in zip(panels, heads, strict=False):
        panel.set_title(head, fontsize=9)
    return Picture(
        f"gallery-{search.one}-{search.other}",
        f"Pair matching, {search.direction}",
        f"Thumbnails of {rows} searches. {_in_words(search)}.",
        f"{search.space[0].upper()}{search.space[1:]} space, cosine similarity among "
        f"{search.pairs} pairs, mean rank {search.mean_rank:.1f} (chance "
        f"{search.chance:g}). The queries are spread evenly from the best rank to the worst.",
        figure,
    )


def _in_words(search: Search) -> str:
    """The ranks of the queries in words."""
    return "Ranks of the true partners: " + ", ".join(f"{query.rank:g}" for query in search.queries)

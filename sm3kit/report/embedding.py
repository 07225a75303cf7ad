"""Figure 6: cases of each label before and after pre-training, as t-SNE maps with a number."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from sm3kit.datasets.base import LabelSpec
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.results.lettering import legend_of, line_count, text_height, visible, wrap
from sm3kit.results.picture import COLUMN, FAINT, TWO_COLUMNS, Picture, look, point_style, sheet

Array = npt.NDArray[Any]
PERPLEXITY = 30.0
FEWEST = 5
MOMENTS = {"before": "Before pre-training", "after": "After pre-training"}
NEIGHBOURS = 10
RASTER = 400  # More points than this are an image inside the SVG.


@dataclass(frozen=True)
class Purity:
    """Shares between 0 and 1; NaN where nothing can be told.

    Attributes:
        value: mean share of the neighbours that are of the own class.
        chance: the same for neighbours drawn blindly.
        cases: with a known class and a neighbour.
    """

    value: float
    chance: float
    cases: int


@dataclass(frozen=True)
class Map:
    """Cases of one label in a space and on a plane.

    Attributes:
        places: (N, 2).
        own: purity in the space itself.
        seen: purity on the plane.
    """

    places: Array
    own: Purity
    seen: Purity


def purity(rows: Array, truth: Array, groups: Array, neighbours: int = NEIGHBOURS) -> Purity:
    """The mean share of the nearest neighbours that are of a case's own class.

    Cases of one patient or lesion are no neighbours of each other, and cases of unknown class
    take no part. Of several at the same distance the first one counts.

    Args:
        rows: (N, D), compared by Euclidean distance.
        truth: (N,), the class, -1 where unknown.
        groups: (N,), the patient or lesion.
        neighbours: how many; fewer where there are not so many.
    """
    known = truth >= 0
    rows, truth, groups = rows[known].astype(float), truth[known], groups[known]
    if not len(rows):
        return Purity(float("nan"), float("nan"), 0)
    squares = (rows**2).sum(1)
    distance = squares[:, None] + squares - 2 * rows @ rows.T
    free = groups[:, None] != groups
    same = truth[:, None] == truth
    distance[~free] = np.inf
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :neighbours]
    there = np.take_along_axis(free, nearest, 1)
    hits = np.take_along_axis(same, nearest, 1) & there
    some = there.any(1)
    if not some.any():
        return Purity(float("nan"), float("nan"), 0)
    shares = hits[some].sum(1) / there[some].sum(1)
    blind = (same & free)[some].sum(1) / free[some].sum(1)
    return Purity(float(shares.mean()), float(blind.mean()), int(some.sum()))


def tsne(rows: Array, seed: int = 0, cache: FeatureCache | None = None) -> Array:
    """A t-SNE map (N, 2) of rows (N, D); perplexity 30, or a third of the rows if these are few.

    Source: van der Maaten and Hinton 2008, JMLR 9:2579; Wang et al. 2025, figure 6, which tells
    neither perplexity nor seed.

    Args:
        cache: where maps are kept; None computes.

    Raises:
        ValueError: fewer than five rows.
    """
    if len(rows) < FEWEST:
        raise ValueError(f"a map wants {FEWEST} cases, not {len(rows)}")
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    told = f"tsne {version('scikit-learn')} {rows.shape} {rows.dtype} {perplexity} {seed}"
    key = hashlib.blake2b(rows.tobytes() + told.encode(), digest_size=20).hexdigest()
    kept = cache.get(key) if cache else None
    if kept is None and np.ptp(rows, 0).max() == 0:
        return np.zeros((len(rows), 2), np.float32)  # All are in one place.
    if kept is None:
        from sklearn.manifold import TSNE  # It takes a second to load.

        network = TSNE(
            init="pca", learning_rate="auto", perplexity=perplexity, random_state=seed,
            n_iter_without_progress=50,
        )  # fmt: skip
        kept = network.fit_transform(rows).astype(np.float32)
        if cache:
            cache.put(key, kept)
    return np.asarray(kept)


def label_map(rows: Array, places: Array, truth: Array, groups: Array) -> Map:
    """A map with its two numbers."""
    return Map(places, purity(rows, truth, groups), purity(places, truth, groups))


def map_picture(
    label: LabelSpec,
    truth: Array,
    groups: Array,
    spaces: Mapping[str, tuple[Array, Array]],
    space: str,
    split: str,
) -> Picture:
    """The maps of a label beside each other, with the purities counted.

    Args:
        truth: (N,) class, -1 where unknown.
        groups: (N,) the patient or lesion.
        spaces: {"before", "after"} or one of these: rows (N, D) and their places (N, 2) on the map.
        space, split: in words.
    """
    maps = {moment: label_map(*rows, truth, groups) for moment, rows in spaces.items()}
    return embedding_picture(label, truth, maps, space, split)


@look()
def embedding_picture(
    label: LabelSpec, truth: Array, maps: Mapping[str, Map], space: str, split: str
) -> Picture:
    """The maps of a label beside each other.

    Args:
        truth: (N,) class, -1 where unknown.
        maps: {"before", "after"} or one of these.
        space: in words.
        split: in words.
    """
    width = COLUMN if len(maps) == 1 else TWO_COLUMNS
    room = width / len(maps) - 0.2
    unknown = ["unknown"] * bool((truth < 0).any())
    legend = legend_of([*unknown, *label.classes], width - 0.2)
    numbers = {moment: wrap(_numbers(plane), room) for moment, plane in maps.items()}
    lines = text_height(line_count(list(numbers.values())))
    margins = (0.08, 0.08, legend.height + 0.12, lines + text_height(1, 11) + 0.08)
    figure, panels = sheet(
        width, 3.6 + margins[2] + margins[3], 1, len(maps), margins=margins, gaps=(0.2, 0)
    )
    for panel, (moment, plane) in zip(panels, maps.items(), strict=True):
        _points(panel, plane.places, truth, label.classes)
        panel.set_title(MOMENTS[moment], y=1 + (lines + 0.04) / 3.6)
        panel.text(
            0, 1.01, numbers[moment], transform=panel.transAxes, fontsize=9, color=FAINT,
            va="bottom", linespacing=1.1,
        )  # fmt: skip
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(True)
        panel.spines[:].set_color("#bbbbbb")
    legend.draw(figure, panels[0].get_legend_handles_labels()[0], 0.1, legend.height + 0.04)
    purities = "; ".join(f"{moment} {_numbers(plane)}" for moment, plane in maps.items())
    return Picture(
        f"embedding-{label.name}",
        f"{label.name} before and after pre-training" if len(maps) > 1 else f"Map of {label.name}",
        f"t-SNE maps of {len(truth)} studies, coloured by the classes of {label.name}. {purities}.",
        f"t-SNE of the {space}, split {split}. Purity is the share of a study's {NEIGHBOURS} nearest "
        "neighbours that have its class, other studies of its patient left out: in the space itself "
        "and on the map; chance is its value for random neighbours. Distances between groups and "
        "their sizes have no meaning on such a map: rely on the purity in the space.",
        figure,
    )


def _points(panel: Axes, places: Array, truth: Array, classes: Sequence[str]) -> None:
    raster = len(places) > RASTER
    unknown = truth < 0
    if unknown.any():
        panel.scatter(
            places[unknown, 0],
            places[unknown, 1],
            s=9,
            color="#c4c4c4",
            linewidth=0,
            label="unknown",
            rasterized=raster,
        )
    for number, name in enumerate(classes):
        here = truth == number
        panel.scatter(
            places[here, 0], places[here, 1], s=26, linewidth=0.4, edgecolor="white", label=visible(name),
            rasterized=raster, **point_style(number),
        )  # fmt: skip


def _numbers(plane: Map) -> str:
    if not plane.own.cases:
        return "no class is known"
    return (
        f"purity {_percent(plane.own.value)} in the space, {_percent(plane.seen.value)} on the map, "
        f"chance {_percent(plane.own.chance)}"
    )


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"

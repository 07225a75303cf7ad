"""The attributes that are marks: dots and globules, streaks, vessels.

Each gives its cover of a frame, 0 to 1, (S, S), at the same place of the lesion in every view.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sm3kit.synthesis.frame import Field, Frame, Points
from sm3kit.synthesis.lesion import Lesion
from sm3kit.synthesis.surface import outline


def globules(lesion: Lesion, frame: Frame) -> Field:
    """Dots and globules: equal ones on an even lattice, or uneven ones crowded on one side."""
    rng = lesion.stream("DaG")
    if lesion.labels["DaG"] == "REG":
        step = rng.uniform(0.2, 0.25)
        rows = np.arange(-7, 8)
        x, y = np.meshgrid(rows * step, rows * step * 0.87)
        x = x + (rows[:, None] % 2) * step / 2
        places = np.stack([x.ravel(), y.ravel()], 1) + rng.normal(0, 0.018, (x.size, 2))
        radii = np.full(len(places), 0.26 * step)
    else:
        count = int(rng.integers(18, 34))
        side = rng.uniform(0, 2 * np.pi)
        centre = 0.4 * np.array([np.cos(side), np.sin(side)])
        places = centre + rng.normal(0, 0.38, (count, 2))
        radii = rng.uniform(0.02, 0.11, count)
    kept = np.hypot(*places.T) < 0.88 * outline(lesion, np.arctan2(places[:, 1], places[:, 0]))
    return frame.discs(places[kept], radii[kept])


def streaks(lesion: Lesion, frame: Frame) -> Field:
    """Streaks across the border: all around and equal, or on one part and unequal."""
    rng = lesion.stream("STR")
    if lesion.labels["STR"] == "REG":
        count = int(rng.integers(32, 44))
        angles = np.arange(count) * (2 * np.pi / count) + rng.normal(0, 0.02, count)
        lengths, inner = np.full(count, 0.17), np.full(count, 0.75)
    else:
        count = int(rng.integers(12, 20))
        angles = rng.uniform(0, 2 * np.pi) + rng.uniform(0, rng.uniform(1.1, 2.0), count)
        lengths, inner = rng.uniform(0.06, 0.28, count), rng.uniform(0.65, 0.9, count)
    border = outline(lesion, angles)
    lean = angles + rng.normal(0, 0.02 if lesion.labels["STR"] == "REG" else 0.12, count)
    start, end = _polar(border * inner, angles), _polar(border + lengths, lean)
    # Thicker at the foot, so that a streak tapers.
    foot = frame.strokes(list(np.stack([start, 0.55 * start + 0.45 * end], 1)), 0.048)
    return np.maximum(foot, frame.strokes(list(np.stack([start, end], 1)), 0.027))


def vessels(lesion: Lesion, frame: Frame) -> Field:
    """Vessels, in the form that the lesion has."""
    lines, width = VESSELS[lesion.form("VS")](lesion.stream("VS"))
    return frame.strokes(lines, width)


def cysts(lesion: Lesion, frame: Frame) -> Field:
    """Milia-like cysts of a seborrhoeic keratosis: small bright dots."""
    rng = lesion.stream("cysts")
    places = np.stack([_anywhere(rng, 0.8) for _ in range(int(rng.integers(8, 16)))])
    return frame.discs(places, rng.uniform(0.035, 0.07, len(places)))


def _arborizing(rng: np.random.Generator) -> tuple[list[Points], float]:
    """Trunks from the rim to the middle, with branches."""
    lines = []
    for _ in range(int(rng.integers(2, 4))):
        angle = rng.uniform(0, 2 * np.pi)
        trunk = _walk(rng, _polar(0.95, angle), angle + np.pi + rng.normal(0, 0.3), 1.3, 0.25)
        lines.append(trunk)
        for place in rng.integers(2, 9, 4):
            side = rng.choice([-0.9, 0.9])
            way = np.arctan2(*(trunk[place + 1] - trunk[place])[::-1]) + side
            lines.append(_walk(rng, trunk[place], way, rng.uniform(0.25, 0.55), 0.25))
    return lines, 0.042


def _comma(rng: np.random.Generator) -> tuple[list[Points], float]:
    """Short thick arcs."""
    lines = []
    for _ in range(int(rng.integers(7, 12))):
        turn, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.09, 0.15)
        arc = turn + np.linspace(0, 2.4, 8)
        lines.append(_anywhere(rng, 0.65) + _polar(radius, arc))
    return lines, 0.055


def _hairpin(rng: np.random.Generator) -> tuple[list[Points], float]:
    """Loops that turn back on themselves."""
    lines = []
    for _ in range(int(rng.integers(7, 12))):
        along = np.concatenate([np.linspace(-0.2, 0.1, 4), [0.15], np.linspace(0.1, -0.2, 4)])
        apart = np.array([-1, -1, -1, -0.8, 0, 0.8, 1, 1, 1]) * 0.055
        lines.append(_anywhere(rng, 0.65) + _turn(rng, np.stack([along, apart], 1)))
    return lines, 0.038


def _within_regression(rng: np.random.Generator) -> tuple[list[Points], float]:
    """Fine short lines, close together."""
    centre = _anywhere(rng, 0.55)
    return [
        _walk(rng, centre + rng.normal(0, 0.2, 2), rng.uniform(0, 2 * np.pi), 0.28, 0.35)
        for _ in range(int(rng.integers(10, 15)))
    ], 0.034


def _wreath(rng: np.random.Generator) -> tuple[list[Points], float]:
    """Curved lines all along the rim."""
    count = int(rng.integers(9, 13))
    return [
        _polar(0.8 + 0.07 * np.sin(np.linspace(0, 6.3, 9)), start + np.linspace(0, 0.4, 9))
        for start in np.arange(count) * (2 * np.pi / count)
    ], 0.038


def _dots(rng: np.random.Generator) -> tuple[list[Points], float]:
    """Red dots, crowded on one side."""
    centre = _anywhere(rng, 0.4)
    places = centre + rng.normal(0, 0.32, (int(rng.integers(25, 40)), 2))
    return [np.stack([place, place + 0.01]) for place in places], 0.055


def _linear_irregular(rng: np.random.Generator) -> tuple[list[Points], float]:
    """Winding lines of unequal length."""
    return [
        _walk(rng, _anywhere(rng, 0.7), rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.8), 0.7)
        for _ in range(int(rng.integers(7, 12)))
    ], 0.038


VESSELS: dict[str, Callable[[np.random.Generator], tuple[list[Points], float]]] = {
    "arborizing": _arborizing,
    "comma": _comma,
    "hairpin": _hairpin,
    "within regression": _within_regression,
    "wreath": _wreath,
    "dotted": _dots,
    "linear irregular": _linear_irregular,
}


def _walk(
    rng: np.random.Generator, start: Points, way: float, length: float, winding: float
) -> Points:
    """A winding line of 12 points."""
    ways = way + np.cumsum(rng.normal(0, winding, 11))
    steps = length / 11 * np.stack([np.cos(ways), np.sin(ways)], 1)
    return np.concatenate([start[None], start + np.cumsum(steps, 0)])


def _anywhere(rng: np.random.Generator, reach: float) -> Points:
    return _polar(reach * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi))


def _polar(radius: float | Points, angle: float | Points) -> Points:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)


def _turn(rng: np.random.Generator, line: Points) -> Points:
    angle = rng.uniform(0, 2 * np.pi)
    cosine, sine = np.cos(angle), np.sin(angle)
    turned: Points = line @ np.array([[cosine, sine], [-sine, cosine]])
    return turned

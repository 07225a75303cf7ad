"""The attributes that are areas: pigmentation, blue-whitish veil, regression, pigment network.

Each gives its cover of a surface, 0 to 1, (S, S), at the same place of the lesion in every view.
"""

from __future__ import annotations

import numpy as np

from sm3kit.synthesis.frame import Field
from sm3kit.synthesis.surface import Surface


def blotches(surface: Surface) -> Field:
    """Dark pigment: one even area about the centre, or uneven ones anywhere."""
    lesion = surface.lesion
    rng = lesion.stream("PIG")
    local = lesion.form("PIG").startswith("localized")
    if lesion.labels["PIG"] == "REG":
        return surface.patch(rng, 0.05, 0.32 if local else 0.52, 0.3, ragged=0.05)
    cover = np.zeros_like(surface.x)
    for _ in range(1 if local else int(rng.integers(2, 5))):
        spot = surface.patch(rng, rng.uniform(0.35, 0.8), rng.uniform(0.2, 0.38), 0.1)
        cover = np.maximum(cover, spot)
    return cover


def veil(surface: Surface) -> Field:
    """The blue-whitish veil: one structureless area, mostly off the centre."""
    rng = surface.lesion.stream("BWV")
    cover = surface.patch(rng, rng.uniform(0.1, 0.5), rng.uniform(0.42, 0.62), 0.35, ragged=0.2)
    cover *= np.float32(0.88) + np.float32(0.12) * surface.cloud(rng, 3.0)
    return cover


def scars(surface: Surface) -> Field:
    """White areas of regression: paler than the skin around."""
    rng = surface.lesion.stream("RS white")
    return surface.patch(rng, rng.uniform(0.4, 0.7), rng.uniform(0.33, 0.46), 0.28)


def peppering(surface: Surface) -> Field:
    """Blue-grey areas of regression: a haze with fine grains."""
    rng = surface.lesion.stream("RS blue")
    haze = surface.patch(rng, rng.uniform(0.35, 0.6), rng.uniform(0.42, 0.55), 0.2, ragged=0.2)
    return haze * np.clip(0.6 + 0.6 * surface.cloud(rng, 11.0), 0, 1)


def ulcer(surface: Surface) -> Field:
    """The crusted ulcer of many basal cell carcinomas."""
    rng = surface.lesion.stream("ulcer")
    cover = surface.patch(rng, rng.uniform(0, 0.4), rng.uniform(0.15, 0.3), 0.12)
    return cover * np.float32(rng.random() < 0.6)


def network(surface: Surface) -> Field:
    """The pigment network: a thin even honeycomb, or a thick broken one."""
    lesion = surface.lesion
    rng = lesion.stream("PN")
    period, turn = rng.uniform(0.17, 0.21), rng.uniform(0, np.pi)
    typical = lesion.labels["PN"] == "TYP"
    warp = np.float32((0.14 if typical else 0.42) * period)
    x = surface.x + warp * surface.cloud(rng, 2.5)
    y = surface.y + warp * surface.cloud(rng, 2.5)
    waves: Field = np.zeros_like(x)
    for angle in turn + np.arange(3) * (2 * np.pi / 3):
        step = 2 * np.pi / period
        waves += np.cos(np.float32(step * np.cos(angle)) * x + np.float32(step * np.sin(angle)) * y)
    if typical:
        lines: Field = np.clip((-waves - 0.35) * 1.3, 0, 1)
        lines *= np.clip(surface.depth * 3.5, 0, 1)
        return lines
    width = np.float32(0.15) + np.float32(1.1) * surface.cloud(rng, 1.6)
    lines = np.clip((width - waves) * 1.1, 0, 1)
    lines *= np.clip(0.75 + 1.2 * surface.cloud(rng, 1.1), 0, 1)
    return lines * surface.inside(0.08)

"""The dermoscopic picture of a lesion: magnified, sharp, in even polarised light."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sm3kit.synthesis import areas, artefacts, marks
from sm3kit.synthesis.frame import Field, Frame
from sm3kit.synthesis.lesion import Lesion
from sm3kit.synthesis.surface import Surface, blend


def dermoscopic(lesion: Lesion, size: int) -> npt.NDArray[np.uint8]:
    """The picture, (S, S, 3), RGB.

    Args:
        lesion: what is seen; the same lesion always gives the same picture.
        size: side S, in pixels; 32 or more to see the attributes.
    """
    rng = lesion.stream("dermoscopic")
    x, y = 0.5 + rng.normal(0, 0.025, 2)
    radius = rng.uniform(0.31, 0.36) * lesion.extent**0.4
    frame = Frame(size, (float(x), float(y)), float(radius), float(rng.uniform(-np.pi, np.pi)))
    surface = Surface(lesion, frame)
    picture = _skin(surface, rng)
    _body(picture, surface)
    _attributes(picture, surface)
    return _lens(picture, lesion, rng)


def _skin(surface: Surface, rng: np.random.Generator) -> Field:
    shade = 1 + 0.03 * surface.cloud(rng, 0.5) + 0.025 * surface.cloud(rng, 6.0)
    return shade * np.array(surface.lesion.skin, np.float32)[:, None, None]


def _body(picture: Field, surface: Surface) -> None:
    """The lesion's own colours, without attributes."""
    lesion = surface.lesion
    cover = surface.inside(0.16)
    blend(picture, cover * np.float32(0.72), lesion.rim)
    blend(picture, cover * np.clip(1.15 - 1.25 * surface.rho, 0, 0.85), lesion.centre)
    rng = lesion.stream("body")
    mixed = np.clip(1.6 * surface.cloud(rng, 1.1) - 0.25, 0, 1) * np.float32(lesion.disorder)
    blend(picture, mixed * cover * np.float32(0.75), lesion.second)
    picture *= 1 + 0.07 * (surface.cloud(rng, 4.0) + surface.cloud(rng, 10.0)) * cover
    if lesion.labels["DIAG"] == "BCC":
        blend(picture, areas.ulcer(surface) * np.float32(0.8), (120.0, 40.0, 30.0))
    elif lesion.labels["DIAG"] == "SK":
        blend(picture, marks.cysts(lesion, surface.frame), (238.0, 222.0, 190.0))


def _attributes(picture: Field, surface: Surface) -> None:
    """All attributes that the lesion has, the deepest last as they hide the others."""
    lesion, frame = surface.lesion, surface.frame
    dark = tuple(0.5 * np.array(lesion.centre))
    has = {name for name, value in lesion.labels.items() if value != "ABS"}
    if "PIG" in has:
        blend(picture, areas.blotches(surface) * np.float32(0.72), (46.0, 30.0, 25.0))
    if "PN" in has:
        strength = 0.6 if lesion.labels["PN"] == "TYP" else 0.9
        blend(picture, areas.network(surface) * np.float32(strength), dark)
    if "DaG" in has:
        blend(picture, marks.globules(lesion, frame) * np.float32(0.75), dark)
    if "STR" in has:
        blend(picture, marks.streaks(lesion, frame) * np.float32(0.78), dark)
    if "RS" in has:
        kind = lesion.form("RS")
        if kind != "blue areas":
            pale = tuple(0.5 * np.array(lesion.skin) + 0.5 * np.array([240, 218, 210]))
            blend(picture, areas.scars(surface) * np.float32(0.7), pale)
        if kind != "white areas":
            blend(picture, areas.peppering(surface) * np.float32(0.85), (132.0, 138.0, 156.0))
    if "BWV" in has:
        blend(picture, areas.veil(surface) * np.float32(0.8), (110.0, 124.0, 158.0))
    if "VS" in has:
        vessels = marks.vessels(lesion, frame)
        halo = cv2.GaussianBlur(vessels, (0, 0), frame.size * 0.025)
        blend(picture, np.minimum(halo, 0.5) * np.float32(0.7), (205.0, 96.0, 96.0))
        blend(picture, vessels * np.float32(0.85), (168.0, 44.0, 52.0))


def _lens(picture: Field, lesion: Lesion, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Things on the lens, colour balance and noise."""
    for channel in picture:
        cv2.GaussianBlur(channel, (0, 0), channel.shape[0] * 0.0045, dst=channel)
    hair, bubbles, ruler, vignette = rng.random(4)
    artefacts.hair(picture, rng, int(14 * lesion.hairiness) if hair < 0.5 else 0, 0.7, 0.005)
    if bubbles < 0.15:
        artefacts.bubbles(picture, rng)
    picture *= (rng.normal(1, 0.05) * rng.normal(1, 0.025, (3, 1, 1))).astype(np.float32)
    if ruler < 0.12:
        artefacts.ruler(picture, rng)
    if vignette < 0.15:
        artefacts.vignette(picture, rng)
    picture += 3 * rng.standard_normal(picture.shape[1:], dtype=np.float32)
    rounded = np.clip(picture, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(rounded.transpose(1, 2, 0))

"""The clinical picture of a lesion: a wider shot from the side, in the light of the room."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sm3kit.synthesis import areas, artefacts, marks
from sm3kit.synthesis.frame import Field, Frame
from sm3kit.synthesis.lesion import Lesion
from sm3kit.synthesis.surface import Surface, blend


def clinical(lesion: Lesion, size: int, away: float = 1.0) -> npt.NDArray[np.uint8]:
    """The picture, (S, S, 3), RGB.

    Args:
        lesion: what is seen; the same lesion always gives the same picture.
        size: side S, in pixels; 32 or more to see the lesion.
        away: distance of the camera; from twice as far, the lesion is half as large. Each distance
            is a photograph of its own, with other light.
    """
    rng = lesion.stream("clinical" if away == 1 else f"clinical {away:g}")
    x, y = 0.5 + rng.normal(0, 0.06, 2)
    radius = rng.uniform(0.16, 0.22) * lesion.extent / away
    turn = float(rng.uniform(-np.pi, np.pi))
    frame = Frame(size, (float(x), float(y)), float(radius), turn, float(rng.uniform(0.82, 1)))
    surface = Surface(lesion, frame, bend=0.07)
    picture = _skin(surface, rng, away)
    _body(picture, surface)
    _attributes(picture, surface)
    focus = size * rng.uniform(0.004, 0.011)
    for channel in picture:
        cv2.GaussianBlur(channel, (0, 0), float(focus), dst=channel)
    _light(picture, surface, rng)
    return _camera(picture, lesion, rng)


def _skin(surface: Surface, rng: np.random.Generator, away: float) -> Field:
    """Mottled skin with redness and freckles; from afar more of it is seen."""
    lesion, frame = surface.lesion, surface.frame
    shade = 1 + 0.05 * surface.cloud(rng, 0.4) + 0.03 * surface.cloud(rng, 3.0)
    picture: Field = shade * np.array(lesion.skin, np.float32)[:, None, None]
    blend(picture, np.clip(0.12 + 0.18 * surface.cloud(rng, 0.6), 0, 1), (190.0, 90.0, 80.0))
    count = int(rng.integers(0, 9) * away**2)
    if count:
        places, radii = rng.uniform(-3 * away, 3 * away, (count, 2)), rng.uniform(0.03, 0.1, count)
        freckle = tuple(0.62 * np.array(lesion.skin) * np.array([1, 0.92, 0.85]))
        blend(picture, frame.discs(places, radii) * np.float32(0.6), freckle)
    return picture


def _body(picture: Field, surface: Surface) -> None:
    """The lesion's own colours, duller than in dermoscopy."""
    lesion = surface.lesion
    cover = surface.inside(0.22)
    blend(picture, cover * np.float32(0.6), lesion.rim)
    blend(picture, cover * np.clip(1.1 - 1.2 * surface.rho, 0, 0.75), lesion.centre)
    rng = lesion.stream("body")
    mixed = np.clip(1.6 * surface.cloud(rng, 1.1) - 0.25, 0, 1) * np.float32(lesion.disorder)
    blend(picture, mixed * cover * np.float32(0.6), lesion.second)
    if lesion.labels["DIAG"] == "BCC":
        blend(picture, areas.ulcer(surface) * np.float32(0.7), (110.0, 45.0, 35.0))
    elif lesion.labels["DIAG"] == "SK":
        blend(picture, marks.cysts(lesion, surface.frame) * np.float32(0.4), (225.0, 205.0, 175.0))


def _attributes(picture: Field, surface: Surface) -> None:
    """What is left of the attributes to the naked eye."""
    lesion, frame = surface.lesion, surface.frame
    dark = tuple(0.5 * np.array(lesion.centre))
    has = {name for name, value in lesion.labels.items() if value != "ABS"}
    if "PIG" in has:
        blend(picture, areas.blotches(surface) * np.float32(0.6), (52.0, 38.0, 34.0))
    if "PN" in has:
        blend(picture, areas.network(surface) * np.float32(0.12), dark)
    if "DaG" in has:
        blend(picture, marks.globules(lesion, frame) * np.float32(0.35), dark)
    if "STR" in has:
        blend(picture, marks.streaks(lesion, frame) * np.float32(0.55), dark)
    if "RS" in has:
        kind = lesion.form("RS")
        if kind != "blue areas":
            blend(picture, areas.scars(surface) * np.float32(0.7), lesion.skin)
        if kind != "white areas":
            blend(picture, areas.peppering(surface) * np.float32(0.5), (112.0, 108.0, 116.0))
    if "BWV" in has:
        blend(picture, areas.veil(surface) * np.float32(0.65), (84.0, 90.0, 112.0))
    if "VS" in has:
        # Vessels are too fine to be seen one by one: they redden the lesion.
        redness = surface.inside(0.5) * np.float32(0.1)
        blend(picture, redness, (200.0, 70.0, 70.0))
        blend(picture, marks.vessels(lesion, frame) * np.float32(0.4), (170.0, 50.0, 55.0))


def _light(picture: Field, surface: Surface, rng: np.random.Generator) -> None:
    """Light from one side: a fall-off, a relief of skin and lesion, highlights."""
    size, height = picture.shape[1], surface.lesion.height
    angle = rng.uniform(0, 2 * np.pi)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    steps = np.linspace(-1, 1, size, dtype=np.float32)
    fall = np.float32(rng.uniform(0.03, 0.2)) * (cosine * steps[None, :] + sine * steps[:, None])
    # The relief: a dome for the lesion, furrows for the skin.
    grain = rng.standard_normal((size, size), dtype=np.float32)
    furrows = cv2.GaussianBlur(grain, (0, 0), size / 110) * np.float32(size / 110 * 0.5)
    dome = np.float32(2.2 * height) * np.sqrt(np.clip(surface.depth, 0, 1))
    relief = furrows + dome * np.float32(size * surface.frame.radius / 16)
    slope = cosine * cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=0.125)
    slope += sine * cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=0.125)
    picture *= np.clip(1 + fall + np.float32(0.55) * slope, 0.4, 1.5)
    shine = np.clip(slope - np.float32(rng.uniform(0.18, 0.3)), 0, 0.3) * np.float32(1.6)
    blend(picture, shine, (255.0, 250.0, 244.0))


def _camera(picture: Field, lesion: Lesion, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Hair, exposure, white balance and noise."""
    artefacts.hair(picture, rng, int(22 * lesion.hairiness), 0.3, 0.004)
    warmth = rng.normal(0, 0.045)
    balance = np.array([1 + warmth, 1.0, 1 - warmth]) * rng.normal(1, 0.02, 3)
    picture *= (rng.normal(0.97, 0.07) * balance).astype(np.float32)[:, None, None]
    picture += 4 * rng.standard_normal(picture.shape[1:], dtype=np.float32)
    rounded = np.clip(picture, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(rounded.transpose(1, 2, 0))

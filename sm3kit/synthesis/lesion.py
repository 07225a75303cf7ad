"""Synthetic lesions: what one is, before any picture of it is drawn."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sm3kit.synthesis import frequencies

LABELS = frequencies.LABELS

Colour = tuple[float, float, float]

# Skin from very light to very dark, RGB.
SKIN = np.array([(240, 208, 192), (226, 184, 160), (198, 148, 118), (158, 108, 80), (98, 66, 52)])

# How far asymmetry, ragged border and mixed colours go, low and high, per diagnosis class.
DISORDER = {
    "BCC": (0.2, 0.7),
    "NEV": (0.0, 0.55),
    "MEL": (0.3, 1.0),
    "MISC": (0.05, 0.6),
    "SK": (0.1, 0.6),
}

# Colour of the centre and of the rim, RGB, by diagnosis in words, else by diagnosis class.
PIGMENTS: dict[str, tuple[Colour, Colour]] = {
    "BCC": ((212, 138, 124), (198, 122, 112)),
    "NEV": ((105, 64, 42), (150, 100, 70)),
    "MEL": ((70, 44, 36), (118, 74, 55)),
    "MISC": ((140, 92, 72), (165, 118, 92)),
    "SK": ((122, 94, 70), (146, 112, 80)),
    "dermal nevus": ((165, 112, 90), (185, 128, 105)),
    "blue nevus": ((66, 78, 112), (92, 100, 125)),
    "reed or spitz nevus": ((58, 40, 34), (92, 60, 46)),
    "melanoma metastasis": ((72, 52, 66), (110, 70, 76)),
    "vascular lesion": ((138, 34, 52), (165, 58, 70)),
    "lentigo": ((158, 112, 80), (170, 124, 92)),
    "dermatofibroma": ((205, 165, 145), (160, 108, 86)),
    "melanosis": ((112, 78, 66), (140, 104, 88)),
}

# Height above the skin, mean, by diagnosis class: 0 flat, 1 nodular.
HEIGHT = {"BCC": 0.6, "NEV": 0.25, "MEL": 0.4, "MISC": 0.3, "SK": 0.6}


@dataclass(frozen=True)
class Lesion:
    """One lesion, the same in every picture of it.

    Attributes:
        seed, index: where its randomness comes from.
        diagnosis: in the words of Derm7pt, such as "clark nevus".
        labels: {label: class}, in the order of LABELS.
        forms: {attribute and class: form}, such as {"VS REG": "comma"}.
        outline: (amplitude, phase) of the border's waves 1, 2, ... around the circle, in radii.
        extent: radius, 1 is the mean of all lesions.
        height: 0 flat to 1 nodular.
        disorder: mixed colours and uneven parts, 0 to 1.
        tone: of the skin, 0 very light to 1 very dark.
        hairiness: of the skin, 0 to 1.
        skin, centre, rim, second: colours, RGB 0 to 255; `second` is mixed in by `disorder`.
    """

    seed: int
    index: int
    diagnosis: str
    labels: Mapping[str, str]
    forms: Mapping[str, str]
    outline: tuple[tuple[float, float], ...]
    extent: float
    height: float
    disorder: float
    tone: float
    hairiness: float
    skin: Colour
    centre: Colour
    rim: Colour
    second: Colour

    def stream(self, purpose: str) -> np.random.Generator:
        """Random numbers for one purpose; they depend on nothing else that is drawn."""
        return np.random.default_rng([self.seed, self.index, zlib.crc32(purpose.encode())])

    def form(self, attribute: str) -> str:
        """The form of an attribute in the words of Derm7pt; "absent" where it is not there."""
        value = self.labels[attribute]
        return "absent" if value == "ABS" else self.forms[f"{attribute} {value}"]


def lesion(seed: int, index: int) -> Lesion:
    """Lesion `index` of a seed, the same however many are drawn.

    Args:
        seed: 0 or more.
        index: 0 or more.
    """
    rng = np.random.default_rng([seed, index])
    diagnosis, labels, forms = frequencies.draw(rng)
    kind = labels["DIAG"]
    low, high = DISORDER[kind]
    asymmetry, border, disorder = rng.uniform(low, high, 3)
    tone = float(rng.beta(1.3, 3.5))
    centre, rim = PIGMENTS.get(diagnosis, PIGMENTS[kind])
    # One shift in brightness and hue for the whole lesion, a small one for each colour.
    shift = rng.normal(0, 16) + rng.normal(0, 1, 3) * np.array([7.0, 2.5, 6.0])
    return Lesion(
        seed=seed,
        index=index,
        diagnosis=diagnosis,
        labels=labels,
        forms=forms,
        outline=_outline(rng, asymmetry, border),
        extent=float(np.clip(rng.normal(1.1 if kind == "MEL" else 0.95, 0.18), 0.6, 1.45)),
        height=float(np.clip(rng.normal(HEIGHT[kind], 0.2), 0, 1)),
        disorder=float(disorder),
        tone=tone,
        hairiness=float(rng.beta(1, 3)),
        skin=_skin(rng, tone),
        centre=_colour(np.array(centre) + shift + rng.normal(0, 4, 3)),
        rim=_colour(np.array(rim) + shift + rng.normal(0, 4, 3)),
        second=_second(rng, kind, np.array(rim) + shift),
    )


def _outline(
    rng: np.random.Generator, asymmetry: float, border: float
) -> tuple[tuple[float, float], ...]:
    strength = np.array([0.0, 0.10, 0.09 * asymmetry, 0.05 * asymmetry] + [0.035 * border] * 5)
    strength[1] += 0.08 * asymmetry
    amplitudes = strength * rng.uniform(0.4, 1.4, len(strength))
    phases = rng.uniform(0, 2 * np.pi, len(strength))
    return tuple((float(a), float(p)) for a, p in zip(amplitudes, phases, strict=True))


def _skin(rng: np.random.Generator, tone: float) -> Colour:
    position = np.arange(len(SKIN))
    base = [np.interp(tone * (len(SKIN) - 1), position, SKIN[:, channel]) for channel in range(3)]
    return _colour(np.array(base) + rng.normal(0, 5) + rng.normal(0, 3, 3))


def _second(rng: np.random.Generator, kind: str, rim: np.ndarray) -> Colour:
    """The colour that mixes in: black, red or grey in melanoma, else a shade of the rim."""
    if kind == "MEL":
        return _colour(np.array([(34, 28, 30), (142, 70, 62), (128, 112, 112)])[rng.integers(3)])
    return _colour(rim + rng.choice([-32, 30]) + rng.normal(0, 8, 3))


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = np.clip(values, 18, 250)
    return float(red), float(green), float(blue)

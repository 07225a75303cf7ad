"""Windows of CT: which Hounsfield units are black and which are white."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sm3kit.api import OptionError
from sm3kit_volumes.volume import Voxels

# Centre and width in HU, as radiologists set them (radiopaedia.org/articles/windowing-ct).
PRESETS = {
    "abdomen": (50, 400),
    "bone": (400, 1800),
    "brain": (40, 80),
    "liver": (30, 150),
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "radiograph": (-500, 1000),  # Of means along an axis, most of which is air.
    "soft": (50, 400),
    "stroke": (40, 40),
    "subdural": (75, 215),
    "temporal_bone": (600, 2800),
}


@dataclass(frozen=True)
class Window:
    """A centre and a width in HU."""

    centre: float
    width: float

    def apply(self, hounsfield: Voxels) -> Voxels:
        """0 (black) to 1 (white), float32: the linear rule LINEAR_EXACT of DICOM PS3.3 C.11.2."""
        grey = (hounsfield - np.float32(self.centre)) / np.float32(self.width) + np.float32(0.5)
        shown: Voxels = np.clip(grey, 0, 1)
        return shown

    def jittered(self, amount: float, rng: np.random.Generator) -> Window:
        """Another window: its centre moved by a share of the width, its width times a factor."""
        shift, factor = rng.uniform(-amount, amount, size=2)
        return Window(self.centre + shift * self.width, self.width * (1 + factor))


def window(chosen: str | tuple[float, float]) -> Window:
    """The window of a name, or of `centre,width`.

    Raises:
        OptionError: it is neither.
    """
    if isinstance(chosen, str) and chosen in PRESETS:
        return Window(*PRESETS[chosen])
    try:
        centre, width = map(float, chosen.split(",") if isinstance(chosen, str) else chosen)
    except ValueError:
        centre, width = 0.0, 0.0
    if width <= 0:
        raise OptionError(
            f"The option 'window' must be a name or CENTRE,WIDTH in HU, such as -600,1500, not "
            f"{chosen!r}. Known: {', '.join(PRESETS)}."
        )
    return Window(centre, width)

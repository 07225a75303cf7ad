"""Ranges of numbers, declared where an option is: `Annotated[float, Range(above=0)]`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True)
class Range:
    """Which finite numbers an option takes; of a sequence, each of its numbers.

    Attributes:
        least, most: bounds that belong to it.
        above, below: bounds that do not.
        also: single numbers outside the bounds that have a meaning of their own.
        odd: whether a number has to be odd.
        rising: whether the numbers of a sequence have to be in order.
    """

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    also: tuple[float, ...] = ()
    odd: bool = False
    rising: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a value is within it; what is no number always is."""
        if isinstance(value, tuple):
            in_order = not self.rising or list(value) == sorted(value)
            return in_order and all(map(self.holds, value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        if value in self.also:
            return True
        return self._within(value) and (not self.odd or value % 2 == 1)

    def _within(self, value: float) -> bool:
        inside = self.least <= value <= self.most and self.above < value < self.below
        return inside and math.isfinite(value)

    def __str__(self) -> str:
        """The range in words: `from 0 to 1`, `above 0 and at most 1`, `0 or more, or -1`."""
        words = [self._bounds(), *(["odd"] if self.odd else [])]
        words += ["in order"] if self.rising else []
        words += [f"or {_plain(number)}" for number in self.also]
        return ", ".join(word for word in words if word)

    def _bounds(self) -> str:
        if math.isfinite(self.least) and math.isfinite(self.most):
            return f"from {_plain(self.least)} to {_plain(self.most)}"
        bounds = (
            ("{} or more", self.least),
            ("above {}", self.above),
            ("at most {}", self.most),
            ("below {}", self.below),
        )
        return " and ".join(text.format(_plain(x)) for text, x in bounds if math.isfinite(x))


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:g}"


# What has no range of its own: every finite number, and whole numbers that 64 bits hold.
FINITE = Range()
WHOLE = Range(-(2**63), 2**63 - 1)

# The ranges that many options share. Upper bounds keep a slip of the finger from taking all
# memory, or all of the year.
Count = Annotated[int, Range(1, 1_000_000)]
CountOrZero = Annotated[int, Range(0, 1_000_000)]
Width = Annotated[int, Range(1, 65_536)]
WidthOrAuto = Annotated[int, Range(0, 65_536)]
ViewCount = Annotated[int, Range(1, 64)]
ViewCountOrZero = Annotated[int, Range(0, 64)]
Channels = Annotated[int, Range(1, 64)]
ChannelsOrAuto = Annotated[int | None, Range(1, 64)]
Layers = Annotated[int, Range(1, 64)]
LayersOrNone = Annotated[int, Range(0, 64, also=(-1,))]
RankOrNone = Annotated[int, Range(0, 1024)]
Slices = Annotated[int, Range(1, 4096)]
SlicesOrAll = Annotated[int, Range(0, 4096)]
Iterations = Annotated[int, Range(1, 10_000)]
Restarts = Annotated[int, Range(1, 100)]
Border = Annotated[int, Range(0, 8192)]
OddKernel = Annotated[int, Range(1, 99, odd=True)]
ImageSize = Annotated[int, Range(8, 8192)]
Side = Annotated[int, Range(32, 8192)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Seeds = Annotated[tuple[int, ...], Range(0, 2**32 - 1)]
Share = Annotated[float, Range(0, 1)]
ShareAboveZero = Annotated[float, Range(above=0, most=1)]
ShareBelowOne = Annotated[float, Range(least=0, below=1)]
Amount = Annotated[float, Range(0, 1000)]
Positive = Annotated[float, Range(above=0, most=1000)]
Temperature = Annotated[float, Range(1e-6, 1000)]  # lightly takes none near zero.
Rate = Annotated[float, Range(above=0, most=100)]
Epsilon = Annotated[float, Range(above=0, most=1)]
Degrees = Annotated[float, Range(0, 180)]
Hue = Annotated[float, Range(0, 0.5)]
CropScale = Annotated[tuple[float, float], Range(above=0, most=1, rising=True)]
CropRatio = Annotated[tuple[float, float], Range(0.01, 100, rising=True)]
Sigmas = Annotated[tuple[float, float], Range(above=0, most=100, rising=True)]
Mean = Annotated[float, Range(-1e6, 1e6)]
Means = Annotated[tuple[float, ...], Range(-1e6, 1e6)]
Deviation = Annotated[float, Range(1e-6, 1e6)]
Deviations = Annotated[tuple[float, ...], Range(1e-6, 1e6)]

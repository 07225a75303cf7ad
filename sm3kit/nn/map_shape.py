"""What is known of a feature map before any image is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class MapShape:
    """A feature map (B, C, H, W) of views (B, ., S, S).

    Attributes:
        channels: C.
        stride: S / H, in pixels; H and W may differ by a pixel or two, as rounding and padding have
            it.
    """

    channels: int
    stride: int

    def of_views(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """(C, H, W) of the map of views (., S, S), as a backbone that rounds up gives it."""
        _, height, width = shape
        return self.channels, -(-height // self.stride), -(-width // self.stride)

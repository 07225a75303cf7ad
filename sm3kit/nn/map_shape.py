"""What is known of a feature map before any image is seen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MapShape:
    """A feature map (B, C, H, W) of views (B, ., S, S).

    Attributes:
        channels: C.
        stride: S / H, in pixels; H and W are rounded up or down where it does not divide S.
    """

    channels: int
    stride: int

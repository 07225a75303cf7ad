"""A view, and what Grad-CAM sees in it, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from sm3kit.core.files import whole_file
from sm3kit.deployment.statement import STATEMENT
from sm3kit.modalities.base import Image

# Even in lightness, and told apart with any kind of colour vision.
MAP = "viridis"


def write_picture(view: Image, heat: npt.NDArray[Any], title: str, path: Path) -> None:
    """Writes a PNG: the view, the view under its heat, and a bar that says what the colours mean.

    Args:
        view: (C, H, W), uint8 or float.
        heat: (H, W), from 0 to 1.

    Raises:
        SM3Error: the file cannot be written.
    """
    figure = Figure(figsize=(8, 4.2), dpi=120, layout="constrained")
    plain, over = figure.subplots(1, 2)
    shown = _visible(view)
    for axes, words in ((plain, "the image as the network sees it"), (over, "what speaks for it")):
        axes.imshow(shown, interpolation="nearest")
        axes.set_title(words, fontsize=9)
        axes.set_axis_off()
    layer = over.imshow(heat, cmap=MAP, vmin=0, vmax=1, alpha=0.55, interpolation="bilinear")
    bar = figure.colorbar(layer, ax=over, fraction=0.046, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["least", "", "most"], fontsize=8)
    bar.set_label("Grad-CAM, relative to this image", fontsize=8)
    figure.suptitle(title, fontsize=11)
    figure.supxlabel(STATEMENT, fontsize=6)
    with whole_file(path) as part:
        figure.savefig(part, format="png")


def _visible(view: Image) -> npt.NDArray[np.uint8]:
    """Pixels (H, W, 3): colour as it is, any other number of channels as the grey of their mean."""
    pixels = np.moveaxis(view, 0, -1)
    if pixels.shape[2] != 3:
        pixels = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2)
    if view.dtype == np.uint8:
        return pixels.astype(np.uint8)
    low, high = float(pixels.min()), float(pixels.max())
    scaled = 255 * (pixels - low) / max(high - low, 1e-12)
    return np.asarray(scaled.round(), np.uint8)

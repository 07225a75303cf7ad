"""Draws matched-*.webp of the README: python docs/draw_matches.py FEATURES.npz

FEATURES.npz is what `sm3kit embed RUN --split val --space projection --out FEATURES.npz` writes,
of a run on the built-in studies.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image

from sm3kit.datasets.synthetic import Synthetic

DOCS = Path(__file__).parent
SHARES = (0.25, 0.5, 0.75)  # Of the queries: one that is matched well, a middling one, a worse one.
NEAREST = 6
PARTNER = "#12a594"
TEXT = {"light": "#1f2328", "dark": "#e6edf3"}


@click.command()
@click.argument("features", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(features: Path) -> None:
    """Writes one picture for light pages and one for dark ones."""
    with np.load(features, allow_pickle=False) as file:
        ids = list(file["ids"])
        derm, clinic = (_unit(file[f"projection/{name}"]) for name in ("derm", "clinic"))
    order = np.argsort(-clinic @ derm.T, axis=1, kind="stable")
    ranks = (order == np.arange(len(ids))[:, None]).argmax(axis=1) + 1
    by_rank = np.argsort(ranks, kind="stable")
    queries = [int(by_rank[int(share * len(ids))]) for share in SHARES]
    images = {study.id: study.images for study in Synthetic().studies()}
    for theme, colour in TEXT.items():
        figure, axes = pyplot.subplots(len(queries), NEAREST + 2, figsize=(8.6, 3.6))
        for row, query in zip(axes, queries, strict=True):
            _show(row[0], images[ids[query]]["clinic"])
            for axis, place in zip(row[1:-1], order[query], strict=False):
                _show(axis, images[ids[place]]["derm"], partner=place == query)
            _say(row[-1], f"partner at\nrank {ranks[query]} of {len(ids)}", colour)
        axes[0][0].set_title("clinical image", fontsize=9, color=colour)
        axes[0][1].set_title("its nearest dermoscopic images", fontsize=9, color=colour, loc="left")
        figure.subplots_adjust(0.005, 0.005, 0.995, 0.93, wspace=0.06, hspace=0.06)
        figure.savefig(
            DOCS / f"matched-{theme}.webp", dpi=200, transparent=True, pil_kwargs={"quality": 85}
        )
        pyplot.close(figure)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows at unit length."""
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _show(axis: Axes, path: str | tuple[str, ...], partner: bool = False) -> None:
    """An image, framed if it is the partner."""
    with Image.open(str(path)) as image:
        axis.imshow(np.asarray(image))
    axis.set(xticks=[], yticks=[])
    for side in axis.spines.values():
        side.set(visible=partner, color=PARTNER, linewidth=4)


def _say(axis: Axes, text: str, colour: str) -> None:
    """A text in place of an image."""
    axis.set_axis_off()
    axis.text(0.08, 0.5, text, color=colour, fontsize=9, va="center", transform=axis.transAxes)


if __name__ == "__main__":
    main()

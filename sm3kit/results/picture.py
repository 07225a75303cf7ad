"""Figures: one look for all, and what belongs to each, its title, its caption and its text."""

from __future__ import annotations

import base64
import io
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from sm3kit.core.files import whole_file
from sm3kit.core.names import file_stem

# Okabe and Ito 2008, Color Universal Design, without yellow, which vanishes on white; ordered so
# that neighbours differ in brightness, too.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#009E73", "#D55E00", "#56B4E9", "#CC79A7")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "h")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (6, 2)),
    (0, (1, 1.5)),
    (0, (6, 2, 1, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
)
HATCHES = ("", "///", "xx", "\\\\\\\\\\\\", "--", "||", "++")
FAINT = "#6b6b6b"
DOTS, CSS_DOTS = 144, 96  # Of a PNG and of a page, per inch.
# Widths of figures in inches: one, two or all three columns of a page.
COLUMN, TWO_COLUMNS, PAGE = 4.03, 8.31, 12.59

LOOK: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # Placed automatically, titles take a quarter of the drawing.
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#dddddd",
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "sm3kit",
}


@contextmanager
def look() -> Iterator[None]:
    """A block in which figures have this look, whatever the user has set."""
    with rc_context():
        rcdefaults()
        rcParams.update(LOOK)
        yield


def sheet(
    width: float,
    height: float,
    rows: int = 1,
    columns: int = 1,
    margins: tuple[float, float, float, float] | None = None,
    gaps: tuple[float, float] = (0.0, 0.0),
    **more: Any,
) -> tuple[Figure, list[Axes]]:
    """A figure of some inches with its panels, row by row; no window and no global state.

    Args:
        margins: left, right, bottom and top in inches; None fits them to the texts, which takes
            as long as the drawing.
        gaps: between columns and between rows, in inches, beside margins.
        more: as `matplotlib.figure.Figure.subplots` takes it.
    """
    figure = Figure(figsize=(width, height), layout=None if margins else "constrained")
    panels = figure.subplots(rows, columns, squeeze=False, **more)
    if margins:
        left, right, bottom, top = margins
        wide = (width - left - right - gaps[0] * (columns - 1)) / columns
        high = (height - bottom - top - gaps[1] * (rows - 1)) / rows
        figure.subplots_adjust(
            left / width,
            bottom / height,
            1 - right / width,
            1 - top / height,
            wspace=gaps[0] / wide,
            hspace=gaps[1] / high,
        )
    return figure, list(panels.ravel())


def line_style(place: int) -> dict[str, Any]:
    """Colour and dashes of the n-th line; after all colours have passed the dashes go on."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[(place + place // len(COLOURS)) % len(DASHES)],
    }


def point_style(place: int) -> dict[str, Any]:
    """Colour and marker of the n-th class, for `scatter`."""
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


@dataclass(frozen=True)
class Rendering:
    """One figure as it stands in files and pages.

    Attributes:
        name, title, alt, caption: as of the picture.
        width, height: in inches.
        svg: equal figures give equal bytes, and text stays text.
        png: empty if it was not asked for.
    """

    name: str
    title: str
    alt: str
    caption: str
    width: float
    height: float
    svg: bytes
    png: bytes = b""

    def file_name(self, ending: str, taken: Container[str] = ()) -> str:
        """The name of its file, such as `curve-lr.svg`, unlike the `taken` stems."""
        return f"{file_stem(self.name, taken)}.{ending}"

    def save(self, folder: Path, taken: Container[str] = ()) -> list[Path]:
        """Writes `<name>.svg` and, if there is one, `<name>.png` into a folder.

        Args:
            taken: stems of other figures, in lower case.
        """
        files = []
        for ending, content in (("svg", self.svg), ("png", self.png)):
            if content:
                files.append(folder / self.file_name(ending, taken))
                with whole_file(files[-1]) as part:
                    part.write_bytes(content)
        return files

    def pixels(self) -> tuple[int, int]:
        """Width and height in pixels of a page."""
        return round(CSS_DOTS * self.width), round(CSS_DOTS * self.height)

    def columns(self) -> int:
        """How many of the three columns of a page it takes."""
        return 1 + sum(self.width > limit for limit in (COLUMN, TWO_COLUMNS))

    def source(self) -> str:
        """The figure as the address of an image inside a page."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode()}"


@dataclass(frozen=True, eq=False)
class Picture:
    """One figure that can still be changed.

    Attributes:
        name: of its files, without the ending; a dash takes the place of what a file cannot hold.
        title: what it shows.
        alt: the same in words, with its main numbers, for who cannot see it.
        caption: how it was made, and how to read it.
        figure: drawn inside `look`.
    """

    name: str
    title: str
    alt: str
    caption: str
    figure: Figure

    def render(self, *, png: bool = False) -> Rendering:
        """The figure as SVG, and as PNG if that is asked for."""
        width, height = self.figure.get_size_inches().tolist()
        texts = (self.name, self.title, self.alt, self.caption)
        return Rendering(*texts, width, height, self.svg(), self.png() if png else b"")

    def save(self, folder: Path, taken: Container[str] = ()) -> list[Path]:
        """Writes `<name>.svg` and `<name>.png` into a folder; `taken` as in `Rendering.save`."""
        return self.render(png=True).save(folder, taken)

    def svg(self) -> bytes:
        """The figure as SVG."""
        content = io.BytesIO()
        with look():
            # `savefig` would draw everything twice.
            canvas: Any = FigureCanvasSVG(self.figure)
            about = {"Title": self.title, "Date": None, "Creator": None}
            canvas.print_svg(content, metadata=about)
        return content.getvalue()

    def png(self, dots: int = DOTS) -> bytes:
        """The figure as PNG with `dots` per inch."""
        content = io.BytesIO()
        with look():
            self.figure.savefig(content, format="png", dpi=dots, metadata={"Software": None})
        return content.getvalue()

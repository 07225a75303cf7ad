"""A figure with all that belongs to it: name, title, text for who cannot see it, caption."""

from __future__ import annotations

import base64
import io
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from sm3kit.core.files import whole_file
from sm3kit.core.names import file_stem
from sm3kit.report.style import look

DOTS = 144


@dataclass(frozen=True, eq=False)
class Picture:
    """One figure.

    Attributes:
        name: of its files, without the ending; a dash takes the place of what a file cannot hold.
        title: what it shows.
        told: the same in words, with its main numbers, for who cannot see it.
        caption: how it was made, and how to read it.
        figure: drawn inside `sm3kit.report.style.look`.
    """

    name: str
    title: str
    told: str
    caption: str
    figure: Figure

    def svg(self) -> bytes:
        """The figure as SVG; equal figures give equal bytes, and text stays text."""
        found = io.BytesIO()
        with look():
            # `savefig` would draw everything twice.
            canvas: Any = FigureCanvasSVG(self.figure)
            canvas.print_svg(found, metadata={"Date": None, "Creator": None})
        return found.getvalue()

    def png(self, dots: int = DOTS) -> bytes:
        """The figure as PNG with `dots` per inch."""
        found = io.BytesIO()
        with look():
            self.figure.savefig(found, format="png", dpi=dots, metadata={"Software": None})
        return found.getvalue()

    def save(self, folder: Path, taken: Container[str] = ()) -> list[Path]:
        """Writes `<name>.svg` and `<name>.png` into a folder, and gives both.

        Args:
            taken: stems of other figures, in lower case.
        """
        name = file_stem(self.name, taken)
        files = []
        for ending, content in (("svg", self.svg()), ("png", self.png())):
            files.append(folder / f"{name}.{ending}")
            with whole_file(files[-1]) as part:
                part.write_bytes(content)
        return files

    def source(self) -> str:
        """The figure as the address of an image inside a page."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg()).decode()}"

"""The model of every table of results: its sections, and the formats it is written in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sm3kit.core.errors import UnknownName
from sm3kit.core.names import unknown
from sm3kit.results.section import Section


@dataclass(frozen=True)
class Table:
    """The sections of a grid, or of one evaluation.

    Args:
        title: of the whole.
        sections: at least one for each protocol.
        axes: {axis: values} of a study of hyper-parameters; else empty.
        baseline: the row that the others are compared with, or empty.
    """

    title: str
    sections: tuple[Section, ...]
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    baseline: str = ""

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that have a section, in order."""
        return tuple(dict.fromkeys(section.protocol for section in self.sections))

    def of(self, protocol: str = "") -> Section:
        """The main section of a protocol, by default of the first.

        Raises:
            UnknownName: the table has no such protocol.
        """
        wanted = protocol or self.protocols[0]
        if wanted not in self.protocols:
            raise UnknownName(unknown("protocol in this table", wanted, self.protocols))
        return next(section for section in self.sections if section.protocol == wanted)

    def texts(self, protocol: str = "") -> list[list[str]]:
        """Heads, then lines, of the main section of a protocol; see `Section.texts`."""
        return self.of(protocol).texts()

    @property
    def main(self) -> list[Section]:
        """The sections for a terminal: means, and every space with all its pairs."""
        return [
            section
            for section in self.sections
            if section.part != "labels" and not section.part.endswith("without duplicates")
        ]

    def to_markdown(self) -> str:
        """All sections in the Markdown of GitHub."""
        from sm3kit.results.formats.markdown import markdown

        return markdown(self)

    def to_latex(self) -> str:
        """All sections for LaTeX; the document needs the package booktabs."""
        from sm3kit.results.formats.latex import latex

        return latex(self)

    def to_html(self) -> str:
        """All sections as a piece of HTML, without the frame of a page."""
        from sm3kit.results.html import fragment

        return fragment(self)

    def to_dataframe(self, protocol: str = "") -> Any:
        """The main section of a protocol as a pandas.DataFrame, with a row for each line.

        Args:
            protocol: the first one of the table by default.

        Raises:
            SM3Error: pandas is not installed.
        """
        from sm3kit.results.formats.frames import dataframe

        return dataframe(self.of(protocol))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.to_html()

    def __str__(self) -> str:
        """The main sections as plain text of aligned columns."""
        from sm3kit.results.formats.plain import plain

        return "\n\n".join(plain(section) for section in self.main)

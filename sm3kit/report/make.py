"""From a run folder, or that of a grid, to a page and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sm3kit.core.errors import CheckpointError
from sm3kit.core.files import whole_file
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.grids.folder import Folder
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.report.artists import Artists
from sm3kit.report.attention import export_attention
from sm3kit.report.drawing import Figures, draw_networks, draw_records
from sm3kit.report.gallery import gallery_picture
from sm3kit.report.material import Material, gather, open_networks
from sm3kit.report.run_page import run_page
from sm3kit.report.spaces import Space
from sm3kit.results.picture import Rendering
from sm3kit.runs.folder import RunFolder

REMEDY = "Free some space, or choose another place with --out."


@dataclass(frozen=True)
class ReportFiles:
    """What a report has written.

    Attributes:
        page: the HTML file.
        figures: PNG, SVG and exports; none if they were not asked for.
        notes: what is left out and why.
    """

    page: Path
    figures: Sequence[Path]
    notes: Sequence[str]


def report(
    folder: Path,
    images: ImageCache,
    features: FeatureCache,
    reporter: Reporter,
    out: Path | None = None,
    data: Sequence[str] = (),
    split: str = "test",
    space: Space | None = None,
    *,
    figures: bool = False,
    gallery: bool = True,
) -> ReportFiles:
    """Writes the page of a run or of a grid.

    Args:
        folder: of the run or the grid.
        images, features: caches.
        reporter: where progress is shown.
        out: the file; None takes `report.html` in the folder.
        data: where the data lie now, if not where they were.
        split: the studies of maps, attention and gallery.
        space: of the maps; None takes the joint feature.
        figures: whether each figure is written to `figures/` as well.
        gallery: whether thumbnails of the studies are shown.

    Raises:
        CheckpointError: the folder holds neither a run nor a grid.
        SM3Error: the page cannot be written.
    """
    out = out or folder / "report.html"
    if Folder(folder).exists:
        return _of_grid(folder, out, figures=figures)
    if not RunFolder(folder).exists:
        raise CheckpointError(
            f"{folder} holds neither a run nor a grid. Give the folder that `sm3kit pretrain` or "
            "`sm3kit ablate` wrote."
        )
    with Artists(png=figures) as artists:
        material = gather(folder)
        drawn = draw_records(material, artists)
        material = open_networks(material, images, features, reporter, data)
        draw_networks(drawn, material, split, space, images=gallery)
        _write(out, run_page(material, drawn).encode("utf-8"))
        written = _figures(material, drawn, folder / "figures") if figures else []
    return ReportFiles(out, written, [*material.notes, *drawn.notes])


def _of_grid(folder: Path, out: Path, *, figures: bool) -> ReportFiles:
    from sm3kit.report.grid_page import grid_page

    text, curves = grid_page(folder, out)
    _write(out, text.encode("utf-8"))
    written = []
    for picture in curves if figures else ():
        written.append(folder / "figures" / picture.file_name("svg"))
        _write(written[-1], picture.svg)
    return ReportFiles(out, written, [])


def _figures(material: Material, drawn: Figures, folder: Path) -> list[Path]:
    files: list[Path] = []

    def save(picture: Rendering) -> None:
        files.extend(picture.save(folder, {file.stem.lower() for file in files}))

    for picture in drawn.pictures():
        save(picture)
    if material.subject:
        for search in drawn.searches:
            save(gallery_picture(material.subject, search).render(png=True))
    if drawn.weights:
        files += export_attention(*drawn.weights, folder)
    return files


def _write(file: Path, content: bytes) -> None:
    with whole_file(file, REMEDY) as part:
        part.write_bytes(content)

"""Which texts of a figure are cut off, or lie on another text or on a panel that is not theirs."""

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox

from sm3kit.results.picture import look

SLACK = 1.0  # Pixels of 1/100 inch that boxes may share: letters do not fill them.


def faults(figure):
    """A sentence for each text that is cut off or overlaps; none if all can be read.

    A text within a panel, such as the number in a cell, may lie on that panel alone.
    """
    with look():
        FigureCanvasAgg(figure).draw()
    panels = [panel for panel in figure.axes if panel.axison]
    texts = [box for panel in panels for box in _of_panel(panel)]
    texts += [(f"{text.get_text()!r}", _box(text), None) for text in figure.texts if _shown(text)]
    for legend in figure.legends:
        texts += _of_legend(legend)
    whole = Bbox.from_extents(0, 0, *figure.canvas.get_width_height())
    messages = [f"{name} is cut off" for name, box, _ in texts if not _inside(box, whole)]
    for (one, first, _), (other, second, _) in combinations(texts, 2):
        if _overlap(first, second):
            messages.append(f"{one} overlaps {other}")
    for panel in panels:
        area = panel.get_window_extent()
        for name, box, own in texts:
            if own is not panel and _overlap(box, area):
                messages.append(f"{name} lies on the panel {panel.get_title(loc='left')!r}")
    for one, other in combinations(panels, 2):
        if _overlap(one.get_window_extent(), other.get_window_extent()):
            messages.append("two panels overlap")
    return messages


def _of_panel(panel):
    """(name, box, the panel that it may lie on) of the texts of a panel."""
    outside = [panel._left_title, panel.title, panel._right_title]
    outside += [panel.xaxis.label, panel.yaxis.label]
    outside += [panel.xaxis.get_offset_text(), panel.yaxis.get_offset_text()]
    for axis in (panel.xaxis, panel.yaxis):
        outside += [tick.label1 for tick in axis._update_ticks() if tick.label1.get_visible()]
    found = [(f"{text.get_text()!r}", _box(text), None) for text in outside if _shown(text)]
    found += [(f"{text.get_text()!r}", _box(text), panel) for text in panel.texts if _shown(text)]
    legend = panel.get_legend()
    return found + (_of_legend(legend) if legend else [])


def _of_legend(legend):
    texts = [(f"{text.get_text()!r}", _box(text), None) for text in legend.get_texts()]
    handles = [
        ("a sample of the legend", handle.get_window_extent(), None)
        for handle in legend.legend_handles
        if handle.get_window_extent().width
    ]
    return texts + handles


def _shown(text):
    return text.get_visible() and text.get_text().strip()


def _box(text):
    return text.get_window_extent()


def _inside(box, whole):
    return (
        box.x0 >= whole.x0 - SLACK
        and box.y0 >= whole.y0 - SLACK
        and box.x1 <= whole.x1 + SLACK
        and box.y1 <= whole.y1 + SLACK
    )


def _overlap(one, other):
    across = min(one.x1, other.x1) - max(one.x0, other.x0)
    along = min(one.y1, other.y1) - max(one.y0, other.y0)
    return across > SLACK and along > SLACK

"""Every text of every figure can be read, whatever the number and the length of the names."""

import numpy as np
import pytest
from boxes import faults
from fabricated import grid, labelled
from matplotlib.figure import Figure

from sm3kit.datasets.base import LabelSpec
from sm3kit.metrics.predictions import LabelScores
from sm3kit.report.agreement import Agreement, agreement_picture
from sm3kit.report.attention import attention_picture, row_picture
from sm3kit.report.calibration import calibration_picture
from sm3kit.report.clusters import nmi_picture, size_picture
from sm3kit.report.confusion import confusion_picture
from sm3kit.report.embedding import map_picture
from sm3kit.report.history import (
    alignment_picture,
    loss_picture,
    monitor_picture,
    rank_picture,
)
from sm3kit.report.roc import roc_picture
from sm3kit.results.curves import charts
from sm3kit.results.grid_table import tabulate
from sm3kit.results.picture import COLUMN, PAGE, TWO_COLUMNS, look, sheet

SHORT, LONG = "name {}", "a_name_of_thirty_letters_no_{}"


def names(count, form):
    return [form.format(chr(ord("a") + number)) for number in range(count)]


def metrics(modalities, labels, epochs):
    """Rows as metrics.csv has them, of both stages."""
    rng, rows = np.random.default_rng(0), []
    streams = [f"{name}*" for name in modalities]
    pairs = [(one, other) for one in modalities for other in modalities if one != other]
    for epoch in range(1, epochs + 1):
        row = {"stage": "mmssl", "epoch": epoch, "loss": 20.25 / epoch, "lr": 1e-4}
        row |= {f"simclr/{name}": rng.random() * 1e-3 for name in modalities}
        row |= {f"crossmodal/{one}-{two}": rng.random() for one, two in pairs if one < two}
        for monitor in ("std", "rankme", "uniformity", "alignment"):
            row |= {f"{monitor}/{name}": rng.normal() * 30 for name in [*modalities, *streams]}
        row |= {f"alignment/{one}-{two}": rng.random() for one, two in pairs if one < two}
        for number, (one, two) in enumerate(pairs):
            row |= {f"rank/{one}->{two}{mark}": 40 * rng.random() + 1 for mark in ("", "*")}
            row |= {f"pairs/{one}->{two}": 90 + number, "rank/of": 90}
        rows.append(row)
    for epoch in range(1, epochs + 1):
        row = {"stage": "mlssl", "epoch": epoch, "loss": 1 / epoch, "nmi_labels": rng.random()}
        for name in labels:
            row |= {f"ce/{name}": 1e4 * rng.random(), f"sizes/{name}": "150+71+9+3+1"}
            row |= {f"nmi_truth/{name}": rng.random(), f"nmi_before/{name}": rng.random()}
        rows.append(row)
    return rows


def of_history(modalities, labels, epochs):
    rows = metrics(modalities, labels, epochs)
    untrained = {
        f"{one}->{two}": (48.5, 96) for one in modalities for two in modalities if one != two
    }
    return [
        loss_picture(rows, "mmssl"), loss_picture(rows, "mlssl"), monitor_picture(rows),
        alignment_picture(rows), rank_picture(rows, "projection", untrained),
        rank_picture(rows, "backbone"), size_picture(rows), nmi_picture(rows),
    ]  # fmt: skip


def of_labels(labels, form):
    """Labels whose number of classes goes from two on; the first has a reported class."""
    rng, pictures = np.random.default_rng(0), []
    weights = rng.dirichlet(np.ones(len(labels)), (60, 2, len(labels)))
    pictures.append(attention_picture(weights, labels, "attention", "all studies", "stage 2"))
    if len(labels) > 1:
        between = rng.random((2, len(labels), len(labels) + 1))
        between[:, range(len(labels)), range(len(labels))] = np.nan
        pictures.append(agreement_picture(Agreement(tuple(labels), (1, 150), tuple(between))))
    for number, name in enumerate(labels):
        classes = tuple(names(2 + number % 11, form))
        truth = rng.integers(-1, len(classes), 60)
        scores = LabelScores(
            classes,
            "" if number else classes[0],
            rng.dirichlet(np.ones(len(classes)), 60),
            truth,
        )
        rows = rng.normal(size=(60, 3))
        spec = LabelSpec(name, classes, scores.reported)
        space = (rows, rows[:, :2])
        for moments in ({"before": space, "after": space}, {"after": space}):
            pictures.append(map_picture(spec, truth, np.arange(60), moments, "space", "test"))
        curves = dict.fromkeys(("finetune", "probe", "knn"), scores)
        pictures += [
            roc_picture(name, curves),
            calibration_picture(name, scores, "probe, split test"),
            confusion_picture(name, scores, "probe, split test"),
            row_picture(weights, labels, name, classes[0], truth == 0),
        ]
    return pictures


def listed(pictures):
    """The faults of all figures, each with the figure's name."""
    assert all(pictures)
    return [f"{picture.name}: {fault}" for picture in pictures for fault in faults(picture.figure)]


@pytest.mark.parametrize("form", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize(
    ("modalities", "labels", "epochs"),
    [(2, 2, 1), (2, 12, 400), (3, 8, 2), (5, 2, 400), (5, 12, 1), (5, 12, 400)],
)
def test_curves_of_a_training_can_be_read(modalities, labels, epochs, form):
    pictures = of_history(names(modalities, form), names(labels, form), epochs)
    assert listed(pictures) == []


@pytest.mark.parametrize("form", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("labels", [1, 2, 12])
def test_figures_of_labels_can_be_read(labels, form):
    assert listed(of_labels(names(labels, form), form)) == []


@pytest.mark.parametrize("form", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("values", [[1, 2], [1e-6, 1e-4, 1e-3], list(range(1, 13))])
def test_curves_of_a_grid_can_be_read(tmp_path, rows, values, form):
    """With the numbers of a single curve, and those of several left to the table."""
    axis = form.format("axis")
    lines = [
        labelled(tmp_path, f"{name} {axis}={value}", [place + 1, place + 2], axes={axis: value})
        for name in names(rows, form)
        for place, value in enumerate(values)
    ]
    table = tabulate(grid(tmp_path, lines, axes={axis: values}, seeds=(0, 1)), 20)
    pictures = list(charts(table).values())
    assert len(pictures) == 1
    assert listed(pictures) == []


@pytest.mark.parametrize(("modalities", "labels"), [(2, 2), (5, 12)])
def test_figures_take_whole_columns_of_the_page(modalities, labels):
    pictures = of_history(names(modalities, LONG), names(labels, LONG), 3)
    pictures += of_labels(names(labels, LONG), LONG)
    widths = {picture.figure.get_size_inches()[0] for picture in pictures}
    assert widths <= {COLUMN, TWO_COLUMNS, PAGE}


# The faults that it is there to find


@look()
def test_a_legend_that_is_cut_off_is_found():
    figure, (panel,) = sheet(4, 2.5, margins=(0.6, 0.1, 0.85, 0.35))
    for name in names(5, LONG):
        panel.plot([1, 2], label=name)
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3)
    assert any("cut off" in fault for fault in faults(figure))


@look()
def test_a_legend_on_the_next_panel_is_found():
    figure, panels = sheet(8.4, 6, 2, 2, (0.6, 0.1, 0.85, 0.35), (0.6, 1.15))
    for panel in panels:
        for name in names(9, "modality {}"):
            panel.plot([1, 2], label=name)
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=1)
    assert any("lies on the panel" in fault for fault in faults(figure))


@look()
def test_titles_that_run_into_each_other_are_found():
    figure, panels = sheet(6, 2, 1, 3, (0.75, 0.1, 0.5, 0.6), (0.55, 0.5))
    for panel in panels:
        panel.set_title(LONG)
    assert any("overlaps" in fault for fault in faults(figure))


@look()
def test_numbers_that_overprint_are_found():
    figure, (panel,) = sheet(4, 3)
    panel.set_ylim(0, 2)
    for height in (1, 1.01):
        panel.plot([1, 2], [height, height])
        panel.annotate("80.1", (1, height), (0, 6), textcoords="offset points")
    assert any("'80.1' overlaps '80.1'" in fault for fault in faults(figure))


def test_a_figure_without_a_fault_has_none():
    assert faults(Figure()) == []

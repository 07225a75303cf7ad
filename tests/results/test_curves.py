"""The charts of a study of hyper-parameters."""

import xml.etree.ElementTree as ElementTree

import pytest
from fabricated import grid, labelled
from matplotlib.backends.backend_svg import FigureCanvasSVG

from sm3kit.results.curves import charts, curves_of, is_logarithmic
from sm3kit.results.grid_table import tabulate

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def study(tmp_path):
    """Two axes around a row of its own."""
    axes = {"lr": [1e-3, 1e-6, 1e-4], "relation": ["tel", "te"]}
    rows = [labelled(tmp_path, "row", [24, 18])]
    rows += [
        labelled(tmp_path, f"{axis}={value}", [6 * place + 6, 6 * place], axes={axis: value})
        for axis, values in axes.items()
        for place, value in enumerate(values)
    ]
    return tabulate(grid(tmp_path, rows, axes=axes, seeds=(0, 1)), 20)


def test_points_are_in_order_and_have_their_numbers(study):
    (curve,) = curves_of(study.sections[0], "lr", [1e-3, 1e-6, 1e-4])
    assert curve.name == ""
    assert [value for value, _ in curve.points] == [1e-6, 1e-4, 1e-3]
    assert [one.mean for _, one in curve.points] == pytest.approx([37.5, 62.5, 12.5])
    (words,) = curves_of(study.sections[0], "relation", ["tel", "te"])
    assert [value for value, _ in words.points] == ["tel", "te"]


def test_each_axis_has_a_chart_that_says_its_basis(study):
    pictures = charts(study)
    assert list(pictures) == ["lr", "relation"]
    tree = ElementTree.fromstring(pictures["lr"].svg())
    texts = [text.text for text in tree.iter(f"{SVG}text")]
    assert {"37.5", "62.5", "12.5", "1e-06", "0.0001", "lr (log scale)"} <= set(texts)
    setting = "probe, select val_best, split test, 2 seeds, 20 studies"
    assert setting in texts
    assert tree.find(f"{SVG}title").text == "Mean AUC by lr"
    assert setting in pictures["lr"].caption
    assert pictures["lr"].alt == "1e-06: 37.5; 0.0001: 62.5; 0.001: 12.5"


def test_points_and_band_are_those_of_the_table(study):
    (panel,) = charts(study)["lr"].figure.axes
    (line,), (band,) = panel.lines, panel.collections
    assert line.get_xdata() == pytest.approx([0, 2 / 3, 1])
    assert line.get_ydata() == pytest.approx([37.5, 62.5, 12.5])
    numbers = [number for _, number in curves_of(study.sections[0], "lr", [])[0].points]
    ends = {end for number in numbers for end in (number.low, number.high)}
    assert {round(y, 6) for _, y in band.get_paths()[0].vertices} == {round(y, 6) for y in ends}


def test_everything_is_inside_the_picture(study):
    for picture in charts(study).values():
        (panel,) = picture.figure.axes
        low, high = panel.get_ylim()
        assert all(low < y < high for line in panel.lines for y in line.get_ydata())
        width, height = picture.figure.get_size_inches() * picture.figure.dpi
        canvas = FigureCanvasSVG(picture.figure)
        canvas.draw()
        for text in (*picture.figure.texts, *panel.texts, *panel.get_xticklabels()):
            box = text.get_window_extent()
            assert 0 <= box.x0 <= box.x1 <= width, text
            assert 0 <= box.y0 <= box.y1 <= height, text


def test_equal_tables_give_equal_bytes(study):
    assert charts(study)["lr"].svg() == charts(study)["lr"].svg()


def test_two_rows_on_one_axis_are_two_curves(tmp_path):
    rows = [
        labelled(tmp_path, f"{row} lr={value}", [right], axes={"lr": value})
        for row, right in (("simclr", 12), ("by<ol", 18))
        for value in (1, 2)
    ]
    table = tabulate(grid(tmp_path, rows, axes={"lr": [1, 2]}), 0)
    assert [one.name for one in curves_of(table.sections[0], "lr", [1, 2])] == ["simclr", "by<ol"]
    picture = charts(table)["lr"]
    (panel,), (legend,) = picture.figure.axes, picture.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["simclr", "by<ol"]
    assert len({line.get_linestyle() for line in panel.lines}) == 2
    assert not panel.collections
    assert "by&lt;ol" in picture.svg().decode()


def test_a_product_has_a_curve_for_each_place_of_the_other_axis(tmp_path):
    rows = [
        labelled(tmp_path, f"a={a}, b={b}", [12 + a], axes={"a": a, "b": b})
        for a in (1, 2)
        for b in (3, 4)
    ]
    table = tabulate(grid(tmp_path, rows, axes={"a": [1, 2], "b": [3, 4]}), 0)
    assert [one.name for one in curves_of(table.sections[0], "a", [1, 2])] == ["b=3", "b=4"]


def test_one_point_is_no_curve(tmp_path):
    rows = [labelled(tmp_path, "lr=1", [12], axes={"lr": 1})]
    assert charts(tabulate(grid(tmp_path, rows, axes={"lr": [1, 2]}), 0)) == {}


def test_the_scale_follows_the_values():
    assert is_logarithmic([10, 0.1, 0.01, 0.001])
    assert is_logarithmic([64, 128, 256])
    assert not is_logarithmic([0.1, 0.2, 0.3])
    assert not is_logarithmic([0, 1, 1000])
    assert not is_logarithmic([1, 2])


def test_names_of_files_are_plain(tmp_path):
    rows = [labelled(tmp_path, f"../a b={v}", [12], axes={"../a b": v}) for v in (1, 2)]
    table = tabulate(grid(tmp_path, rows, axes={"../a b": [1, 2]}), 0)
    assert charts(table)["../a b"].render().file_name("svg") == "curve-..-a-b.svg"


@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("length", [6, 20, 45])
def test_every_name_of_the_legend_is_read_whole(tmp_path, count, length):
    names = [f"{'_row'[number % 2 :]} {number} {'x' * length}" for number in range(count)]
    rows = [
        labelled(tmp_path, f"{name} lr={value}", [12], axes={"lr": value})
        for name in names
        for value in (1, 2)
    ]
    table = tabulate(grid(tmp_path, rows, axes={"lr": [1, 2]}), 0)
    picture = charts(table)["lr"]
    (panel,), (legend,) = picture.figure.axes, picture.figure.legends
    shown = [text.get_text().strip("\u200b").replace("\n", "") for text in legend.get_texts()]
    assert [text.replace(" ", "") for text in shown] == [name.replace(" ", "") for name in names]
    FigureCanvasSVG(picture.figure).draw()
    width, _ = picture.figure.get_size_inches() * picture.figure.dpi
    box = legend.get_window_extent()
    assert 0 <= box.x0 <= box.x1 <= width
    assert 0 <= box.y0 <= box.y1 < panel.get_tightbbox().y0

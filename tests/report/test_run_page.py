"""The page of a run: true to its files, whole, and there for every kind of run."""

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from tiny_runs import quiet

from sm3kit.report.artists import Artists
from sm3kit.report.drawing import draw_networks, draw_records
from sm3kit.report.history import loss_picture
from sm3kit.report.material import Result, gather, open_networks
from sm3kit.report.run_page import STATEMENT, result_section
from sm3kit.results.html import page as page_of
from sm3kit.results.table import Table

VOID = {"meta", "br", "link", "img", "input", "hr"}
LABELS = ["shape", "tone", "edge"]


class Reader(HTMLParser):
    """Checks that every tag is closed in order; keeps tables, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.attributes, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag == "small" and self.tables[-1][-1][-1]:
            self.tables[-1][-1][-1] += "|"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    def having(self, name):
        return [attrs for _, attrs in self.attributes if name in attrs]


@pytest.fixture(scope="session")
def read(page):
    return Reader(page.text)


def result_page(result, model):
    """The table of one result as a page."""
    return page_of(Table("result", (result_section(result.record, result.title, model),)))


def result(run, name):
    return json.loads((run / "eval" / f"{name}.json").read_text("utf-8"))


@pytest.mark.parametrize(("place", "name"), [(0, "probe-test"), (1, "knn-test")])
def test_numbers_of_labels_are_those_of_the_record(full, read, place, name):
    record, (heads, *rows) = result(full, name), read.tables[place]
    assert [head.strip() for head in heads[:3]] == ["label", "class", "AUC"]
    assert [row[0] for row in rows] == [*LABELS, "mean", "STD of labels"]
    for row, (label, found) in zip(rows, record["labels"].items(), strict=False):
        assert row[0] == label
        # Eight studies have fewer than five of a class, and so no interval.
        assert row[2] == f"{100 * found['auc']:.1f}"
        assert row[3] == f"{100 * found['sens']:.1f}"
        assert row[-1] == str(found["support"]["known"])  # Of no class alone.
    assert rows[-2][2] == f"{100 * record['mean']['auc']:.1f}"
    assert rows[-1][2] == f"{100 * record['mean']['std']:.1f}"


def test_numbers_of_pairs_are_those_of_the_record(full, read):
    spaces = result(full, "match-test")["space"]
    rows = {(row[0], row[1]): row for row in read.tables[2][1:]}
    assert len(rows) == 4
    for space, directions in spaces.items():
        for direction, found in directions.items():
            row = rows[space, direction.replace("->", " → ")]
            assert row[2:4] == [f"{found['mean_rank']:.1f}", f"{found['chance']:.1f}"]
            assert row[5:] == [f"{100 * found['acc@1']:.1f}", f"{100 * found['acc@5']:.1f}", "8"]


def test_no_table_goes_without_its_basis(read):
    assert read.text.count("select val_best, split test, 1 seed (0), data manifest; 8 studies") == 2
    assert "select last, split test, 1 seed (0), data manifest; 8 pairs" in read.text
    assert "bootstrap over patients or lesions (20 resamples)" in read.text


def test_it_needs_no_network_and_no_other_file(page, read):
    """What is shown is inside; what can be clicked leads to a place in the page."""
    assert all(one["src"].startswith("data:image/") for one in read.having("src"))
    assert all(one["href"].startswith("#") for one in read.having("href"))
    without_images = re.sub(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+", "", page.text)
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttpRequest|WebSocket", without_images)
    assert page.file.stat().st_size < 5_000_000


def test_it_can_be_read_by_everybody(page, read):
    images = [attrs for tag, attrs in read.attributes if tag == "img"]
    assert len(images) > 20
    assert all(one["alt"].strip() for one in images)
    assert page.text.index('class="skip" href="#content"') < page.text.index("<h1>")
    anchors = {one["href"][1:] for one in read.having("href")}
    names = [one["id"] for one in read.having("id")]
    assert anchors <= set(names)
    assert len(names) == len(set(names))
    tabs = [one for one in read.having("role") if one["role"] == "tab"]
    panels = {one["id"] for one in read.having("role") if one["role"] == "tabpanel"}
    assert {one["aria-controls"] for one in tabs} == panels
    assert len(tabs) == len(LABELS) + 2  # And the directions of pair matching.
    assert '<html lang="en">' in page.text
    assert STATEMENT in read.text


def test_it_says_what_was_trained_and_how_to_repeat_it(full, read):
    for part in ("simclr, fusion sep_sep; relation tel", "train 24, val 8, test 8", "torch 2."):
        assert part in read.text
    assert "sm3kit pretrain" in read.text
    assert f"sm3kit evaluate {full}" in read.text
    assert "--resamples" not in read.text
    assert "-o evaluate.resamples=20" in read.text
    assert "feature_views:" in read.text


def test_every_figure_is_written_and_not_blank(page):
    names = {file.name for file in page.figures}
    wanted = {"loss-mmssl", "loss-mlssl", "monitors", "alignment", "cluster-sizes", "cluster-nmi"}
    wanted |= {"cluster-agreement"}
    wanted |= {"ranks-projection", "ranks-backbone"}
    wanted |= {"attention", "attention-shape-a", "gallery-derm-clinic", "gallery-clinic-derm"}
    for label in ("shape", "tone", "edge"):
        kinds = ("embedding", "roc", "calibration", "confusion", "attention")
        wanted |= {f"{kind}-{label}" for kind in kinds}
    reported = {name for name in wanted if name.startswith("attention-shape-")}
    found = {name.rpartition(".")[0] for name in names if not name.endswith(("json", "html"))}
    # Which class is reported, the data set says.
    assert {name for name in found if not name.startswith("attention-shape-")} == wanted - reported
    assert "attention.json" in names
    for file in page.figures:
        if file.suffix == ".png":
            pixels = np.asarray(Image.open(file).convert("L"))
            assert pixels.shape[1] > 200
            assert (pixels < 128).mean() > 0.001
        if file.suffix == ".svg":
            tree = ElementTree.parse(file)
            assert [one.text for one in tree.iter("{http://www.w3.org/2000/svg}text")]
            assert not list(tree.iter("{http://purl.org/dc/elements/1.1/}date"))


def test_it_is_the_same_twice(world, full, page, tmp_path):
    again = world.report(full, out=tmp_path / "again.html", figures=False)
    assert again.page.read_text("utf-8") == page.text


def test_a_run_without_evaluation_says_what_to_run(world, others, tmp_path):
    text = world.report(others["stage1"], out=tmp_path / "page.html").page.read_text("utf-8")
    read = Reader(text)
    assert "No label has been evaluated yet." in read.text
    assert f"sm3kit evaluate {others['stage1']} --protocol match" in read.text
    assert "shape before and after pre-training" in read.text
    assert "Sizes of the clusters" not in read.text
    assert "Attention" not in read.text


def test_one_modality_and_no_labels_have_neither_gallery_nor_tabs(world, others, tmp_path):
    made = world.report(others["alone"], out=tmp_path / "page.html")
    read = Reader(made.page.read_text("utf-8"))
    assert made.notes == []
    assert "Loss of stage 1" in read.text
    assert "Pair matching" not in read.text
    assert "evaluated yet" not in read.text
    assert 'role="tab"' not in made.page.read_text("utf-8")


def test_three_modalities_with_gaps_search_each_other(world, others, tmp_path):
    read = Reader(world.report(others["three"], out=tmp_path / "p.html").page.read_text("utf-8"))
    searches = set(re.findall(r"(\w+) → (\w+), projection space", read.text))
    assert len(searches) == 6
    assert "derm (35 studies)" in read.text


def test_a_run_whose_data_have_gone_keeps_its_results(world, full, tmp_path):
    run = tmp_path / "moved"
    shutil.copytree(full, run)
    model = run / "model.safetensors"
    model.write_bytes(b"no model")
    made = world.report(run)
    read = Reader(made.page.read_text("utf-8"))
    assert "no maps, attention or gallery" in made.notes[0]
    assert "ROC of shape" in read.text
    assert "probe, split test" in read.text


def gathered(world, run):
    return open_networks(gather(run), world.images, world.features, quiet())


def test_a_damaged_result_is_named_and_left_out(world, full, tmp_path):
    run = tmp_path / "damaged"
    shutil.copytree(full, run)
    (run / "eval" / "knn-test.json").write_text("{", "utf-8")
    (run / "eval" / "mine.json").write_text("{}", "utf-8")
    material = gathered(world, run)
    titles = [f"{protocol}, split test" for protocol in ("probe", "match", "clusters")]
    assert [one.title for one in material.results] == titles
    assert "knn-test.json is damaged, or is not a result of an evaluation." in material.notes[0]
    assert "mine.json is damaged" in material.notes[1]


def test_a_leaky_result_is_marked_and_figures_prefer_an_honest_one(world, full, tmp_path):
    run = tmp_path / "leaky"
    shutil.copytree(full, run)
    world.evaluate(run, select="test_best")
    material = gathered(world, run)
    assert material.main.title == "probe, split test"
    (leaky,) = [one for one in material.results if one.record["leaky"]]
    text = result_page(leaky, "")
    assert 'class="leaky"' in text
    assert "LEAKY: selected on the split that it was measured on" in text


def test_a_result_of_other_networks_says_so(world, full):
    material = gathered(world, full)
    model = material.subject.trained.file_hash
    for one in material.results:
        assert "measured with other weights" not in result_page(one, model)
        assert "measured with other weights than the run has now" in result_page(one, "another")


def test_published_numbers_stand_beside(full):
    """In brackets where data, split or protocol are not the paper's."""
    record = result(full, "probe-test")
    record["of"]["recipe"] = ["sm3", "tel"]
    record["labels"] = dict(zip(("DIAG", "edge"), record["labels"].values(), strict=False))
    ours = Reader(result_page(Result(full, record), ""))
    assert [row[3] for row in ours.tables[0][:3]] == ["published AUC", "[85.0]", "–"]
    assert ours.tables[0][3][3] == "[80.4]"
    assert "[ ]: published for other data, split, protocol or settings, not comparable" in ours.text
    paper = Reader(result_page(Result(full, {**record, "published": {"auc": 80.4}}), ""))
    assert paper.tables[0][1][3] == "85.0"
    assert "In brackets" not in paper.text


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("embedding", "t-SNE of the label embedding of"),
        ("logits", "t-SNE of the logits of a probe"),
    ],
)
def test_maps_of_another_space_and_no_gallery(world, full, space, said):
    material = gathered(world, full)
    with Artists(count=0) as artists:
        drawn = draw_records(material, artists)
        draw_networks(drawn, material, "test", space, images=False)
    assert drawn.notes == []
    assert drawn.searches == []
    pictures = {picture.name: picture for picture in drawn.pictures()}
    for label in LABELS:
        picture = pictures[f"embedding-{label}"]
        assert picture.caption.startswith(said)
        assert picture.title == f"{label} before and after pre-training"
        assert len(re.findall(r"purity \d+ % in the space", picture.alt)) == 2


def test_a_process_draws_what_this_one_would(full):
    """With its own process, with none, and with one that cannot: the same bytes."""
    rows = gather(full).rows
    here = loss_picture(rows, "mmssl").render(png=True)
    with Artists(png=True, count=1) as artists:
        there = artists.commission(loss_picture, rows, "mmssl").result()
        nothing = artists.commission(loss_picture, [], "mmssl").result()
        # What cannot be sent is drawn here.
        unsendable = artists.commission(lambda: loss_picture(rows, "mmssl")).result()
        assert len(artists.processes) == 1
    assert there == unsendable == here
    assert nothing is None
    assert artists.processes[0].returncode == 0


def test_an_error_in_a_drawing_is_heard(full):
    with Artists(count=1) as artists, pytest.raises(KeyError):
        artists.commission(loss_picture, [{"epoch": 1}], "mmssl").result()

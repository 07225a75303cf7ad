"""The table of a grid: means, spreads, differences, marks, and what it says of itself."""

import dataclasses
from pathlib import Path

import pytest
from fabricated import clustered, grid, labelled, matched

from sm3kit.metrics.predictions import Predictions
from sm3kit.metrics.summary import compare_seeds, summarise_seeds
from sm3kit.results.curves import charts
from sm3kit.results.formats.tidy import tidy
from sm3kit.results.grid_table import tabulate
from sm3kit.results.legend import legend, sentences
from sm3kit.results.measurement import RowResults


def found(section, row, metric, label="mean"):
    (place,) = [
        place
        for place, column in enumerate(section.columns)
        if (column.metric, column.label) == (metric, label)
    ]
    (line,) = [line for line in section.lines if line.name == row]
    return line.cells[place].number


def test_mean_and_spread_by_hand(tmp_path):
    """AUC 24, 18 and 12 of 24 pairs: 75 ± 25; one of six negatives is called positive."""
    table = tabulate(grid(tmp_path, [labelled(tmp_path, "simclr", [24, 18, 12])]), 50)
    means, labels = table.sections
    number = found(means, "simclr", "auc")
    assert number.mean == pytest.approx(75)
    assert number.spread == pytest.approx(25)
    assert number.seeds == 3
    assert number.low <= 75 <= number.high
    assert found(means, "simclr", "sens").mean == pytest.approx(75)
    assert found(means, "simclr", "spec").mean == pytest.approx(100 * 5 / 6)
    assert found(means, "simclr", "spec").spread == pytest.approx(0)
    assert found(labels, "simclr", "auc", "RS").mean == pytest.approx(75)
    assert found(labels, "simclr", "auc", "RS").support == "8/20"
    assert table.texts()[0] == ["row", "seeds", "AUC", "95 % interval"]
    assert table.texts()[1][:3] == ["simclr", "3/3", "75.0 ± 25.0"]


def test_the_difference_is_paired_by_cases(tmp_path):
    rows = [
        labelled(tmp_path, "simclr", [12, 12, 18]),
        labelled(tmp_path, "byol", [24, 24, 18]),
    ]
    means = tabulate(grid(tmp_path, rows, baseline="simclr"), 200).sections[0]
    number = found(means, "byol", "difference")
    loaded = [
        [Predictions.load(file) for file in row.predictions["probe"].values()] for row in rows
    ]
    expected = compare_seeds(*loaded, 200)["mean"]
    assert number.mean == pytest.approx(100 * (22 - 14) / 24)
    assert [number.low, number.high] == pytest.approx([100 * end for end in expected["ci95"]])
    assert found(means, "simclr", "difference") is None
    own = summarise_seeds(loaded[1], 200)["mean"]["ci95"]
    auc = found(means, "byol", "auc")
    assert [auc.low, auc.high] == pytest.approx([100 * end for end in own])


def test_a_baseline_that_is_no_row_is_left_out(tmp_path):
    rows = [labelled(tmp_path, "simclr lr=1", [12])]
    table = tabulate(grid(tmp_path, rows, baseline="simclr"), 20)
    assert table.baseline == ""
    assert "difference" not in [column.metric for column in table.sections[0].columns]


def test_other_cases_than_the_baseline_have_a_difference_without_interval(tmp_path):
    rows = [labelled(tmp_path, "simclr", [12]), labelled(tmp_path, "byol", [24], cases=30)]
    means = tabulate(grid(tmp_path, rows, baseline="simclr"), 20).sections[0]
    number = found(means, "byol", "difference")
    assert number.mean == pytest.approx(50)
    assert number.low is None
    assert any(note.startswith("byol: the difference is not paired.") for note in means.notes)
    assert "20 studies of 20 patients or lesions" in means.basis.sentence()
    assert "in other rows 30 studies" in means.basis.sentence()


def test_lost_predictions_leave_the_means_of_the_records(tmp_path):
    row = labelled(tmp_path, "simclr", [24, 12])
    row.predictions["probe"][1].write_bytes(b"broken")
    means = tabulate(grid(tmp_path, [row]), 20).sections[0]
    number = found(means, "simclr", "auc")
    assert (number.mean, number.low) == (pytest.approx(75), None)
    assert number.spread == pytest.approx(100 * 0.5 / 2**0.5)
    assert (
        "simclr: no interval and no paired difference. The predictions of seed 1 are missing or "
        "damaged." in means.notes
    )


def test_the_best_of_a_column_and_all_that_look_the_same_are_marked(tmp_path):
    rows = [labelled(tmp_path, name, aucs) for name, aucs in TIES.items()]
    means = tabulate(grid(tmp_path, rows), 0).sections[0]
    assert [line.name for line in means.lines if line.cells[2].best] == ["a", "c"]
    assert [row[2][-1] for row in means.texts()[1:]] == ["*", "0", "*"]


TIES = {"a": [24, 12], "b": [12, 12], "c": [18, 18]}


def test_ranks_are_better_when_lower():
    rows = [matched("far", [4.0, 6.0]), matched("near", [2.0, 2.0]), matched("near too", [2.0])]
    (section,) = tabulate(grid(Path(), rows, protocols=("match",), seeds=(0, 1))).sections
    best = {line.name: line.cells[3].best for line in section.lines if line.block[:4] == "derm"}
    assert best == {"far": False, "near": True, "near too": True}
    far = dict(
        zip([column.head for column in section.columns], section.lines[0].cells, strict=True)
    )
    assert (far["mean rank"].number.mean, far["mean rank"].number.spread) == (
        5,
        pytest.approx(2**0.5),
    )
    assert far["acc@1"].number.mean == pytest.approx(100 * (1 / 4 + 1 / 6) / 2)
    assert (far["chance"].text, far["pairs"].text) == ("5.5", "10")
    assert section.basis.select == "last"
    assert section.basis.sentence().endswith("; 10 pairs")
    heads = section.texts()[0]
    assert heads == ["row", "seeds", "mean rank", "chance", "acc@1", "acc@5"]


def test_clusters_have_means_and_the_nmi_of_each_label():
    rows = [clustered("faiss", [0.2, 0.4]), clustered("p2ot", [0.5]), clustered("none", [None])]
    settings = {"protocols": ("clusters",), "seeds": (0, 1), "baseline": "faiss"}
    table = tabulate(grid(Path(), rows, **settings, axes={"lr": [1, 2]}))
    means, labels = table.sections
    assert [means.title, labels.title] == [
        "clusters, mean of the labels",
        "clusters, NMI of each label",
    ]
    heads = ["row", "seeds", "NMI", "95 % interval", "ARI", "accuracy"]
    assert means.texts()[:3] == [
        heads,
        ["faiss", "2/2", "30.0 ± 14.1", "–", "30.0 ± 14.1", "30.0 ± 14.1"],
        ["p2ot", "1/2", "50.0", "40.0 to 60.0", "50.0", "50.0"],
    ]
    assert means.lines[2].reason == "undefined"
    assert [column.head for column in labels.columns] == ["row", "seeds", "BWV", "RS"]
    # Nothing is compared or marked as the best: it is a diagnosis.
    assert not any(cell.best for line in [*means.lines, *labels.lines] for cell in line.cells)
    assert means.baseline == ""
    assert any("For diagnosis only" in note for note in means.notes)
    assert means.basis.sentence().endswith("; 20 studies of 20 patients or lesions")
    assert charts(table) == {}
    for text in (table.to_markdown(), table.to_latex(), table.to_html(), tidy(table)):
        assert "p2ot" in text


def test_each_space_has_a_section():
    rows = [
        matched("imagenet", [4.0]),
        matched("sep_sep", [2.0], spaces=("backbone", "projection")),
    ]
    table = tabulate(grid(Path(), rows, protocols=("match",), seeds=(0,)))
    assert [one.title for one in table.sections] == ["match, backbone", "match, projection"]
    first = table.sections[1].lines[0]
    assert (first.name, first.cells[3].text, first.cells[4].text) == ("imagenet", "undefined", "")
    note = "imagenet: undefined, as the fusion has no separate projection for each modality."
    assert note in table.sections[1].notes


def test_one_row_alone_is_not_the_best(tmp_path):
    rows = [labelled(tmp_path, "simclr", [24]), RowResults("byol")]
    means = tabulate(grid(tmp_path, rows), 0).sections[0]
    assert not means.lines[0].cells[2].best


def test_rows_without_a_result_say_why(tmp_path):
    folder = tmp_path / "grid"
    rows = [
        labelled(tmp_path, "half", [24, None, None], failed={2: "out of memory"}),
        RowResults("broken", failed={1: f"{folder}/b is\n gone", 0: f"{folder}/b is gone"}),
        RowResults("waiting"),
    ]
    means = tabulate(grid(folder, rows), 0).sections[0]
    reasons = {line.name: (line.cells[1].text, line.reason) for line in means.lines}
    assert reasons == {
        "half": ("1/3", ""),
        "broken": ("0/3", "failed: ./b is gone"),
        "waiting": ("0/3", "not yet done"),
    }
    assert "half, seed 2 failed: out of memory" in means.notes
    assert "broken, seeds 0, 1 failed: ./b is gone" in means.notes
    assert [row[2] for row in means.texts()[2:]] == ["failed", "not yet done"]


def test_a_row_done_under_another_protocol_is_not_waiting(tmp_path):
    rows = [labelled(tmp_path, "simclr", [24])]
    both = grid(tmp_path, rows, protocols=("probe", "match"), seeds=(0,))
    assert tabulate(both, 0).of("match").lines[0].reason == "no result with match"


def test_a_table_before_the_first_result_still_says_its_basis(tmp_path):
    empty = grid(tmp_path, [RowResults("simclr")], protocols=("probe", "match"), baseline="simclr")
    table = tabulate(empty)
    for section in table.sections:
        assert section.basis.sentence() == (
            "select val_best, split test, 3 seeds (0, 1, 2), data derm7pt; support not known "
            "before the first result"
        )
    assert table.texts("match")[1] == ["simclr", "0/3", "not yet done", "", "", ""]


def test_the_basis_names_rule_split_seeds_and_support_and_no_folder(tmp_path):
    table = tabulate(grid(tmp_path, [labelled(tmp_path, "simclr", [24])]), 0)
    assert sentences(table.of())[:3] == [
        "probe, mean of the labels",
        "–: no value",
        "select val_best, split test, 3 seeds (0, 1, 2), data derm7pt; 20 studies of 20 patients or "
        "lesions; positive/labelled: BWV PRS 8/20, RS PRS 8/20",
    ]


def test_leaky_selection_is_told(tmp_path):
    row = labelled(tmp_path, "simclr", [24])
    row.records["probe"][0]["leaky"] = True
    means = tabulate(grid(tmp_path, [row]), 0).sections[0]
    assert "LEAKY: selected on the split that it was measured on" in means.basis.sentence()
    assert means.lines[0].leaky
    waiting = tabulate(grid(tmp_path, [RowResults("a")], select="test_best")).sections[0]
    assert "LEAKY" in waiting.basis.sentence()


def test_studies_that_were_seen_or_replaced_are_counted(tmp_path):
    row = labelled(tmp_path, "simclr", [24, 18])
    row.records["probe"][0] |= {"seen": None, "replaced": ["a"]}
    row.records["probe"][1] |= {"seen": ["a", "b"], "replaced": []}
    honest = tabulate(grid(tmp_path, [labelled(tmp_path, "byol", [24])]), 0).sections[0]
    assert (honest.lines[0].seen, honest.lines[0].replaced) == (0, 0)
    assert not honest.basis.doubtful
    means = tabulate(grid(tmp_path, [row]), 0).sections[0]
    assert (means.lines[0].seen, means.lines[0].replaced) == (2, 1)
    assert means.basis.doubtful
    assert (
        "data derm7pt, SEEN: 2 of the studies were used in training, REPLACED: images of 1 "
        "studies changed after training; 20 studies"
    ) in means.basis.sentence()


WRONG = {
    "simclr-derm": "74.7 (row mean 75.5)",
    "swav": "76.9 (row mean 78.0)",
    "byol": "77.3 (row mean 78.3)",
    "f4m-fs": "79.0 (row mean 80.05)",
}


def test_the_four_wrong_averages_of_table_5_are_marked(tmp_path):
    rows = [RowResults(name, ("paper", name)) for name in (*WRONG, "simclr", "mine")]
    means = tabulate(grid(tmp_path, rows)).sections[0]
    shown = {line.name: line.cells[-1].text for line in means.lines}
    told = {name: f"{text}†" for name, text in WRONG.items()}
    assert shown == {**told, "simclr": "78.2", "mine": "–"}
    assert [row[-1] for row in means.texts()[1:]] == [
        "74.7†", "76.9†", "77.3†", "79.0†", "78.2", "–"
    ]  # fmt: skip
    for text in WRONG.values():
        assert any(note.startswith("†") and text in note for note in means.notes)


def test_published_numbers_stand_beside_ours(tmp_path):
    rows = [labelled(tmp_path, "tel", [24], recipes=("paper", "tel"))]
    means, labels = tabulate(grid(tmp_path, rows), 0).sections
    number = found(means, "tel", "auc")
    assert (number.published, number.comparable) == (80.4, True)
    assert found(labels, "tel", "auc", "BWV").published == 90.37


@pytest.mark.parametrize(
    "change", [{"data": ("synthetic:120",)}, {"split": "val"}, {"protocols": ("knn",)}]
)
def test_published_numbers_of_something_else_are_in_brackets(tmp_path, change):
    rows = [RowResults("swav", ("swav",))]
    means = tabulate(grid(tmp_path, rows, **change)).sections[0]
    assert means.lines[0].cells[-1].text == "[76.9 (row mean 78.0)†]"
    assert any(note.startswith("Published: ") and "Derm7pt" in note for note in means.notes)
    assert "[ ]: published for other data, split, protocol or settings" in legend(
        means, "*", "small"
    )


def test_published_ranks_are_of_the_training_pairs():
    rows = [matched("sep_sep", [2.0], recipes=("sep_sep",))]
    for split, shown in (("train", "7.23 / 42 / 73"), ("test", "[7.23 / 42 / 73]")):
        table = tabulate(grid(Path(), rows, protocols=("match",), split=split))
        line = table.sections[0].lines[0]
        assert line.cells[-1].text == shown
        assert line.cells[5].number.published == pytest.approx(42)


def test_points_of_an_axis_have_no_published_number(tmp_path):
    rows = [RowResults("tel.heads=2", ("tel",), {"tel.heads": 2})]
    heads = [column.head for column in tabulate(grid(tmp_path, rows)).sections[0].columns]
    assert not [head for head in heads if head.startswith("published")]


def test_equal_results_give_an_equal_table(tmp_path):
    rows = [labelled(tmp_path, "a", [24, 18, 12]), labelled(tmp_path, "b", [12, 18, None])]
    turned = [
        dataclasses.replace(
            row,
            records={name: dict(reversed(one.items())) for name, one in row.records.items()},
            predictions={n: dict(reversed(one.items())) for n, one in row.predictions.items()},
        )
        for row in rows
    ]
    one = tabulate(grid(tmp_path, rows, baseline="a"), 50)
    assert one == tabulate(grid(Path("/elsewhere"), turned, baseline="a"), 50)


def test_the_narrow_form_fits_a_terminal(tmp_path):
    rows = [
        labelled(tmp_path, name, [24, 18, 12], recipes=(name,)) for name in ("simclr-derm", "swav")
    ]
    shown = tabulate(grid(tmp_path, rows, baseline="swav"), 50).texts()
    widths = [max(len(row[place]) for row in shown) for place in range(len(shown[0]))]
    assert sum(widths) + 2 * (len(widths) - 1) <= 80


def test_before_the_first_result_there_is_no_section_of_labels(tmp_path):
    table = tabulate(grid(tmp_path, [RowResults("waiting")]), 0)
    assert [one.part for one in table.sections] == ["means"]


def test_nothing_at_chance_is_the_best(tmp_path):
    """With 10 cases even an AUC of 75 may be chance, and one of 100 is not."""
    for best, marked in ((18, []), (24, ["a"])):
        rows = [labelled(tmp_path, "a", [best]), labelled(tmp_path, "b", [12])]
        means, labels = tabulate(grid(tmp_path, rows), 200).sections
        for section in (means, labels):
            assert [line.name for line in section.lines if line.cells[2].best] == marked


def test_nothing_that_may_equal_the_baseline_is_the_best(tmp_path):
    rows = [
        labelled(tmp_path, "a", [24]),
        labelled(tmp_path, "b", [24]),
        labelled(tmp_path, "c", [6]),
    ]
    for baseline, marked in (("a", []), ("c", ["a", "b"])):
        means = tabulate(grid(tmp_path, rows, baseline=baseline), 200).sections[0]
        assert [line.name for line in means.lines if line.cells[2].best] == marked
        rule = f"without a 95 % interval, or where that of the difference to {baseline} includes 0"
        assert (rule in legend(means, "*", "small")) == bool(marked)


def test_ranks_at_chance_are_not_the_best():
    """By chance the mean rank of 10 pairs is 5.5, give or take 1.8."""
    rows = [matched("far", [5.5]), matched("near", [4.0])]
    (section,) = tabulate(grid(Path(), rows, protocols=("match",), seeds=(0,))).sections
    assert not [cell for line in section.lines for cell in line.cells if cell.best]


def test_the_legend_tells_of_marks_that_are_there(tmp_path):
    rows = [labelled(tmp_path, "swav", [24, 18], recipes=("swav",)), RowResults("te")]
    means = tabulate(grid(tmp_path, rows), 0).sections[0]
    assert legend(means, "*", "in parentheses", narrow=True) == (
        "±: standard deviation over seeds; †: printed with an error, see below; –: no value"
    )
    alone = tabulate(grid(tmp_path, [labelled(tmp_path, "a", [24])]), 0).sections[0]
    assert legend(alone, "*", "in parentheses") == ""


def test_the_default_protocol_comes_first(tmp_path):
    both = grid(tmp_path, [RowResults("a")], protocols=("match", "knn", "probe"))
    assert tabulate(both).protocols == ("probe", "match", "knn")


def test_rows_of_the_same_networks_are_told_to_be_equal():
    rows = [matched(name, [2.0, 3.0]) for name in ("sep_sep", "tel", "other")]
    for record in rows[1].records["match"].values():
        record["of"] = {**record["of"], "stage": "mlssl"}
    for record in rows[2].records["match"].values():
        record["space"] = {"backbone": {}}
    (section,) = tabulate(grid(Path(), rows, protocols=("match",), seeds=(0, 1))).sections
    (note,) = [note for note in section.notes if "equal by design" in note]
    assert note.startswith("sep_sep, tel: ")


def test_rows_with_weak_labels_say_so(tmp_path):
    rows = [labelled(tmp_path, name, [24, 18, 12]) for name in ("none", "weak", "seeds")]
    for row, seeds in zip(rows[1:], (0, 5), strict=True):
        for record in row.records["probe"].values():
            record["of"] = {**record["of"], "weak": {"BWV": 9}, "weak_seeds": seeds}
    for section in tabulate(grid(tmp_path, rows)).sections:
        weak, seeds = (note for note in section.notes if "BWV (9 studies)" in note)
        assert weak.startswith("weak: Weakly supervised: stage 2 learned from")
        assert seeds.startswith("seeds: SEMI-SUPERVISED: ")


def test_three_modalities_have_a_block_for_each_direction():
    """Each with its own number of pairs, chance and best."""
    counts = {"a->b": 108, "b->a": 108, "a->c": 103, "c->a": 103, "b->c": 95, "c->b": 95}

    def row(name, better):
        space = {
            direction: {
                "mean_rank": 2.0 if direction in better else 3.0,
                "acc@1": 0.5,
                "acc@5": 0.9,
                "n": count,
                "chance": (count + 1) / 2,
            }
            for direction, count in counts.items()
        }
        record = matched(name, [2.0]).records["match"][0] | {"space": {"backbone": space}}
        return RowResults(name, records={"match": {0: record}})

    rows = [row("x", ("a->b", "a->c")), row("y", ("b->a", "c->a", "b->c", "c->b"))]
    (section,) = tabulate(grid(Path(), rows, protocols=("match",), seeds=(0,))).sections
    assert len(section.columns) == 8
    places = {column.head: place for place, column in enumerate(section.columns)}
    shown = {(line.block, line.name): line.cells for line in section.lines}
    assert len(shown) == 12
    for (direction, _), cells in shown.items():
        assert cells[places["chance"]].text == f"{(counts[direction] + 1) / 2:.1f}"
        assert cells[places["pairs"]].text == str(counts[direction])
        assert cells[places["mean rank"]].best == (cells[places["mean rank"]].text == "2.0")
    assert section.basis.sentence().endswith("; 95 to 108 pairs")


def of_table_2(tmp_path, **more):
    """Rows of Table 2 that are fine-tuned, and one that is probed."""
    rows = [
        labelled(tmp_path, name, [24, 12], protocol=protocol, recipes=("sm3", recipe))
        for name, recipe, protocol in (
            ("Baseline-50-ImageNet", "baseline-50", "finetune"),
            ("HcCNN", "hccnn", "finetune"),
            ("AMFAM", "amfam", "finetune"),
            ("SSD-KD", "ssd-kd-internal", "probe"),
        )
    ]
    rows = [dataclasses.replace(row, protocols=tuple(row.records)) for row in rows]
    settings = {"protocols": ("finetune", "probe"), "seeds": (0, 1), "metric": "sens"}
    return grid(tmp_path, rows, baseline="Baseline-50-ImageNet", **{**settings, **more})


def test_a_table_may_show_another_metric_first(tmp_path):
    """AUC 24 and 12 of 24 pairs: 4 and 2 of 4 positives are called so."""
    means, labels = tabulate(of_table_2(tmp_path), 50).sections[2:]
    assert (means.title, labels.title) == (
        "finetune, mean of the labels",
        "finetune, sensitivity of each label",
    )
    assert means.texts()[0] == [
        "row", "seeds", "sensitivity", "95 % interval", "difference to Baseline-50-ImageNet",
        "published",
    ]  # fmt: skip
    number = found(means, "HcCNN", "sens")
    assert (number.mean, number.published) == (pytest.approx(75), 61.0)
    assert found(means, "HcCNN", "auc").mean == pytest.approx(75)
    assert found(means, "HcCNN", "auc").published == 82.5
    assert found(means, "HcCNN", "difference").mean == pytest.approx(0)
    assert [column.metric for column in labels.columns if column.metric] == ["sens", "sens"]
    assert found(labels, "HcCNN", "sens", "BWV").mark == "92.2 (corrected 65.3)"
    # High sensitivities are cheap.
    assert not any(cell.best for line in means.lines for cell in line.cells[:3])


def test_the_errors_of_that_metric_are_marked(tmp_path):
    means = tabulate(of_table_2(tmp_path), 0).sections[2]
    assert [line.cells[-1].text for line in means.lines] == [
        "42.5", "61.0 (corrected 50.9)†", "57.9 (corrected 53.5)†",
    ]  # fmt: skip
    wrong = [note for note in means.notes if note.startswith("†")]
    assert [note.partition(":")[0] for note in wrong] == [
        f"† wrong in the paper, table 1-4, {name}" for name in ("HcCNN", "AMFAM")
    ]
    assert any("mean sensitivity in percentage points" in note for note in means.notes)
    auc = tabulate(of_table_2(tmp_path, metric="auc"), 0).sections[2]
    assert [line.cells[-1].text for line in auc.lines] == ["81.3", "82.5", "84.5"]
    assert not any(note.startswith("†") for note in auc.notes)


def test_a_protocol_has_the_rows_that_it_measures(tmp_path):
    probe, _, finetune, _ = tabulate(of_table_2(tmp_path), 0).sections
    assert [line.name for line in probe.lines] == ["SSD-KD"]
    assert [line.name for line in finetune.lines][1:] == ["HcCNN", "AMFAM"]
    # Its baseline is measured by another protocol.
    assert "difference" not in [column.metric for column in probe.columns]
    assert probe.baseline == ""


def test_a_student_without_the_images_of_the_paper_is_not_comparable(tmp_path):
    probe = tabulate(of_table_2(tmp_path, metric="auc"), 0).sections[0]
    assert probe.lines[0].cells[-1].text == "[79.6]"

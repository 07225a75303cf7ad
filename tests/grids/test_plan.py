"""Rows become variants and stages; what influences nothing is in no key."""

import dataclasses
import re
from collections import Counter

import pytest
import yaml
from tiny_grid import tiny

from sm3kit.core.errors import VariantError
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.grids import grid
from sm3kit.grids.plan import Plan
from sm3kit.grids.planning import for_stage1, key_of_training, plan_of
from sm3kit.grids.rows import rows_of
from sm3kit.networks.assemble import build_pool
from sm3kit.published.tables import load as published

DATA = ["synthetic:40"]
STAGE_2 = ("no_proj", "proj", "msa", "tel", "te")


def rows(**changes):
    return rows_of(grid.parse("own", tiny(**changes), "own"))


def plan(**changes):
    own = grid.parse("own", tiny(**changes), "own")
    return plan_of(own, rows_of(own))


def kinds(shared):
    return Counter(task.kind for task in shared.tasks.values())


@pytest.fixture(scope="module")
def table5():
    own = grid.load("table5").with_changes(DATA)
    return plan_of(own, rows_of(own))


def test_table_5_trains_each_distinct_stage_1_once(table5):
    """14 rows in 3 seeds: 9 kinds of stage 1, as five rows go on from that of sep_sep."""
    assert len(table5.replicates) == 42
    assert kinds(table5) == {"mmssl": 9 * 3, "mlssl": 5 * 3, "probe": 42}
    for seed in (0, 1, 2):
        first = {
            replicate.row: table5.chain(replicate.results["probe"])[0]
            for replicate in table5.replicates
            if replicate.seed == seed
        }
        assert {first[row] for row in STAGE_2} == {first["sep_sep"]}
        assert len(set(first.values())) == 9


def test_a_stage_comes_after_what_it_needs(table5):
    seen = set()
    for task in table5.tasks.values():
        assert not task.parent or task.parent in seen
        seen.add(task.key)


def test_rows_are_finished_one_after_the_other(table5):
    rows_in_order = [task.name.partition(",")[0] for task in table5.tasks.values()]
    assert list(dict.fromkeys(rows_in_order)) == list(grid.load("table5").rows)
    changes = sum(
        row != other for row, other in zip(rows_in_order, rows_in_order[1:], strict=False)
    )
    assert changes == 13


def test_table_1_evaluates_each_row_as_the_paper_does():
    table1 = rows_of(grid.load("table1").with_changes(DATA))
    probed = ("SimCLR", "SSD-KD", "SM3-50-linear")
    assert {row.name: row.protocols for row in table1} == {
        name: ("probe" if name in probed else "finetune",)
        for name in published().tables["1-4"].rows
    }
    shared = plan_of(dataclasses.replace(grid.load("table1"), seeds=(0,)), table1)
    assert kinds(shared) == {"mmssl": 4, "mlssl": 1, "finetune": 8, "probe": 3}
    first = {
        replicate.row: shared.chain(next(iter(replicate.results.values())))
        for replicate in shared.replicates
    }
    supervised = ("Inception-Combined", "HcCNN", "GIIN", "AMFAM", "F4M-FS", "Baseline-50-ImageNet")
    # One set-up with ImageNet weights, one training of sep_sep, and one of both stages of SM3.
    assert len({first[row][0] for row in supervised}) == 1
    assert first["F4M-FS + SM3"][0] == first["SM3-50-linear"][0]
    assert first["SM3-50-linear"][:2] == first["SM3-50-finetune"][:2]


@pytest.mark.parametrize("number", [2, 3, 4])
def test_tables_1_to_4_are_one_piece_of_work(number):
    plans = [
        plan_of(own, rows_of(own))
        for own in (
            grid.load(name).with_changes(DATA, [0]) for name in ("table1", f"table{number}")
        )
    ]
    assert plans[0] == plans[1]


def test_table_6_matches_the_pairs_that_it_trained_on():
    own = grid.load("table6").with_changes(DATA, [0])
    tasks = plan_of(own, rows_of(own)).tasks.values()
    assert {(s.settings["split"], s.settings["select"]) for s in tasks if s.kind == "match"} == {
        ("train", "last")
    }


@pytest.mark.parametrize(("name", "kind"), [("fig5-mmssl", "mmssl"), ("fig5-mlssl", "mlssl")])
def test_the_rows_own_value_is_trained_once(name, kind):
    # The settings of the paper, as own data have them.
    own = dataclasses.replace(grid.load(name).with_changes(DATA), base={"recipe": "sm3"})
    points = rows_of(own)
    values = sum(len(values) for values in own.axes.values())
    assert len(points) == 1 + values
    # Each axis goes through the row's own value.
    assert kinds(plan_of(own, points))[kind] == 1 + values - len(own.axes)


def test_the_clusterers_share_their_networks():
    """One stage 1 for each seed; the axis names clusterers that there are."""
    whole = grid.load("clusters").with_changes(DATA)
    assert set(whole.axes["clusterer"]) <= set(registry("clusterers").names())
    own = dataclasses.replace(whole, axes={"clusterer": ["faiss", "sinkhorn"]})
    lines = rows_of(own)
    assert [line.name for line in lines] == [
        f"{row} clusterer={clusterer}"
        for row in ("own", "teacher")
        for clusterer in ("faiss", "sinkhorn")
    ]
    shared = plan_of(own, lines)
    assert kinds(shared) == {"mmssl": 3, "mlssl": 12, "probe": 12, "clusters": 12}
    probes = [task.settings for task in shared.tasks.values() if task.kind == "probe"]
    assert {(s["scope"], s["prototypes"]) for s in probes} == {("heads", False)}


def test_every_modality_is_missing_once():
    """The rules share their networks; a matching and a single modality have nothing to lose."""
    whole = grid.load("missing").with_changes(DATA)
    lines = rows_of(whole)
    measured = ("probe", "probe without derm", "probe without clinic")
    assert [line.protocols for line in lines] == [measured] * 5
    shared = plan_of(whole, lines)
    assert kinds(shared) == {"mmssl": 3, "mlssl": 3, "probe": 45}
    replicate = shared.replicates[0]
    drops = [shared.tasks[replicate.results[name]].settings["drop"] for name in measured]
    assert drops == [[], ["derm"], ["clinic"]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drop": "clinik"}, "grid 'own': --drop clinik: No modality named 'clinik'. Did you mean"),
        ({"drop": "2:derm"}, "grid 'own': --drop 2:derm: the share must be above 0 and at most 1"),
        ({"drop": ["each", "derm"]}, "grid 'own': drop names 'derm' twice. Name it once."),
        (
            {"drop": "each", "base": {"modality": ["derm"]}},
            "grid 'own': every row has one modality, and nothing is left without it. Leave out drop.",
        ),
        (
            {"drop": "clinic", "base": {"map": {"clinic": "close-up"}}},
            "grid 'own': --drop clinic: No modality named 'clinic'. Known: close-up, derm.",
        ),
    ],
)
def test_a_drop_that_is_none_is_refused(changes, message):
    with pytest.raises(VariantError, match=re.escape(message)):
        rows(rows={"one": {"recipe": "simclr"}}, baseline="", **changes)


@pytest.mark.parametrize("drop", ["each", ["derm", "close-up"]])
def test_what_is_lost_has_the_names_of_the_pool(drop):
    """Those that an evaluation knows, after `map` and `modality`."""
    (line,) = rows(
        rows={"one": {"recipe": "simclr"}},
        base={"map": {"clinic": "close-up"}},
        baseline="",
        drop=drop,
        protocols="probe",
    )
    assert line.modalities == tuple(build_pool(line.variant).modalities) == ("derm", "close-up")
    assert line.protocols == ("probe", "probe without derm", "probe without close-up")


def test_a_row_loses_only_what_it_has_beside_another():
    """Other rows of the grid keep their drops, as in `{like: table5, drop: each}`."""
    own = {
        "both": {"recipe": "simclr"},
        "one": {"recipe": "simclr", "modality": ["derm"]},
        "renamed": {"recipe": "simclr", "map": {"clinic": "close-up"}},
    }
    lines = rows(rows=own, baseline="", drop="each", protocols=["knn", "match"])
    assert {line.name: line.protocols for line in lines} == {
        "both": ("knn", "match", "knn without derm", "knn without clinic"),
        "one": ("knn",),
        "renamed": ("knn", "match", "knn without derm", "knn without close-up"),
    }
    whole = dataclasses.replace(grid.load("table5").with_changes(DATA), drop=("each",))
    counts = {line.name: len(line.protocols) for line in rows_of(whole)}
    assert counts == dict.fromkeys(counts, 3) | {"SimCLR-derm": 1}


def test_shares_of_a_modality_are_lost_in_turn():
    drop = yaml.safe_load("[0.25:derm, 0.5:derm, derm]")
    (line,) = rows(rows={"one": {"recipe": "simclr"}}, baseline="", drop=drop, protocols="knn")
    assert line.protocols == ("knn", *(f"knn without {word}" for word in drop))


def test_a_matching_and_shares_in_a_grid():
    (line,) = rows(
        rows={"one": {"recipe": "simclr"}}, baseline="", drop="0.5:derm", protocols=["match", "knn"]
    )
    assert line.protocols == ("match", "knn", "knn without 0.5:derm")


@pytest.mark.parametrize("setting", ["teacher", "weak"])
def test_files_of_stage_2_count_by_their_content(tmp_path, setting):
    keys = []
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        file = tmp_path / name
        file.write_bytes(content)
        settings = {setting: str(file)} | ({"features": "both"} if setting == "teacher" else {})
        shared = plan(rows={"one": {"recipe": "tel", "stage2": settings}}, baseline="")
        keys.append([task.key for task in shared.tasks.values()])
    first, copy, other = keys
    assert first == copy
    assert [a == b for a, b in zip(first, other, strict=True)] == [True, False, False]


def test_a_row_that_clusters_features_of_nobody():
    with pytest.raises(VariantError, match="row 'one': stage2.features=both clusters features of"):
        rows(rows={"one": {"recipe": "tel", "stage2": {"features": "both"}}}, baseline="")


def test_the_plan_is_the_same_when_it_is_read_again(table5):
    assert Plan.of(table5.text()) == table5


@pytest.mark.parametrize(
    "changes",
    [
        {"machine": {"workers": 1}},
        {"stage1": {"monitor_every": 3}},
        {"protocol": "knn"},
        {"stage2": {"lr": 0.5}},
        {"options": {"tel": {"heads": 2}, "swav": {"prototypes": 7}}},
        {"options": {"simclr": {"temperature": 0.1}}},
        {"recipe": ["simclr", "sep_sep"]},
    ],
)
def test_what_influences_nothing_is_in_no_key(changes):
    row = {"recipe": "sep_sep"}
    shared = plan(rows={"one": row, "other": row | changes}, baseline="")
    assert kinds(shared) == {"mmssl": 1, "probe": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"stage1": {"lr": 0.5}},
        {"options": {"photo": {"blur": 0.3}}},
        {"options": {"simclr": {"head": "simclr"}}},
    ],
)
def test_what_influences_stage_1_is_in_its_key(changes):
    row = {"recipe": "tel"}
    shared = plan(rows={"one": row, "other": row | changes}, baseline="")
    assert kinds(shared) == {"mmssl": 2, "mlssl": 2, "probe": 2}


def test_an_evaluation_that_differs_shares_the_training():
    row = {"recipe": "tel"}
    shared = plan(
        rows={"one": row, "other": row | {"evaluate": {"probe": {"lr": 0.5}}}}, baseline=""
    )
    # The relation's own settings lie over those of any probe, but for the rate that is not theirs.
    assert kinds(shared)["mlssl"] == 1


def test_the_file_of_weights_counts_by_its_content(tmp_path):
    plans = []
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        file = tmp_path / name
        file.write_bytes(content)
        plans.append(plan(rows={"one": {"weights": str(file)}}, baseline=""))
    first, copy, other = (next(iter(shared.tasks)) for shared in plans)
    assert first == copy != other


def test_the_base_lies_under_the_recipes_of_a_row():
    variants = {row.name: row.variant for row in rows()}
    assert variants["random"].stage1.epochs == 0  # The recipe's.
    assert variants["sep_sep"].stage1.epochs == 1  # The base's.
    assert variants["sep_sep"].stage1.lr == 0.004  # Of quick, which the data ask for.


def test_a_complete_recipe_of_a_row_leaves_quick_out():
    (row,) = rows(rows={"one": {"recipe": "release"}}, baseline="")
    assert row.recipes == ("release",)
    assert (row.variant.stage1.schedule, row.variant.stage1.epochs) == ("constant", 400)


def test_one_modality_has_no_fusion_and_nothing_to_match():
    (row,) = rows(rows={"one": {"modality": ["derm"]}}, protocols=["probe", "match"], baseline="")
    assert (row.variant.fusion, row.protocols) == ("none", ("probe",))
    with pytest.raises(VariantError, match="has one modality, and match needs two"):
        rows(rows={"one": {"modality": ["derm"]}}, protocols=["match"], baseline="")


def test_clusters_need_the_labels_of_stage_2():
    second = {"stage": "both", "relation": "tel"}
    named = {**second, "stage2": {"pseudo_labels": 2, "clusters": 3}}
    wanted = {"first": {"stage": "mmssl"}, "both": second, "named": named}
    found = rows(rows=wanted, protocols=["probe", "clusters"], baseline="")
    assert [row.protocols for row in found] == [("probe",), ("probe", "clusters"), ("probe",)]
    for name, reason in (
        ("first", "ends with stage 1, and clusters needs stage 2. Leave it out."),
        (
            "named",
            "names no label for its pseudo-labels, and clusters needs one for each. Leave it out.",
        ),
    ):
        with pytest.raises(VariantError, match=f"row '{name}' {reason}"):
            rows(rows={name: wanted[name]}, protocols=["clusters"], baseline="")
    with pytest.raises(VariantError, match="match needs two, and it ends with stage 1"):
        rows(
            rows={"one": {"stage": "mmssl", "modality": ["derm"]}},
            protocols=["match", "clusters"],
            baseline="",
        )


def test_a_row_may_name_its_classifier_and_set_its_options():
    row = {"recipe": "random", "protocols": "finetune"}
    f4m = {"evaluate": {"finetune": {"classifier": "f4m"}}}
    options = {"options": {"f4m": {"hidden": "64"}}}
    shared = plan(
        rows={"linear": row, "f4m": row | f4m, "narrow": row | f4m | options}, baseline=""
    )
    assert kinds(shared) == {"mmssl": 1, "finetune": 3}
    measured = [task.settings for task in shared.tasks.values() if task.kind == "finetune"]
    assert [settings["classifier"] for settings in measured] == ["linear", "f4m", "f4m"]
    assert [settings["options"] for settings in measured] == [{}, {}, {"f4m": {"hidden": 64}}]


def test_an_axis_may_go_through_classifiers_and_their_options():
    axes = {"values": {"evaluate.probe.classifier": ["linear", "f4m"]}}
    shared = plan(rows={"one": {"recipe": "random"}}, axes=axes, baseline="")
    assert kinds(shared) == {"mmssl": 1, "probe": 2}
    axes = {"values": {"f4m.hidden": [8, 16]}}
    f4m = {"recipe": "random", "evaluate": {"probe": {"classifier": "f4m"}}}
    shared = plan(rows={"one": f4m}, axes=axes, baseline="")
    assert kinds(shared) == {"mmssl": 1, "probe": 2}
    with pytest.raises(VariantError, match="would change nothing: the row does not use 'f4m'"):
        plan(rows={"one": {"recipe": "random"}}, axes=axes, baseline="")


def test_axes_have_typed_values():
    axes = {"mode": "product", "values": {"stage1.lr": ["1e-3"], "simclr.temperature": ["0.5"]}}
    (row,) = rows(rows={"one": {}}, axes=axes, baseline="")
    assert row.axes == {"stage1.lr": 0.001, "simclr.temperature": 0.5}
    assert row.name == "stage1.lr=0.001, simclr.temperature=0.5"


def test_an_axis_may_move_several_settings():
    axes = {"values": {"simclr.temperature + crossmodal.temperature": [0.5]}}
    (row,) = rows(rows={"one": {}}, axes=axes, baseline="")
    assert [row.variant.options[x]["temperature"] for x in ("simclr", "crossmodal")] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("one", "answer"),
    [
        ({"recipe": "sep_spe"}, "row 'one': No recipe named 'sep_spe'. Did you mean 'sep_sep'?"),
        ({"fusoin": "sum"}, "row 'one': No setting named 'fusoin'. Did you mean 'fusion'?"),
        (
            {"stage1": {"epohcs": 3}},
            "row 'one': No setting named 'stage1.epohcs'. Did you mean 'stage1.epochs'?",
        ),
        (
            {"stage1": {"epochs": "many"}},
            "option 'stage1.epochs' must be a whole number from 0 to 1000000, not 'many'",
        ),
        ({"options": {"simclr": {"temprature": 1}}}, "Did you mean 'temperature'?"),
        ({"options": {"simcrl": {"temperature": 1}}}, "Did you mean 'simclr'?"),
        ({"objective": ["simcrl"]}, "No objective named 'simcrl'. Did you mean 'simclr'?"),
        ({"modality": ["dern"]}, "No modality named 'dern'. Did you mean 'derm'?"),
        ({"evaluate": {"prob": {}}}, "No protocol named 'prob'. Did you mean 'probe'?"),
        ({"evaluate": {"probe": {"epohcs": 1}}}, "No evaluation setting named 'epohcs'"),
        (
            {"evaluate": {"probe": {"classifier": "logistc"}}},
            "--classifier logistc: No classifier named 'logistc'. Did you mean 'logistic'?",
        ),
        (
            {"evaluate": {"probe": {"classifier": "f4m"}}, "options": {"f4m": {"hiden": 8}}},
            "Did you mean 'hidden'?",
        ),
        ({"data": "synthtic"}, "No dataset named 'synthtic'. Did you mean 'synthetic'?"),
        ({"seed": 3}, "row 'one' sets the seed, which the grid's seeds set"),
    ],
)
def test_a_mistake_in_a_row_has_its_answer(one, answer):
    with pytest.raises(VariantError) as error:
        rows(rows={"one": one}, baseline="")
    assert answer in str(error.value)
    assert str(error.value).startswith("row 'one'")


@pytest.mark.parametrize(
    ("protocol", "evaluation", "answer"),
    [
        ("probe", {"classifier": "hccnn"}, "--classifier hccnn needs feature maps or images"),
        ("finetune", {"classifier": "logistic"}, "--classifier logistic is fitted to frozen"),
        ("probe", {"classifier": "logistic", "members": 2}, "all members would be the same"),
        ("probe", {"classifier": "logistic", "loss": "focal"}, "--loss focal has no effect on"),
        ("knn", {"stack": "svm"}, "--stack svm has no effect on --protocol knn"),
        ("match", {"classifier": "f4m"}, "--classifier f4m has no effect on --protocol match"),
    ],
)
def test_an_evaluation_that_cannot_work_is_refused_before_a_training(protocol, evaluation, answer):
    with pytest.raises(VariantError) as error:
        rows(
            rows={"one": {"protocols": protocol, "evaluate": {protocol: evaluation}}},
            baseline="",
        )
    assert str(error.value).startswith("row 'one': ")
    assert answer in str(error.value)


@pytest.mark.parametrize(
    ("axis", "answer"),
    [
        ("stage1.lrr", "No setting named 'stage1.lrr'. Did you mean 'stage1.lr'?"),
        ("lr", "axis 'lr': No setting named 'lr'. Did you mean 'stage1.lr' or 'stage2.lr'?"),
        ("simclr.temprature", "Did you mean 'temperature'?"),
        ("simcrl.temperature", "No plugin named 'simcrl'. Did you mean 'simclr'?"),
        ("swav.temperature", "axis 'swav.temperature' would change nothing"),
        ("stage2.lr", "axis 'stage2.lr' would change nothing: the row ends with stage 1"),
    ],
)
def test_a_mistake_in_an_axis_has_its_answer(axis, answer):
    with pytest.raises(VariantError) as error:
        rows(rows={"one": {"recipe": "sep_sep"}}, axes={"values": {axis: [1]}}, baseline="")
    assert answer in str(error.value)


def test_a_value_twice_makes_two_rows_of_one_name():
    with pytest.raises(VariantError, match="Two rows of grid 'own' are called 'stage1.lr=0.1'"):
        rows(rows={"one": {}}, axes={"values": {"stage1.lr": [0.1, "0.10"]}}, baseline="")


def test_options_of_a_network_that_a_modality_suggests_are_in_the_key(registered):
    """Which network that is shows only when the data are opened."""

    class Vector:
        """A provider that no setting names."""

        def __init__(self, model, channels, *, depth: int = 1):
            self.width = channels

    registered("backbones", "vector", Vector)
    keys = {
        key_of_training(for_stage1(Variant(options={"vector": {"depth": depth}})), "listing")
        for depth in (1, 2)
    }
    assert len(keys) == 2

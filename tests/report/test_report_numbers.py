"""The numbers in figures, each computed once by hand."""

import json
import sys
import types

import numpy as np
import pytest
import torch
from tiny_runs import altered

from sm3kit.core.errors import CheckpointError
from sm3kit.metrics.per_label import label_metrics
from sm3kit.metrics.predictions import LabelScores
from sm3kit.metrics.reliability import reliability
from sm3kit.metrics.reporting import metrics_of
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.report import spaces
from sm3kit.report.agreement import agreement_picture, read_agreement
from sm3kit.report.attention import export_attention, for_bertviz
from sm3kit.report.calibration import calibration_picture, wilson
from sm3kit.report.clusters import size_picture, sizes
from sm3kit.report.confusion import confusion, confusion_picture
from sm3kit.report.embedding import purity, tsne
from sm3kit.report.gallery import searches, thumbnail
from sm3kit.report.history import loss_picture, rank_picture, terms
from sm3kit.report.roc import curve, mean_curve, roc_picture
from sm3kit.runs.epoch_rows import series
from sm3kit.runs.folder import RunFolder


def scored(positive, truth):
    positive = np.array(positive)
    return LabelScores(("no", "yes"), "yes", np.stack([1 - positive, positive], 1), truth)


# What the pseudo-labels have in common


def test_the_matrices_are_those_of_the_first_and_the_last_epoch(stage2_run):
    """Their means are what metrics.csv has of these epochs, where they were measured one by one."""
    run = RunFolder(stage2_run)
    rows = run.history()
    agreement = read_agreement(run.mlssl, rows)
    assert agreement.labels == ("shape", "tone", "edge")
    assert agreement.epochs == (1, 2)
    for matrix, epoch in zip(agreement.matrices, agreement.epochs, strict=True):
        between = matrix[:, :3]
        assert np.array_equal(between, between.T, equal_nan=True)
        assert np.isnan(np.diag(between)).all()
        assert np.nanmean(between) == pytest.approx(dict(series(rows, "nmi_labels"))[epoch])
        for label, value in zip(agreement.labels, matrix[:, 3], strict=True):
            assert value == dict(series(rows, f"nmi_truth/{label}"))[epoch]
    picture = agreement_picture(agreement)
    shown = [text.get_text() for text in picture.figure.axes[1].texts]
    assert shown[1] == f"{agreement.matrices[1][0, 1]:.2f}"
    assert shown[0] == ""
    assert [panel.get_title(loc="left") for panel in picture.figure.axes] == ["epoch 1", "epoch 2"]


def test_runs_without_two_partitions_have_no_matrices(stage1_run, stage2_run, tmp_path):
    rows = RunFolder(stage2_run).history()
    content = torch.load(RunFolder(stage2_run).mlssl, weights_only=True)
    file = tmp_path / "mlssl.ckpt"
    assert read_agreement(file, rows) is None
    torch.save({name: part for name, part in content.items() if name != "first_assigned"}, file)
    assert read_agreement(file, rows) is None  # As an earlier version has written it.
    assert read_agreement(file, RunFolder(stage1_run).history()) is None
    assert agreement_picture(None) is None
    file.write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="mlssl.ckpt cannot be read. Train the run again."):
        read_agreement(file, rows)


# Purity


def test_purity_by_hand():
    """On a line: a a b | b, neighbours of one: a->a, a->a, b->a, b->b (the left b is nearer)."""
    rows = np.array([[0.0], [1.0], [2.5], [5.0]])
    found = purity(rows, np.array([0, 0, 1, 1]), np.arange(4), neighbours=1)
    assert found.value == pytest.approx((1 + 1 + 0 + 1) / 4)
    assert found.chance == pytest.approx(1 / 3)
    assert found.cases == 4


def test_purity_leaves_out_the_own_patient_and_the_unknown():
    rows = np.array([[0.0], [0.1], [1.0], [1.1], [0.05]])
    truth, groups = np.array([0, 0, 1, 1, -1]), np.array([7, 7, 8, 9, 10])
    found = purity(rows, truth, groups, neighbours=1)
    # Both a search among the b; the b find each other.
    assert found.value == pytest.approx(0.5)
    assert found.chance == pytest.approx((0 + 0 + 1 / 3 + 1 / 3) / 4)


def test_purity_of_one_class_is_one_and_of_nothing_unknown():
    rows = np.random.default_rng(0).normal(size=(9, 3))
    one = purity(rows, np.zeros(9, int), np.arange(9))
    assert (one.value, one.chance) == (1, 1)
    assert np.isnan(purity(rows, np.full(9, -1), np.arange(9)).value)
    assert np.isnan(purity(rows, np.zeros(9, int), np.zeros(9, int)).value)


def test_purity_of_random_places_is_chance():
    random = np.random.default_rng(0)
    found = purity(random.normal(size=(900, 4)), random.integers(3, size=900), np.arange(900))
    assert found.value == pytest.approx(found.chance, abs=0.02)


# Scores


def test_the_roc_curve_by_hand_and_its_area():
    label = scored([0.9, 0.8, 0.8, 0.1, 0.5], np.array([1, 1, 0, 0, -1]))
    alarms, hits = curve(label, 1)
    assert alarms.tolist() == [0, 0, 0.5, 1]
    assert hits.tolist() == [0, 0.5, 1, 1]
    area = float(((hits[1:] + hits[:-1]) / 2 * np.diff(alarms)).sum())
    assert area == pytest.approx(label_metrics(label.scores, label.truth, 1)["auc"])


@pytest.mark.parametrize("seed", range(5))
def test_the_area_below_the_mean_curve_is_the_mean_area(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=40)
    scores = (rng.random((40, 3)) + np.eye(3)[truth]).round(1)  # Many ties.
    label = LabelScores(("a", "b", "c"), "", scores, truth)
    alarms, hits = mean_curve([curve(label, one) for one in range(3)])
    area = float(((hits[1:] + hits[:-1]) / 2 * np.diff(alarms)).sum())
    assert area == pytest.approx(metrics_of(label, 1)["auc"], abs=1e-12)
    assert (np.diff(alarms) >= 0).all()
    assert (np.diff(hits) >= -1e-12).all()
    assert roc_picture("x", {"probe": label}).title == "ROC of x"
    assert roc_picture("x", {"probe": label}, least=41) is None


def test_the_calibration_of_a_mean_is_that_of_the_most_likely_class():
    """Guo et al. 2017: of cases called with 0.9, nine of ten should be called right."""
    scores = np.array([[0.95, 0.05], [0.05, 0.95], [0.35, 0.65], [0.65, 0.35]])
    found = reliability(LabelScores(("a", "b"), "", scores, np.array([0, 0, 1, -1])))
    assert found.counts.tolist() == [1, 2]
    assert found.predicted == pytest.approx([0.65, 0.95])
    assert found.observed == pytest.approx([1, 0.5])


def test_a_label_without_positives_has_no_roc():
    label = scored([0.9, 0.1], np.array([0, 0]))
    assert roc_picture("x", {"probe": label}) is None


def test_calibration_by_hand():
    label = scored([0.05, 0.05, 0.95, 0.85, 1.0, 0.5], np.array([0, 1, 1, 0, 1, -1]))
    found = reliability(label)
    assert found.counts.tolist() == [2, 1, 2]
    assert found.predicted == pytest.approx([0.05, 0.85, 0.975])
    assert found.observed == pytest.approx([0.5, 0, 1])
    assert found.error == pytest.approx((2 * 0.45 + 0.85 + 2 * 0.025) / 5)


def test_wilson_by_hand():
    """Newcombe 1998, table I: 15 of 148 is 0.0624 to 0.1605."""
    low, high = wilson(np.array([15 / 148]), np.array([148]))
    assert low[0] == pytest.approx(0.0624, abs=5e-5)
    assert high[0] == pytest.approx(0.1605, abs=5e-5)


def test_confusion_by_hand():
    label = scored([0.9, 0.2, 0.7, 0.1, 0.4], np.array([1, 1, 0, 0, -1]))
    assert confusion(label).tolist() == [[1, 1], [1, 1]]


def test_confusion_by_thresholds():
    """Studies of a: called a and b, then nothing; of b: b."""
    scores = np.array([[0.5, 0.5], [0.4, 0.2], [0.1, 0.9]])
    truth, thresholds = np.array([0, 0, 1]), np.array([0.45, 0.4])
    label = LabelScores(("a", "b"), "b", scores, truth, thresholds)
    assert confusion(label).tolist() == [[1, 1], [0, 1]]
    picture = confusion_picture("x", label, "probe")
    assert "1 of 3 studies are classified correctly" in picture.alt
    assert "which may be several or none" in picture.caption


# History


def test_terms_are_what_the_loss_is_made_of():
    row = {"stage": "mmssl", "epoch": "1", "loss": "3", "simclr/a": "1", "std/a": "0.9", "lr": "1"}
    rows = [row, row | {"epoch": "2", "loss": "nan", "simclr/a": ""}]
    assert terms(rows) == {"loss": [(1, 3.0)], "simclr/a": [(1, 1.0)]}
    assert series(rows, "std/a") == [(1, 0.9), (2, 0.9)]
    assert loss_picture(rows, "mlssl") is None


def legend_texts(picture):
    return [text.get_text() for legend in picture.figure.legends for text in legend.get_texts()]


def test_each_direction_has_the_chance_of_its_own_pairs():
    """54.5, 52 and 48 are three lines, and epoch 0 is the network before the training."""
    counts = {"a->b": 108, "b->c": 103, "c->a": 95}
    row = {"stage": "mmssl", "epoch": "2", "rank/of": "95"}
    row |= {f"rank/{way}*": "20" for way in counts} | {"rank/a->b": "50"}
    row |= {f"pairs/{way}": str(count) for way, count in counts.items()}
    untrained = {way: (50.0 + place, counts[way]) for place, way in enumerate(counts)}
    picture = rank_picture([row], "projection", untrained)
    assert legend_texts(picture) == [
        "a → b (chance 54.5)", "b → c (chance 52)", "c → a (chance 48)",
    ]  # fmt: skip
    (panel,) = picture.figure.axes
    curves = [line for line in panel.lines if len(line.get_xdata()) and line.get_marker() == "o"]
    assert [line.get_xdata().tolist() for line in curves] == [[0, 2]] * 3
    assert [line.get_ydata().tolist() for line in curves] == [[50, 20], [51, 20], [52, 20]]
    levels = [line.get_ydata()[0] for line in panel.lines if line not in curves]
    assert levels == [48, 52, 54.5]
    # The other space has its own figure, and without epoch 0 it has one epoch: bars.
    other = rank_picture([row], "backbone")
    assert len(other.figure.axes[0].patches) == 1
    assert "Bars show the only epoch" in other.caption


def test_a_run_of_an_earlier_version_has_one_chance_for_all():
    row = {"stage": "mmssl", "epoch": "2", "rank/of": "35", "rank/a->b*": "20"}
    assert legend_texts(rank_picture([row])) == ["a → b (chance 18)"]


def test_a_training_counts_the_pairs_of_each_direction(others):
    """Of the 8 validation studies of three modalities three lack one."""
    (last,) = [row for row in RunFolder(others["three"]).metrics() if row["rank/derm->third"]][-1:]
    ways = [name for name in last if name.startswith("pairs/")]
    assert len(ways) == 6
    assert {int(last[name]) for name in ways} == {6}


def test_intervals_need_five_studies():
    """Hollow points have none: in a bin of fewer than five, and anywhere for a rare class."""
    label = scored([0.1] * 6 + [0.9] * 2, np.array([0, 1, 0, 0, 0, 1, 1, 1]))
    (upper, _) = calibration_picture("x", label, "probe").figure.axes
    hollow = [line for line in upper.lines if line.get_fillstyle() == "none"]
    assert [line.get_xdata().tolist() for line in hollow] == [[0.9]]
    assert len(upper.collections[0].get_segments()) == 1
    rare = calibration_picture("x", label, "probe", interval=False)
    (hollow,) = [line for line in rare.figure.axes[0].lines if line.get_fillstyle() == "none"]
    assert hollow.get_xdata() == pytest.approx([0.1, 0.9])
    assert "yes has fewer than 5 positive or negative groups" in rare.caption


def test_a_class_that_is_never_predicted_is_named():
    label = scored([0.1, 0.2, 0.4], np.array([0, 1, 1]))
    assert "Never predicted: yes." in confusion_picture("x", label, "probe").caption


def test_cluster_sizes_are_shares_the_largest_first():
    rows = [{"epoch": "1", "sizes/x": "1+3"}, {"epoch": "2", "sizes/x": "2+2"}]
    epochs, shares = sizes(rows)["x"]
    assert epochs == [1, 2]
    assert shares.tolist() == [[0.75, 0.25], [0.5, 0.5]]


def test_cluster_sizes_of_a_changing_number_of_clusters():
    """An epoch without any, and studies that are left out."""
    rows = [
        {"stage": "mlssl", "epoch": "1", "sizes/x": "1+3", "left_out/x": ""},
        {"stage": "mlssl", "epoch": "2", "sizes/x": "1+1+1", "left_out/x": "1"},
        {"stage": "mlssl", "epoch": "3", "sizes/x": "0", "left_out/x": "4"},
    ]
    _, shares = sizes(rows)["x"]
    assert shares.tolist() == [[0.75, 0.25, 0], [0.25, 0.25, 0.25], [0, 0, 0]]
    assert "What lacks to 100 % is in no cluster." in size_picture(rows).caption
    whole = size_picture(rows[:1]).caption
    assert "no cluster" not in whole


# Maps, attention and searches


def test_a_map_is_kept_and_the_same_again(tmp_path):
    rows = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    cache = FeatureCache(tmp_path)
    first = tsne(rows, 0, cache)
    assert first.shape == (12, 2)
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    assert np.array_equal(tsne(rows, 0, cache), first)
    assert np.array_equal(tsne(rows, 0), first)
    assert not tsne(np.ones((6, 3), np.float32)).any()
    with pytest.raises(ValueError, match="wants 5 cases, not 4"):
        tsne(rows[:4])


def test_before_training_is_what_a_run_of_no_epochs_keeps(world, full):
    """The weights of zero epochs, of both stages, are those that the longer run began with."""
    none = altered(world.open(full).variant, stage1={"epochs": 0}, stage2={"epochs": 0})
    subject = world.open(world.train("start", none))
    before = spaces.before_training(world.open(full))
    for name, value in subject.branches.state_dict().items():
        assert torch.equal(before.branches.state_dict()[name], value), name
    for name, value in subject.embedding.state_dict().items():
        assert torch.equal(before.embedding.state_dict()[name], value), name
    after = world.open(full)
    cases = after.cases("test", labelled=False)
    one, other = (spaces.tables(s, cases, "backbone")["edge"] for s in (before, after))
    assert not np.allclose(one, other)
    assert np.allclose((one**2).sum(1), 1, atol=1e-6)


def test_logits_are_those_of_the_probe(world, full):
    subject = world.open(full)
    cases = subject.cases("test", labelled=True)
    record = json.loads((full / "eval" / "probe-test.json").read_text("utf-8"))
    file = full / "eval" / "probe-test.safetensors"
    relation = {n: v.clone() for n, v in subject.embedding.state_dict().items()}
    classifier = spaces.kept_probe(subject, record, file)
    logits = spaces.tables(subject, cases, "logits", classifier)
    from sm3kit.metrics.predictions import Predictions

    kept = Predictions.load(full / "eval" / "probe-test.predictions.npz")
    for name, label in kept.labels.items():
        shares = torch.from_numpy(logits[name]).double().softmax(1).numpy()
        assert np.allclose(shares, label.scores, atol=1e-5), name
    # The relation of the run is not that of the probe.
    assert all(torch.equal(v, relation[n]) for n, v in subject.embedding.state_dict().items())
    with pytest.raises(CheckpointError, match="trained on other networks"):
        spaces.kept_probe(subject, {"of": {"model": "other"}}, file)


def test_a_space_that_is_not_there_says_so(world, others):
    subject = world.open(others["stage1"])
    cases = subject.cases("test", labelled=True)
    with pytest.raises(CheckpointError, match="embedding needs a run with stage 2 for these labe"):
        spaces.tables(subject, cases, "embedding")
    with pytest.raises(CheckpointError, match="logits needs a probe"):
        spaces.tables(subject, cases, "logits")


def test_attention_adds_up_and_is_written_for_bertviz(world, full, tmp_path, monkeypatch):
    subject = world.open(full)
    cases = subject.cases("test", labelled=True)
    weights = spaces.attention_of(subject.embedding, subject.joint(cases))
    assert weights.shape == (8, 1, 3, 3)
    assert np.allclose(weights.sum(3), 1, atol=1e-6)
    labels = ["one", "two", "three"]
    told = for_bertviz(weights, labels)["attention"][0]
    assert np.allclose(told["attn"], weights.mean(0)[None])
    assert told["left_text"] == told["right_text"] == labels
    monkeypatch.setitem(sys.modules, "bertviz", None)
    assert [file.name for file in export_attention(weights, labels, tmp_path)] == ["attention.json"]
    assert json.loads((tmp_path / "attention.json").read_text("utf-8"))["include_layers"] == [0]

    def head_view(attention, tokens, html_action):
        shape = tuple(attention[0].shape)
        return types.SimpleNamespace(data=f"{shape} {tokens} {html_action}")

    monkeypatch.setitem(sys.modules, "bertviz", types.SimpleNamespace(head_view=head_view))
    _, page = export_attention(weights, labels, tmp_path)
    assert page.read_text("utf-8") == f"(1, 1, 3, 3) {labels} return"


def test_searches_agree_with_the_matching(world, full):
    subject = world.open(full)
    cases = subject.cases("test", labelled=False)
    record = json.loads((full / "eval" / "match-test.json").read_text("utf-8"))
    found = searches(subject, cases, shown=8)
    assert [one.direction for one in found] == ["derm → clinic", "clinic → derm"]
    for one in found:
        ranks = record["space"]["projection"][f"{one.one}->{one.other}"]
        assert one.space == "projection"
        assert one.mean_rank == pytest.approx(ranks["mean_rank"])
        assert np.mean([query.rank for query in one.queries]) == pytest.approx(one.mean_rank)
        for query in one.queries:
            assert (query.rank <= 5) == (query.case in query.best)
            if query.case in query.best:
                assert query.best.index(query.case) == query.rank - 1
    assert thumbnail(subject, cases[0], "derm").shape == (88, 88, 3)

"""Weak labels: tables and data sets that offer them, what is refused, and runs that learn from them."""

import csv
import math
import random
from pathlib import Path

import pytest
import torch
import yaml
from tiny_runs import altered
from torch.nn import functional as F

from sm3kit.core.errors import CheckpointError, DataError, OptionError, SM3Error, VariantError
from sm3kit.datasets.base import Dataset, LabelSpec, ModalitySpec, Study, WeakScores
from sm3kit.networks.assemble import build_pool
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.supervision import supervision_note
from sm3kit.training.pseudo_labels.weak import open_weak_labels

SHAPES, TONES = "ab", "xyz"  # Classes of the labels of the shared runs; see `rows_with_labels`.


def noisy(count, truth, seed):
    """Scores that tell a class mostly, and not always."""
    draw = random.Random(seed)
    return [(number == truth) + draw.gauss(0, 0.8) for number in range(count)]


def weak_rows(studies):
    """Noisy scores of shape and tone for all studies of the shared runs."""
    file = Path(studies("own").partition(":")[2])
    for number, row in enumerate(csv.DictReader(file.open(newline=""))):
        shape = noisy(2, SHAPES.index(row["shape"]), number)
        tone = noisy(3, TONES.index(row["tone"]), 100 + number)
        yield {
            "id": row["id"],
            **{f"shape:{name}": f"{score:.4f}" for name, score in zip(SHAPES, shape, strict=True)},
            **{f"tone:{name}": f"{score:.4f}" for name, score in zip(TONES, tone, strict=True)},
            "split": row["split"],
            "truth": row["tone"],
        }


@pytest.fixture
def table(studies, tmp_path):
    """table(change=None, name="weak.csv") -> a table of weak labels; `change` takes all rows."""

    def make(change=None, name="weak.csv"):
        rows = list(weak_rows(studies))
        rows = rows if change is None else list(change(rows))
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, list(dict.fromkeys(key for row in rows for key in row)))
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path / name

    return make


@pytest.fixture
def opened(tiny2, studies):
    """opened(weak, **settings of stage 2) -> (targets, notes)."""

    def opening(weak, data=None, options=None, clusterer="faiss", **stage2):
        data, stage2 = data or (studies("own"),), {"weak": str(weak), **stage2}
        variant = altered(tiny2, data=tuple(data), clusterer=clusterer, stage2=stage2)
        variant = altered(variant, options={**variant.options, **(options or {})})
        pool = build_pool(variant)
        return open_weak_labels(variant, pool, pool.of(["train"]))

    return opening


# Tables


def test_a_table_gives_targets_of_the_training_studies(opened, table):
    targets, notes = opened(table(), weak_share=0.4, weak_shares={"tone": "0.1"})
    assert {name: own.classes for name, own in targets.items()} == {
        "shape": ("a", "b"),
        "tone": ("x", "y", "z"),
    }
    assert [own.share for own in targets.values()] == [0.4, 0.1]
    assert [own.likely.shape for own in targets.values()] == [(24, 2), (24, 3)]
    assert all(own.covered.all() for own in targets.values())
    assert notes == [
        "Not used of weak.csv, as they are no scores: split, truth.",
        "Rows of weak.csv that are not of the split train, and not read: 16.",
        "Studies with weak labels: shape 24 (share 0.4), tone 24 (share 0.1).",
    ]


def test_scores_are_compared_at_the_temperature(opened, table):
    def first(rows):
        return [{**rows[0], "tone:x": "2", "tone:y": "1", "tone:z": "NaN"}, *rows[1:]]

    targets, _ = opened(table(first), weak_temperature=0.5)
    expected = torch.tensor([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2)), 0.0])
    torch.testing.assert_close(targets["tone"].likely[0], expected)


def test_one_column_is_enough_for_two_classes(opened, table):
    def only_b(rows):
        return [{"id": row["id"], "shape:b": row["shape:b"]} for row in rows]

    targets, _ = opened(table(only_b))
    own = targets["shape"].likely
    rows = list(csv.DictReader(table(only_b).open(newline="")))
    score = torch.tensor(float(rows[0]["shape:b"]))
    torch.testing.assert_close(own[0], torch.stack([1 - score.sigmoid(), score.sigmoid()]))


def test_blanks_and_missing_rows_are_unknown(opened, table):
    def some(rows):
        unknown = {"tone:x": "", "tone:y": " NA ", "tone:z": "nan"}
        return [{**rows[0], **unknown}, *rows[2:]]

    targets, notes = opened(table(some))
    assert targets["tone"].covered.tolist()[:3] == [False, False, True]
    assert targets["shape"].covered.tolist()[:3] == [True, False, True]
    assert any("they have no weak labels: 'lesion-00001'." in note for note in notes)
    assert any("Treated as unknown in weak.csv" in note for note in notes)
    assert "Studies with weak labels: shape 23 (share 0.3), tone 22 (share 0.3)." in notes


def test_rows_of_other_splits_are_never_read(opened, table):
    """Whatever stands there, twice or no number."""

    def spoilt(rows):
        for row in rows:
            held_out = row["split"] != "train"
            yield {**row, **({"tone:x": "secret", "shape:a": "1e99"} if held_out else {})}
            if held_out:
                yield {**row, "tone:x": "another"}

    plain, spoilt_too = opened(table()), opened(table(spoilt, "spoilt.csv"))
    for name, own in plain[0].items():
        assert torch.equal(own.likely, spoilt_too[0][name].likely)


def test_a_study_that_is_trained_on_but_held_out_has_no_weak_labels(tiny2, studies, table):
    variant = altered(tiny2, data=(studies("own"),), splits=("train", "test"))
    variant = altered(variant, stage2={"weak": str(table())})
    pool = build_pool(variant)
    targets, _ = open_weak_labels(variant, pool, pool.of(["train", "test"]))
    assert targets["tone"].covered.tolist() == [True] * 24 + [False] * 8


def test_names_are_those_of_the_pool(opened, table, studies):
    """With two data sets, studies and labels name theirs, as in all results."""

    def named(rows):
        for row in rows:
            tones = {f"manifest/{key}": row[key] for key in row if key.startswith("tone:")}
            yield {"id": f"manifest2/{row['id']}", **tones}

    data = (studies("own"), studies("again", lambda i, row: row))
    targets, _ = opened(table(named), data)
    assert list(targets) == ["manifest/tone"]
    assert targets["manifest/tone"].covered.tolist() == [False] * 24 + [True] * 24
    with pytest.raises(DataError, match="the first are 'lesion-00000' and 'manifest/lesion-00000'"):
        opened(table(lambda rows: ({"id": r["id"], "manifest/shape:b": r["shape:b"]} for r in rows)), data)  # fmt: skip


def test_predictions_of_another_run_are_such_a_table(opened, studies, tmp_path):
    from sm3kit.deployment.predict import write_csv

    labels = {"tone": {"classes": list(TONES), "reported": None}}
    rows = list(weak_rows(studies))
    predicted = [
        {
            "id": row["id"],
            "split": row["split"],
            "missing": [],
            "decisions": {"tone": "x"},
            "called": {"tone": ["x"]},
            "probabilities": {"tone": {name: float(row[f"tone:{name}"]) for name in TONES}},
        }
        for row in rows
    ]
    record = {"labels": labels, "studies": predicted, "unreadable": [], "thresholds": {"x": 1}}
    write_csv(record, tmp_path / "predictions.csv")
    targets, _ = opened(tmp_path / "predictions.csv")
    assert targets["tone"].covered.all()


def renamed(old, new):
    return lambda rows: (
        {(new if key == old else key): value for key, value in row.items()} for row in rows
    )


def filled(column, value, only=slice(None, 1)):
    def change(rows):
        for row in rows[only]:
            row[column] = value
        return rows

    return change


MISTAKES = {
    "no id": (renamed("id", "name"), "has no column 'id'"),
    "no scores": (
        lambda rows: ({"id": row["id"], "split": row["split"]} for row in rows),
        "has no column LABEL:CLASS, such as 'shape:b'. Its columns: id, split.",
    ),
    "another label": (
        renamed("tone:x", "tune:x"),
        "column 'tune:x': the data have no label 'tune'. Did you mean 'tone'? Their labels: ",
    ),
    "another class": (
        renamed("tone:x", "tone:w"),
        "column 'tone:w': tone has no class 'w'. Its classes: x, y, z.",
    ),
    "one class of three": (
        lambda rows: ({"id": row["id"], "tone:y": row["tone:y"]} for row in rows),
        "has scores for one class of tone alone, 'tone:y'",
    ),
    "a word": (filled("tone:y", "high"), "row 2, column 'tone:y': 'high' is no number from"),
    "infinite": (filled("tone:y", "-inf"), "row 2, column 'tone:y': '-inf' is no number from"),
    "too large": (filled("tone:y", "1e7"), "row 2, column 'tone:y': '1e7' is no number from"),
    "no id in a row": (filled("id", ""), "row 2, column 'id': blank. Keep one row per study."),
    "an id twice": (
        lambda rows: [*rows, {**rows[0], "tone:x": "7"}],
        "'lesion-00000' is also in row 2, with other values. Keep one row per study.",
    ),
    "other ids": (
        lambda rows: ({**row, "id": row["id"].replace("-", "_")} for row in rows),
        "none of the rows of weak.csv matches any of the studies of the split train",
    ),
    "only test studies": (
        lambda rows: (row for row in rows if row["split"] == "test"),
        "has no row of a study of the split train",
    ),
    "a label without scores": (
        lambda rows: ({**row, "shape:a": "", "shape:b": ""} for row in rows),
        "has no score for shape in any row of the split train",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_table_is_one_clear_line(opened, table, mistake):
    change, message = MISTAKES[mistake]
    with pytest.raises(DataError) as caught:
        opened(table(change))
    assert message in str(caught.value)
    assert "weak.csv" in str(caught.value)


def test_a_table_that_is_not_there(opened, tmp_path):
    with pytest.raises(DataError, match=r"none\.csv"):
        opened(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("clusterer", "stage2", "error", "message"),
    [
        ("faiss", {"pseudo_labels": 2, "clusters": 3}, VariantError, "--weak guides the labels of the data, and -o stage2.pseudo_labels=2"),
        ("faiss", {"weak_seeds": 3}, VariantError, "--clusterer faiss takes no seeds, and -o stage2.weak_seeds=3 needs"),
        ("faiss", {"weak_shares": {"tune": 0.5}}, VariantError, "No weak label named 'tune'. Did you mean 'tone'?"),
        ("faiss", {"weak_shares": {"tone": 2}}, OptionError, "'weak_shares.tone' must be a number from 0 to 1, not 2"),
        ("faiss", {"weak": "", "weak_shares": {"tone": 0.5}}, VariantError, "stage2.weak_shares is about weak labels, and there are none"),
        ("faiss", {"weak": "", "weak_seeds": 5}, VariantError, "stage2.weak_seeds is about weak labels, and there are none"),
    ],
)  # fmt: skip
def test_settings_that_do_not_go_together(tiny2, studies, table, clusterer, stage2, error, message):
    settings = {"weak": str(table()), **stage2}
    variant = altered(tiny2, data=(studies("own"),), clusterer=clusterer, stage2=settings)
    pool = build_pool(variant)
    with pytest.raises(error) as caught:
        open_weak_labels(variant, pool, pool.of(["train"]))
    assert message in str(caught.value)


# No true labels


def truth_as_scores(column, classes, of=lambda value: value):
    """Rows whose scores are the classes of a column of the data, or made from them."""

    def change(rows):
        for row in rows:
            scores = {f"{column}:{name}": float(of(row["truth"]) == name) for name in classes}
            yield {"id": row["id"], **scores}

    return change


def coarse(tone):
    return "a" if tone == "x" else "b"


@pytest.mark.parametrize(
    "change",
    [truth_as_scores("tone", TONES), truth_as_scores("shape", SHAPES, coarse)],
    ids=["the label", "made from the label"],
)
def test_true_labels_are_refused(opened, table, change):
    with pytest.raises(DataError) as caught:
        opened(table(change))
    message = str(caught.value)
    assert "on all 24 studies that have both, the scores of" in message
    assert "agree with the label tone of the data" in message
    assert "-o stage2.weak_seeds=N" in message


def test_true_labels_of_few_studies_are_seeds_if_a_user_says_so(opened, table, tiny2):
    def few(rows):
        for row in list(truth_as_scores("tone", TONES)(rows))[:8]:
            yield {key: "" if value == 0.0 else value for key, value in row.items()}

    with pytest.raises(DataError, match="agree with the label tone"):
        opened(table(few))
    targets, notes = opened(table(few), clusterer="torch", weak_seeds=3)
    assert int(targets["tone"].covered.sum()) == 6  # Of eight; the others are of other splits.
    assert notes[-1].startswith("Classes with fewer than 3 seeds: tone:")


def test_labels_that_a_source_tells_more_of_are_refused(opened, table, studies):
    """Scores of three classes from which a label of two classes follows."""

    def two_tones(i, row):
        return {**row, "shape": coarse(row["tone"]), "tone": TONES[i % 3]}

    data = [studies("coarse", two_tones)]
    with pytest.raises(DataError, match="the scores of tone agree with the label shape"):
        opened(table(truth_as_scores("tone", TONES)), data)


def test_one_study_that_differs_is_enough(opened, table):
    def one_wrong(rows):
        rows = list(truth_as_scores("tone", TONES)(rows))
        rows[0] |= {"tone:x": 0.0, "tone:y": 0.0, "tone:z": 1.0}
        return rows

    assert opened(table(one_wrong))[0]["tone"].covered.all()


def test_scores_without_a_best_class_or_a_label_that_does_not_vary_say_nothing(opened, table):
    def even(rows):
        return ({"id": row["id"], "tone:x": 1, "tone:y": 1, "tone:z": 0} for row in rows)

    targets, _ = opened(table(even))
    assert (targets["tone"].best == -1).all()

    def alone(rows):
        return [{"id": rows[0]["id"], "tone:x": 1, "tone:y": 0}]

    opened(table(alone))


def test_the_table_of_the_data_is_refused(opened, studies, tmp_path):
    own = Path(studies("own").partition(":")[2])
    link = tmp_path / "link.csv"
    link.symlink_to(own)
    for file in (own, link):
        with pytest.raises(DataError, match="is where manifest:.* reads its labels from"):
            opened(file)


# What data sets offer


class Offering(Dataset):
    """Twelve studies with a label, and two sorts of weak labels."""

    def __init__(self, argument="", *, labels: tuple[str, ...] = ("kind", "hue")):
        self.argument = argument
        self.modalities = {"derm": ModalitySpec("photo")}
        self.labels = [LabelSpec(name, ("n", "y")) for name in labels]

    def studies(self, split=None):
        return [
            Study(f"s{n}", {"derm": "no.png"}, {s.name: n // 2 % 2 for s in self.labels}, f"s{n}", "train")
            for n in range(12)
            if split in (None, "train")
        ]  # fmt: skip

    def weak_scores(self):
        rows = {f"s{n}": (0.0, float(n % 3) - 0.5) for n in range(12)}
        return {
            "hue": WeakScores(("n", "y"), rows, makes_label=True),
            "size": WeakScores(("small", "large"), rows),
        }


def test_a_data_set_offers_labels_of_its_own(opened, registered):
    registered("datasets", "offering", Offering)
    targets, notes = opened("data", ["offering"], {"offering": {"labels": ("kind",)}})
    assert {name: own.classes for name, own in targets.items()} == {
        "hue": ("n", "y"),
        "size": ("small", "large"),
    }
    assert notes == ["Studies with weak labels: hue 12 (share 0.3), size 12 (share 0.3)."]


def test_labels_that_are_made_from_weak_labels_are_not_measured(opened, registered):
    registered("datasets", "offering", Offering)
    with pytest.raises(VariantError) as caught:
        opened("data", ["offering"])
    message = str(caught.value)
    assert "The labels hue of offering are made from its weak labels" in message
    assert message.endswith("Leave them out: -o offering.labels=kind")


def test_a_data_set_that_offers_nothing(opened):
    with pytest.raises(DataError, match="offers no weak labels. Give a table: --weak TABLE.csv."):
        opened("data")


def test_the_built_in_studies_offer_noisy_scores_if_asked(opened):
    options = {"synthetic": {"weak_noise": 1.0, "size": 32}}
    first, _ = opened("data", ["synthetic:40"], options)
    again, _ = opened("data", ["synthetic:40"], options)
    assert list(first) == ["DIAG", "PN", "BWV", "VS", "PIG", "STR", "DaG", "RS"]
    assert all(torch.equal(own.likely, again[name].likely) for name, own in first.items())
    with pytest.raises(DataError, match="agree with the label"):
        opened("data", ["synthetic:40"], {"synthetic": {"weak_noise": 0.01, "size": 32}})


# Runs


@pytest.fixture
def guided(second, table):
    """Two epochs of stage 2 that learn from weak labels of shape and tone."""
    return altered(second, stage2={"weak": str(table()), "weak_share": 0.4})


def test_a_run_learns_from_weak_labels_and_says_so(guided, train):
    outcome, said = train(guided)
    run = outcome.run
    assert "Studies with weak labels: shape 24 (share 0.4), tone 24 (share 0.4)." in " ".join(said.split())  # fmt: skip
    assert (
        yaml.safe_load(run.variant_file.read_text("utf-8"))["stage2"]["weak"] == guided.stage2.weak
    )
    trained = run.trained()
    assert dict(trained.facts.weak) == {"shape": 24, "tone": 24}
    assert trained.record()["weak"] == {"shape": 24, "tone": 24}
    note = "Weakly supervised: stage 2 learned from weak labels of shape (24 studies), tone (24 studies)."  # fmt: skip
    assert supervision_note(trained.record()) == note
    rows = [row for row in run.metrics() if row["stage"] == "mlssl"]
    assert all(0 <= float(row["weak/tone"]) <= 1 for row in rows)
    assert "weak/edge" not in rows[0]


def test_a_run_without_weak_labels_says_nothing(stage2_run):
    trained = RunFolder(stage2_run).trained()
    assert "weak" not in trained.record()
    assert supervision_note(trained.record()) == ""


def test_a_stopped_run_goes_on_bit_for_bit(guided, train, tmp_path):
    whole, _ = train(guided, "whole")
    train(altered(guided, stage2={"epochs": 1}), "parts")
    parts, _ = train(guided, "parts", resume=True)
    first, second = (torch.load(o.run.mlssl, weights_only=True) for o in (whole, parts))
    assert first["model"].keys() == second["model"].keys()
    assert all(torch.equal(first["model"][n], second["model"][n]) for n in first["model"])
    assert torch.equal(first["assigned"], second["assigned"])


def test_a_run_does_not_go_on_with_other_weak_labels(guided, train, table):
    train(altered(guided, stage2={"epochs": 1}))
    table(filled("tone:x", "9", slice(0, 3)))
    with pytest.raises(CheckpointError, match="weak labels have changed since stage 2 of"):
        train(guided, resume=True)


def test_nothing_is_written_where_weak_labels_are_refused(guided, train, table, tmp_path):
    table(truth_as_scores("tone", TONES))
    with pytest.raises(SM3Error):
        train(guided)
    assert not (tmp_path / "run" / "variant.yaml").exists()


def test_weak_labels_that_the_data_lack_are_pseudo_labels(second, train, registered, studies):
    from sm3kit.datasets.manifest import Manifest

    class More(Manifest):
        def weak_scores(self):
            ids = [study.id for study in self.studies("train")]
            rows = {name: (0.0, float(n % 5) - 1) for n, name in enumerate(ids)}
            return {"veil": WeakScores(("absent", "present"), rows, makes_label=True)}

    registered("datasets", "more", More)
    data = (f"more:{studies('own').partition(':')[2]}",)
    outcome, said = train(altered(second, data=data, stage2={"weak": "data"}))
    assert "shape 2, tone 3, edge 2, veil 2" in said
    assert dict(outcome.run.trained().facts.labels) == {"shape": 2, "tone": 3, "edge": 2, "veil": 2}


def test_clusters_have_the_numbers_of_their_classes_before_each_epoch(guided, train, monkeypatch):
    """Swapping two clusters makes the weak labels less likely, in every epoch."""
    from sm3kit.training.stage2 import MultiLabelSSL

    seen = []
    cluster = MultiLabelSSL._cluster

    def noting(self):
        cluster(self)
        seen.append((self.weak, list(self.clusterings), [*self.soft], self.prototypes.heads))

        for number, (weak, clustering) in enumerate(zip(self.weak, self.clusterings, strict=True)):
            if weak is None:
                assert self.soft[number] is None
                continue
            own = clustering.assignments
            count = len(weak.classes)
            agreed = weak.likely.gather(1, own[:, None]).sum()
            for first in range(count):
                for second in range(first):
                    swapped = torch.arange(count)
                    swapped[[first, second]] = swapped[[second, first]]
                    assert weak.likely.gather(1, swapped[own][:, None]).sum() <= agreed + 1e-4
            torch.testing.assert_close(self.soft[number], weak.mixed(own, torch.ones(24)))
            head = self.prototypes.heads[number].weight
            torch.testing.assert_close(head, F.normalize(clustering.centroids, dim=1))

    monkeypatch.setattr(MultiLabelSSL, "_cluster", noting)
    train(guided)
    assert len(seen) == 2


@pytest.fixture
def seeded(second, table):
    """Two epochs of stage 2 that begin with true labels of the studies of the split train."""
    settings = {"weak": str(table(truth_as_scores("tone", TONES))), "weak_seeds": 4}
    options = {**second.options, "torch": {"iterations": 1}}
    return altered(second, clusterer="torch", options=options, stage2=settings)


def test_a_run_with_seeds_is_semi_supervised(seeded, train):
    outcome, _ = train(seeded)
    of = outcome.run.trained().record()
    assert (of["weak"], of["weak_seeds"]) == ({"tone": 24}, 4)
    assert supervision_note(of) == (
        "SEMI-SUPERVISED: in stage 2, the clusters of tone (24 studies) began with up to 4 studies "
        "of each class that a table named."
    )


def test_clusters_begin_at_their_seeds_in_every_epoch(seeded, train, monkeypatch):
    from sm3kit.clusterers.torch import Torch

    starts, fit = [], Torch.fit

    def noting(self, embeddings, k, seed, start=None):
        starts.append((embeddings.clone(), start))
        return fit(self, embeddings, k, seed, start)

    monkeypatch.setattr(Torch, "fit", noting)
    outcome, _ = train(seeded)
    assert [start is not None for _, start in starts] == [False, True, False] * 2
    truth = [case.labels[1] for case in build_pool(outcome.run.record().variant).of(["train"])]
    for rows, start in (starts[1], starts[4]):
        for number in range(3):
            first_four = [place for place, tone in enumerate(truth) if tone == number][:4]
            torch.testing.assert_close(start[number], rows[first_four].mean(0))

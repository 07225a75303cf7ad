"""Stage 2 end to end: from frozen branches to label embeddings, and on again after a stop."""

import csv
import multiprocessing
import signal
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from tiny_runs import altered

from sm3kit.backbones.timm import Timm
from sm3kit.core.errors import CheckpointError, DataError, Interrupted, VariantError
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.recipes import Layer
from sm3kit.runs.resumption import variant_to_resume
from sm3kit.training.stage2 import MultiLabelSSL

NAMES = ["DIAG", "PN", "BWV", "VS", "PIG", "STR", "DaG", "RS"]
OWN = ["shape", "tone", "edge"]  # Of the shared runs.
CLUSTERS = [5, 3, 2, 3, 3, 3, 3, 2]


def but(variant, **changes):
    options = {**variant.options, **changes.pop("options", {})}
    return altered(variant, options=options, **changes)


def weights(folder):
    return load_file(RunFolder(folder).model)


def checkpoint(path):
    return torch.load(path, weights_only=True)


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[n], two[n]) for n in one)


def rows(folder, stage="mlssl"):
    with (folder / "metrics.csv").open(newline="") as file:
        found = [row for row in csv.DictReader(file) if row["stage"] == stage]
    return [{n: v for n, v in row.items() if not n.endswith("_per_second")} for row in found]


def same_runs(one, other):
    """Bit for bit the same, in all that was written."""
    for path in ("last", "mlssl"):
        parts = [checkpoint(getattr(RunFolder(folder), path)) for folder in (one, other)]
        assert same(parts[0]["model"], parts[1]["model"])
    for name in ("assigned", "first_assigned"):
        assert torch.equal(parts[0][name], parts[1][name])
    assert same(weights(one), weights(other))
    assert rows(one) == rows(other)
    return True


@pytest.fixture
def stopped(train, monkeypatch):
    """stopped(variant, folder, epoch): a run that a signal ends in an epoch of stage 2."""

    def run(variant, folder, epoch):
        step = MultiLabelSSL.training_step

        def ask(self, batch, batch_idx):
            if self.epoch == epoch:
                signal.raise_signal(signal.SIGTERM)
            return step(self, batch, batch_idx)

        with monkeypatch.context() as patch:
            patch.setattr(MultiLabelSSL, "training_step", ask)
            with pytest.raises(Interrupted) as caught:
                train(variant, folder)
        return str(caught.value)

    return run


# What a run holds


def test_both_stages_leave_one_model(tiny2, train, tmp_path):
    outcome, said = train(tiny2)
    run = outcome.run
    assert run.finished
    found = weights(run.folder)
    parts = {name.partition(".")[0] for name in found}
    assert parts == {"backbones", "fusion", "relation", "prototypes"}
    assert [found[f"prototypes.heads.{n}.weight"].shape for n in range(8)] == [
        (count, 16) for count in CLUSTERS
    ]
    content = checkpoint(run.mlssl)
    assert content["stage"] == "mlssl"
    assert content["assigned"].shape == (8, 28)
    assert len(content["ids"]) == 28
    assert same(content["model"], found)
    trained = run.trained()
    assert trained.facts.stage == "mlssl"
    assert dict(trained.facts.labels) == dict(zip(NAMES, CLUSTERS, strict=True))
    assert set(outcome.ranks) == {"train", "val"}
    assert "stage 2  relation tel, clusterer faiss: DIAG 5, PN 3" in said
    assert not list(run.folder.rglob("*.part"))


def test_the_rows_of_both_stages(tiny2, train, tmp_path):
    train(tiny2)
    folder = tmp_path / "run"
    assert [row["epoch"] for row in rows(folder, "mmssl")] == ["1"]
    first, second = rows(folder)
    assert (first["epoch"], second["epoch"]) == ("1", "2")
    for row in (first, second):
        terms = [float(row[f"ce/{name}"]) for name in NAMES]
        assert float(row["loss"]) == pytest.approx(sum(terms) / 8)
        for name, count in zip(NAMES, CLUSTERS, strict=True):
            sizes = [int(size) for size in row[f"sizes/{name}"].split("+")]
            assert (len(sizes), sum(sizes)) == (count, 28)
            assert 0 <= float(row[f"entropy/{name}"]) <= 1
            assert 0 <= float(row[f"nmi_truth/{name}"]) <= 1
            assert int(row[f"reseeded/{name}"]) >= 0
            assert float(row[f"objective/{name}"]) >= 0
        assert 0 <= float(row["nmi_labels"]) < 1
    assert first["nmi_before/DIAG"] == ""
    assert 0 <= float(second["nmi_before/DIAG"]) <= 1
    assert "studies_per_second" in (folder / "metrics.csv").read_text().partition("\n")[0]


def test_a_run_is_finished_after_its_last_stage(tiny2, stopped, train, tmp_path):
    said = stopped(tiny2, "run", 0)
    run = RunFolder(tmp_path / "run")
    assert said.startswith("Stopped in epoch 1 of 2. Resume with: sm3kit pretrain --resume --out ")
    assert run.mmssl.is_file()
    assert run.model.is_file()
    assert not run.mlssl.is_file()
    assert not run.finished
    train(tiny2, resume=True)
    assert run.finished


@pytest.mark.parametrize("relation", ["none", "proj", "msa", "tel", "te"])
def test_every_relation_trains(second, train, relation):
    outcome, _ = train(but(second, relation=relation, stage2={"epochs": 1}))
    assert outcome.run.finished
    learnt = {n for n in weights(outcome.run.folder) if n.startswith("relation.")}
    assert bool(learnt) == (relation != "none")


@pytest.mark.parametrize("clusterer", ["release", "sinkhorn"])
def test_every_clusterer_trains(second, train, clusterer):
    assert train(but(second, clusterer=clusterer, stage2={"epochs": 1}))[0].run.finished


@pytest.mark.parametrize("fusion", ["none", "concat", "sum"])
def test_every_fusion_is_followed_by_stage_2(tiny2, train, fusion):
    assert train(but(tiny2, fusion=fusion, stage2={"epochs": 1}))[0].run.finished


def test_one_modality_has_a_stage_2(tiny2, train, tmp_path):
    train(but(tiny2, modality=("derm",), fusion="none", stage2={"epochs": 1}))
    found = weights(tmp_path / "run")
    width = Timm("test_resnet", 3).width
    assert found["relation.project.heads.0.weight"].shape == (16, width)


def test_neither_relation_nor_prototypes_to_learn(second, train, tmp_path):
    train(but(second, relation="none", stage2={"freeze_prototypes": True}))
    assert len(rows(tmp_path / "run")) == 2


def test_zero_epochs_of_stage_2_write_its_model(second, train):
    outcome, _ = train(but(second, stage2={"epochs": 0}))
    assert outcome.run.finished
    assert outcome.run.trained().facts.stage == "mlssl"


# The branches are frozen


@pytest.mark.parametrize("feature_views", [0, 2])
def test_the_extractor_stays_as_stage_1_left_it(tiny2, train, tmp_path, feature_views):
    train(but(tiny2, stage2={"feature_views": feature_views}))
    before = checkpoint(RunFolder(tmp_path / "run").mmssl)["model"]
    after = weights(tmp_path / "run")
    networks = [name for name in before if name.startswith(("backbones.", "fusion."))]
    assert any("running_mean" in name for name in networks)
    assert all(torch.equal(before[name], after[name]) for name in networks)


@pytest.mark.parametrize("feature_views", [0, 2])
def test_the_first_pass_of_the_release_moves_batch_statistics_alone(
    second, train, tmp_path, feature_views
):
    one = but(second, stage2={"feature_views": feature_views, "epochs": 1})
    train(but(one, stage2={"bn_leak": True}), "leak")
    train(one, "sound")
    before, after = weights(Path(second.init)), weights(tmp_path / "leak")
    moved = {n for n in before if n in after and not torch.equal(before[n], after[n])}
    statistics = {n for n in before if n.startswith("backbones.") and "running_" in n}
    counts = {n for n in before if n.startswith("backbones.") and "num_batches" in n}
    assert moved == statistics | counts
    # 24 studies in steps of 10.
    assert {int(after[n] - before[n]) for n in counts} == {3}
    assert rows(tmp_path / "leak") != rows(tmp_path / "sound")


@pytest.mark.parametrize("missing", [0.0, 0.9])
def test_one_study_alone_moves_no_batch_statistics(tiny2, train, missing):
    """Views of 32 pixels leave one number per channel, of which there is no deviation."""
    options = {"synthetic": {"size": 32, "missing": missing}}
    one = but(
        tiny2,
        options=options,
        stage2={"batch_size": 27, "epochs": 1, "bn_leak": True},
        stage1={"epochs": 0},
    )
    assert train(one)[0].run.finished


# On again after a stop


def slow(**changes):
    """Changes that are tried in the whole suite alone."""
    return pytest.param(changes, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "changes",
    [
        {"stage2": {"bank": "memory"}},
        {"stage2": {"bank": "fresh"}},
        slow(clusterer="release", stage2={"bank": "memory", "feature_views": 0}),
        slow(clusterer="release", stage2={"bank": "fresh"}),
        slow(relation="msa", stage2={"bank": "memory", "bn_leak": True, "freeze_prototypes": True}),
    ],
    ids=["memory", "fresh", "memory-release-new-views", "fresh-release", "leak"],
)
def test_a_resumed_stage_2_is_the_straight_one_bit_for_bit(
    second, train, stopped, tmp_path, changes
):
    one = but(but(second, stage2={"epochs": 4}), **changes)
    train(one, "straight")
    stopped(one, "broken", 2)
    assert not RunFolder(tmp_path / "broken").finished
    _, said = train(one, "broken", resume=True)
    assert "resume   stage 2 after epoch 2 of 4" in said or "after epoch 1 of 4" in said
    assert same_runs(tmp_path / "straight", tmp_path / "broken")


def test_a_checkpoint_without_the_first_pseudo_labels_goes_on(second, stopped, train, tmp_path):
    """Earlier versions kept none."""
    one = but(second, stage2={"epochs": 2})
    stopped(one, "run", 1)
    run = RunFolder(tmp_path / "run")
    content = checkpoint(run.last)
    assert (content.pop("first_assigned") >= 0).all()
    torch.save(content, run.last)
    train(one, resume=True)
    assert run.finished
    assert "first_assigned" not in checkpoint(run.mlssl)


@pytest.mark.slow
def test_more_epochs_of_stage_2_go_on_with_a_finished_run(tiny2, train, tmp_path):
    train(but(tiny2, stage2={"epochs": 1}))
    train(but(tiny2, stage2={"epochs": 3}), resume=True)
    train(but(tiny2, stage2={"epochs": 3}), "straight")
    assert same_runs(tmp_path / "run", tmp_path / "straight")


def test_a_run_of_stage_1_goes_on_with_stage_2(tiny2, train, tmp_path):
    one = but(tiny2, stage="mmssl")
    train(one)
    assert RunFolder(tmp_path / "run").finished
    # What only stage 2 depends on is still free, also by the command line.
    chosen = {"clusters": 3, "lr": 0.5}
    asked = Layer({"stage": "both", "relation": "msa", "stage2": chosen})
    wanted = variant_to_resume(RunFolder(tmp_path / "run"), asked, one)
    both = but(tiny2, relation="msa", stage2={"clusters": 3, "lr": 0.5})
    assert (wanted.stage, wanted.relation) == ("both", "msa")
    assert {name: getattr(wanted.stage2, name) for name in chosen} == chosen
    _, said = train(both, resume=True)
    assert "resume   after epoch 1 of 1" in said
    train(both, "straight")
    assert same_runs(tmp_path / "run", tmp_path / "straight")
    assert [row["epoch"] for row in rows(tmp_path / "run", "mmssl")] == ["1"]


@pytest.mark.slow
def test_a_run_of_stage_1_gets_more_epochs_before_its_stage_2(tiny2, train, tmp_path):
    train(but(tiny2, stage="mmssl"))
    train(but(tiny2, stage1={"epochs": 2}), resume=True)
    train(but(tiny2, stage1={"epochs": 2}), "straight")
    assert same_runs(tmp_path / "run", tmp_path / "straight")
    assert [row["epoch"] for row in rows(tmp_path / "run", "mmssl")] == ["1", "2"]


def test_stage_2_does_not_go_on_with_other_networks(tiny2, train, stopped, tmp_path):
    stopped(tiny2, "run", 1)
    run = RunFolder(tmp_path / "run")
    content = checkpoint(run.mmssl)
    name = "backbones.derm.model.bn1.running_mean"
    content["model"][name] += 1e-6
    torch.save(content, run.mmssl)
    with pytest.raises(CheckpointError) as caught:
        train(tiny2, resume=True)
    assert str(caught.value) == (
        f"The networks of stage 1 have changed since stage 2 of {run.folder} began. "
        f"Delete {run.last} to train stage 2 again."
    )


def test_stage_1_cannot_go_on_once_stage_2_has_begun(tiny2, train, tmp_path):
    train(but(tiny2, stage2={"epochs": 1}))
    folder = tmp_path / "run"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(VariantError) as caught:
        train(but(tiny2, stage1={"epochs": 3}), resume=True)
    assert str(caught.value) == (
        f"{folder} has started stage 2 after 1 epochs of stage 1, so --epochs 3 comes too late. "
        "Leave it out, or start a new run with another --out."
    )
    assert all(path.read_bytes() == content for path, content in before.items())
    train(
        variant_to_resume(RunFolder(folder), Layer({"stage2": {"epochs": 2}}), tiny2), resume=True
    )
    assert len(rows(folder)) == 2


def test_stage_2_waits_for_the_whole_stage_1(tiny2, train, tmp_path):
    """Otherwise it would stand on networks that nobody trained."""
    train(but(tiny2, stage="mmssl"))
    folder = tmp_path / "run"
    RunFolder(folder).mmssl.unlink()
    before = weights(folder)
    with pytest.raises(VariantError) as caught:
        train(but(tiny2, stage="mlssl", stage1={"epochs": 3}), resume=True)
    assert str(caught.value) == (
        f"{folder} has done 1 of 3 epochs of stage 1, and --stage mlssl would leave out the rest. "
        "Use --stage both."
    )
    with pytest.raises(CheckpointError, match=r"mmssl\.ckpt cannot be read"):
        train(but(tiny2, stage="mlssl"), resume=True)
    assert same(weights(folder), before)


def test_stage_2_alone_goes_on_with_a_finished_stage_1(tiny2, train, tmp_path):
    train(but(tiny2, stage="mmssl"))
    train(but(tiny2, stage="mlssl"), resume=True)
    train(tiny2, "straight")
    assert same_runs(tmp_path / "run", tmp_path / "straight")


def test_another_stage_2_is_refused_once_it_has_begun(second, train, tmp_path):
    train(but(second, stage2={"epochs": 1}))
    with pytest.raises(
        CheckpointError, match="a run with other settings: its stage2.bank is 'memory', not"
    ):
        train(but(second, stage2={"bank": "fresh"}), resume=True)


# What cannot be trained


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        (
            {"stage2": {"pseudo_labels": 8}},
            VariantError,
            "stage2.pseudo_labels=8 needs the number of clusters of each: add "
            "-o stage2.clusters=3.",
        ),
        (
            {"stage2": {"clusters": 29}},
            DataError,
            "Stage 2 cannot make 29 clusters for 'DIAG' from 28 studies. Give more studies, or "
            "lower -o stage2.clusters.",
        ),
        ({"relation": "tell"}, Exception, "No relation named 'tell'. Did you mean 'tel'?"),
        ({"clusterer": "fais"}, Exception, "No clusterer named 'fais'. Did you mean 'faiss'?"),
    ],
)
def test_what_stage_2_cannot_train_is_said_first(tiny2, train, tmp_path, changes, error, said):
    with pytest.raises(error) as caught:
        train(but(tiny2, **changes))
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_run_of_stage_1_does_not_mind_settings_of_stage_2(tiny, train):
    one = altered(tiny, stage1={"epochs": 0}, stage2={"pseudo_labels": 8, "clusters": 0})
    assert train(one)[0].run.finished


def pictures(folder, count=14, label=None, missing=None):
    """A manifest of noise in two modalities, with a label or without."""
    folder.mkdir(parents=True)
    lines = ["id,split,group,ct,pet" + (",kind" if label else "")]
    for i in range(count):
        cells = []
        for m, name in enumerate(("ct", "pet")):
            generator = torch.Generator().manual_seed(2 * i + m)
            noise = torch.randint(0, 255, (32, 32, 3), generator=generator, dtype=torch.uint8)
            path = folder / f"{name}{i}.png"
            Image.fromarray(noise.numpy()).save(path)
            cells.append("" if missing and missing(i, name) else path.name)
        split = "train" if i < count - 4 else "val"
        lines.append(f"s{i},{split},g{i},{cells[0]},{cells[1]}" + (f",{label(i)}" if label else ""))
    (folder / "m.csv").write_text("\n".join(lines) + "\n")
    return f"manifest:{folder / 'm.csv'}"


def test_data_without_labels_need_to_say_how_many(tiny2, train, tmp_path):
    spec = pictures(tmp_path / "d")
    one = but(tiny2, data=(spec,), stage1={"batch_size": 5})
    with pytest.raises(VariantError) as caught:
        train(one)
    assert str(caught.value) == (
        f"{spec} has no labels, and stage 2 makes a pseudo-label for each. Use --stage mmssl, or "
        "say how many: -o stage2.pseudo_labels=8 -o stage2.clusters=3."
    )
    outcome, said = train(but(one, stage2={"pseudo_labels": 2, "clusters": 3}))
    assert dict(outcome.run.trained().facts.labels) == {"pseudo1": 3, "pseudo2": 3}
    assert not [name for name in rows(outcome.run.folder)[0] if name.startswith("nmi_truth")]
    assert "pseudo1 3, pseudo2 3" in said


def test_one_pseudo_label(second, train, tmp_path):
    train(but(second, stage2={"pseudo_labels": 1, "clusters": 4}))
    last = rows(tmp_path / "run")[-1]
    assert "nmi_labels" not in last
    assert float(last["loss"]) == pytest.approx(float(last["ce/pseudo1"]))


def test_a_single_label_has_none_to_differ_from(second, train, tmp_path):
    lone = {"pseudo_labels": 1, "clusters": 4, "diversity": 0.5}
    with pytest.raises(VariantError) as caught:
        train(but(second, stage2=lone))
    assert str(caught.value) == (
        "stage2.diversity=0.5 keeps labels apart, and 'pseudo1' is the only one. Leave it out, or add "
        "-o stage2.pseudo_labels=8."
    )


def test_diversity_is_a_term_of_the_loss(second, train, tmp_path):
    train(but(second, stage2={"diversity": 2.0, "diversity_target": 0.0}))
    last = rows(tmp_path / "run")[-1]
    costs = [float(value) for name, value in last.items() if name.startswith("ce/")]
    assert float(last["diversity"]) > 0
    assert float(last["loss"]) == pytest.approx(
        sum(costs) / len(costs) + float(last["diversity"]), rel=1e-4
    )


def test_as_many_clusters_for_every_label(second, train, tmp_path):
    train(but(second, stage2={"clusters": 4, "epochs": 1}))
    assert set(RunFolder(tmp_path / "run").trained().facts.labels.values()) == {4}


def test_missing_modalities_and_unknown_labels(tiny2, train, tmp_path):
    spec = pictures(
        tmp_path / "d",
        count=16,
        label=lambda i: "" if i % 3 else ("one", "two")[i % 2],
        missing=lambda i, name: (name == "pet" and i % 2) or (name == "ct" and i == 4),
    )
    for views in (0, 2):
        train(
            but(tiny2, data=(spec,), stage1={"batch_size": 6}, stage2={"feature_views": views}),
            f"run{views}",
        )
        for row in rows(tmp_path / f"run{views}"):
            assert float(row["ce/kind"]) < 10
            assert 0 <= float(row["nmi_truth/kind"]) <= 1
            assert sum(map(int, row["sizes/kind"].split("+"))) == 12


def test_labels_that_nobody_knows(tiny2, train, tmp_path):
    """Pooled data: the labels of one set are unknown in the other, and all are clustered."""
    spec = pictures(tmp_path / "d", label=lambda i: ("one", "two")[i % 2])
    one = but(tiny2, data=("synthetic:40", spec), map={"derm": "ct", "clinic": "pet"})
    train(but(one, stage2={"epochs": 1}))
    (row,) = rows(tmp_path / "run")
    assert sum(map(int, row["sizes/manifest/kind"].split("+"))) == 38
    assert float(row["loss"]) < 10


# Sums, means, workers


def test_a_summed_loss_is_shown_as_the_sum(second, train, tmp_path):
    train(but(second, stage2={"label_loss": "sum", "epochs": 1}))
    (row,) = rows(tmp_path / "run")
    assert float(row["loss"]) == pytest.approx(sum(float(row[f"ce/{name}"]) for name in OWN))


@pytest.mark.parametrize("feature_views", [0, 2])
def test_workers_do_not_change_stage_2(second, train, tmp_path, feature_views):
    one = but(second, stage2={"feature_views": feature_views})
    train(one, "alone")
    train(but(one, machine={"workers": 1}), "helped")
    assert multiprocessing.active_children() == []
    assert same_runs(tmp_path / "alone", tmp_path / "helped")


def test_the_seed_decides(second, train, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(but(second, seed=seed, stage2={"epochs": 1}), name)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_the_record_spells_out_stage_2(second, train, tmp_path):
    train(but(second, options={"tel": {"embedding": "16"}}, stage2={"epochs": 0}))
    record = yaml.safe_load((tmp_path / "run" / "variant.yaml").read_text())
    assert record["options"]["tel"] == {
        "embedding": 16,
        "heads": 1,
        "feedforward": 128,
        "dropout": 0.1,
    }
    assert record["options"]["faiss"]["restarts"] == 1
    assert record["stage2"]["views"] == {"views": 1, "jitter": 0.5, "grayscale": 0.0, "blur": 0.0}

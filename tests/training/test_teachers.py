"""Stage 1 with a frozen teacher: who teaches, what is refused, and what is kept."""

import json
import shutil
import sysconfig
from pathlib import Path

import pytest
import torch
import warm_processes
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_runs import altered

from sm3kit.cli.main import cli
from sm3kit.core.errors import CheckpointError, SM3Error, VariantError
from sm3kit.core.registry import registry
from sm3kit.data.batches import StudyViews
from sm3kit.data.image_cache import ImageCache
from sm3kit.modalities.base import QUARTERS
from sm3kit.networks.assemble import build_pool, fill_in
from sm3kit.networks.teacher import Teacher, labels_to_teach
from sm3kit.runs.folder import RunFolder

TERMS = {"ce", "kd", "kd_views", "ss", "ss_teacher", "rkd_dist", "rkd_angle", "gram"}


@pytest.fixture
def student(stage1_run):
    """student(teacher, **changes): one epoch of ssd_kd on the drawn pairs."""
    variant = RunFolder(stage1_run).record().variant

    def taught(teacher=stage1_run, options=None, **changes):
        own = {"teacher": str(teacher), **(options or {})}
        changes = {"stage1": {"epochs": 1, "monitor_every": 0}, "fusion": "none", **changes}
        return altered(
            variant,
            objective=("ssd_kd",),
            options={**variant.options, "ssd_kd": own},
            **changes,
        )

    return taught


@pytest.fixture
def tuned_file(stage1_run, tmp_path):
    """The file of a fine-tuned classifier, and that of a probe, in a copy of the run."""
    run = shutil.copytree(stage1_run, tmp_path / "tuned")
    for protocol in ("finetune", "probe"):
        words = ["evaluate", str(run), "--protocol", protocol, "--epochs", "1", "--batch-size", "8"]
        done = CliRunner().invoke(cli, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    return run / "eval" / "finetune-test.safetensors"


def terms(outcome):
    row = outcome.run.metrics()[-1]
    return {name: float(value) for name, value in row.items() if name.startswith("ssd_kd/")}


def test_a_run_teaches_with_all_terms(student, train, stage1_run):
    outcome, said = train(student())
    assert outcome.run.finished
    assert str(stage1_run)[:20] in said.split("\nteacher ")[1][:80]
    learned = terms(outcome)
    assert set(learned) == {f"ssd_kd/{m}/{term}" for m in ("derm", "clinic") for term in TERMS}
    assert all(value > 0 for value in learned.values())
    assert "ssd_kd learns from labels, unlike other pre-training: shape, tone, edge." in " ".join(
        said.split()
    )


def test_the_teacher_is_in_no_file(student, train, stage1_run):
    outcome, _ = train(student())
    checkpoint = torch.load(outcome.run.last, weights_only=True)["model"]
    frozen = [w for w in load_file(RunFolder(stage1_run).model).values() if w.ndim == 4]
    for file in (checkpoint, load_file(outcome.run.model)):
        kernels = [weight for weight in file.values() if weight.ndim == 4]
        assert kernels
        assert not any(
            one.shape == other.shape and torch.equal(one, other)
            for one in kernels
            for other in frozen
        )
    # The heads of the objective serve the training alone.
    assert {n.split(".")[0] for n in load_file(outcome.run.model)} == {"backbones"}


def test_a_resumed_run_is_the_straight_run_bit_for_bit(student, train, tmp_path):
    one = student(stage1={"epochs": 3, "monitor_every": 0})
    train(one, "straight")
    train(altered(one, stage1={"epochs": 1}), "broken")
    train(one, "broken", resume=True)
    straight, broken = (load_file(RunFolder(tmp_path / n).model) for n in ("straight", "broken"))
    assert all(torch.equal(straight[name], broken[name]) for name in straight)


def test_a_weight_file_teaches(student, train, weight_file):
    outcome, _ = train(student(weight_file))
    assert outcome.run.finished


def test_fine_tuned_networks_teach(student, train, tuned_file):
    outcome, _ = train(student(tuned_file))
    assert outcome.run.finished
    with pytest.raises(CheckpointError, match="has no networks of its own: only --protocol finet"):
        train(student(tuned_file.with_name("probe-test.safetensors")), "probe")


def test_what_a_teacher_saw_of_other_splits_is_said(student, train, stage1_run, tmp_path):
    variant = RunFolder(stage1_run).record().variant
    outcome, _ = train(altered(variant, splits=("train", "test"), stage1={"epochs": 1}), "seen")
    _, said = train(student(outcome.run.folder))
    assert "was trained on the split test, too, of manifest:" in " ".join(said.split())


def test_a_teacher_that_was_chosen_by_the_test_split_is_said(tuned_file, student, train):
    with safe_open(tuned_file, "pt") as file:
        facts = json.loads(file.metadata()["sm3kit"])
    told = {"sm3kit": json.dumps({**facts, "leaky": True}), "format": "pt"}
    save_file(load_file(tuned_file), tuned_file, told)
    _, said = train(student(tuned_file))
    assert "was chosen on the split that it was measured on; so is its student" in " ".join(
        said.split()
    )


def test_a_teacher_of_other_classes(student, train, tuned_file, studies):
    def other(i, row):
        return {**row, "tone": {"x": "pale", "y": "dark", "z": "red"}[row["tone"]]}

    with pytest.raises(VariantError) as caught:
        train(student(tuned_file, data=(studies("other", other),)))
    assert str(caught.value) == (
        f"-o ssd_kd.teacher={tuned_file} knows the label 'tone' with the classes x, y, z, and the "
        "data have dark, pale, red. Give a teacher of the same classes."
    )


def test_a_student_without_labels_says_what_is_left_out(student, train, studies):
    spec = studies("bare", lambda i, row: {n: row[n] for n in ("id", "derm", "clinic", "split")})
    outcome, said = train(student(data=(spec,)))
    left = {"ss", "ss_teacher", "rkd_dist", "rkd_angle", "gram"}
    assert {name.split("/")[2] for name in terms(outcome)} == left
    assert "leaves out its terms ce, kd and kd_views" in " ".join(said.split())


def test_missing_images_and_few_labels(student, train, studies):
    def change(i, row):
        row = {**row, "clinic": "" if i % 3 else row["clinic"]}
        return {**row, "tone": "" if i % 2 else row["tone"]}

    outcome, _ = train(student(data=(studies("missing", change),)))
    assert set(terms(outcome)) >= {f"ssd_kd/clinic/{term}" for term in TERMS}


def test_with_another_objective_and_a_fusion(student, train):
    one = student(fusion="sep_sep")
    outcome, _ = train(altered(one, objective=("ssd_kd", "simclr")))
    row = outcome.run.metrics()[-1]
    assert float(row["crossmodal/derm-clinic"]) > 0
    assert float(row["simclr/derm"]) > 0


def test_a_joined_batch_and_a_second_stage(student, train):
    one = student(stage1={"epochs": 1, "monitor_every": 0, "join_views": True})
    outcome, _ = train(altered(one, stage="both", stage2={"epochs": 1}))
    assert outcome.run.finished


def test_a_baseline_of_no_epochs_needs_no_teacher(student, train):
    outcome, said = train(student("", stage1={"epochs": 0}))
    assert outcome.run.finished
    assert "loss     none, fusion none" in said


# What is refused, before anything is written


@pytest.mark.parametrize(
    ("teacher", "changes", "said"),
    [
        ("", {}, "The objective 'ssd_kd' learns from a teacher. Give one: -o ssd_kd.teacher=RUN"),
        ("nowhere/run", {}, "there is no such run or file. No backbone provider named 'nowhere'."),
        ("resnt18", {}, "there is no such run or file. No timm model named 'resnt18'."),
        ("{empty}", {}, "holds no run: there is no model.safetensors in it"),
        ("{own}", {"splits": ("train", "test")}, "would show it those that results are chosen by"),
        ("{own}", {"map": {"hand": "clinic"}}, "has networks for derm, clinic, and the data have"),
        ("{text}", {}, "is not a plain state_dict of tensors|cannot be read"),
    ],
    ids=["none", "nowhere", "model", "empty", "splits", "modality", "file"],
)
def test_what_cannot_teach(student, train, stage1_run, tmp_path, teacher, changes, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no weights")
    places = {"empty": tmp_path / "empty", "own": stage1_run, "text": tmp_path / "notes.txt"}
    with pytest.raises(SM3Error, match=said):
        train(student(teacher.format(**places), **changes))
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_other_channels(student, train, stage1_run, tmp_path):
    one = student()
    options = {**one.options, "photo": {"channels": 1}}
    with pytest.raises(VariantError, match="have 3 channels, and those of the data 1"):
        train(altered(one, options=options))


def test_images_that_cannot_be_turned(student, train, monkeypatch, tmp_path):
    monkeypatch.setattr(registry("modalities").get("photo"), "rotatable", False)
    with pytest.raises(VariantError) as caught:
        train(student())
    assert str(caught.value) == (
        "The objective 'ssd_kd' rotates images by 90 degrees, which those of derm (photo), clinic "
        "(photo) do not allow. Leave them out with --modality, or use another objective."
    )
    assert not (tmp_path / "run").exists()


# The heads of a teacher


def test_heads_are_fitted_to_labelled_features():
    """Two labels of blobs; a class that no study is of, and rows that nobody labelled."""
    plain = registry("backbones").get("timm")("test_resnet", 3)
    teacher = Teacher(plain, None, {"two": [8, 8], "three": [8, 0, 8]}, [0, 1])
    generator = torch.Generator().manual_seed(0)
    place = torch.arange(16) // 8
    features = torch.randn(16, plain.width, generator=generator) + 4 * place.unsqueeze(1)
    labels = torch.stack([place, 2 * place], dim=1)
    labels[0, 0] = labels[9, 1] = -1
    teacher.fit_heads(features, labels)
    two, three = teacher.heads(features)
    assert torch.equal(two.argmax(1), place)
    assert torch.equal(three.argmax(1), 2 * place)
    assert three[:, 1].max() < -20
    assert not any(weight.requires_grad for weight in teacher.parameters())
    assert not teacher.train().training


def test_heads_are_scikit_learns_on_standardised_features():
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    plain = registry("backbones").get("timm")("test_resnet", 3)
    teacher = Teacher(plain, None, {"one": [5, 5, 5]}, [0])
    features = torch.randn(15, plain.width, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(15) % 3
    teacher.fit_heads(features, labels.unsqueeze(1))
    scaled = StandardScaler().fit_transform(features.double().numpy())
    model = LogisticRegression(C=0.01, max_iter=1000).fit(scaled, labels)
    wanted = torch.from_numpy(model.predict_proba(scaled))
    torch.testing.assert_close(
        teacher.heads(features)[0].softmax(1).double(), wanted, rtol=0, atol=1e-5
    )


def test_labels_that_do_not_differ_teach_nothing(student, studies):
    spec = studies("same", lambda i, row: {**row, "edge": "m", "tone": "" if i % 2 else "x"})
    pool = build_pool(fill_in(student(data=(spec,))))
    counts, columns = labels_to_teach(pool, pool.of(["train"]), "derm")
    assert list(counts) == ["shape"]
    assert [pool.labels[column].name for column in columns] == ["shape"]
    assert sum(counts["shape"]) == 24


# Turned views


def test_views_are_turned_and_drawn_as_before(student):
    pool = build_pool(fill_in(student(options=None)))
    cases, cache = pool.of(["train"]), ImageCache(None)
    plain = StudyViews(pool, cases, cache, 0)[0, 3].views["derm"]
    turned = StudyViews(pool, cases, cache, 0, rotated=True)[0, 3].views["derm"]
    assert len(turned) == QUARTERS
    for quarter, view in enumerate(plain):
        back = turned[quarter].transpose(1, 2, 0)
        for _ in range(quarter):
            back = back[::-1].transpose(1, 0, 2)  # By 90 degrees, the other way round.
        assert (back.transpose(2, 0, 1) == view).all()


@pytest.mark.slow
def test_two_processes_train_with_a_teacher(stage1_run, tmp_path, studies):
    words = ["pretrain", "--data", studies("own"), "--image-size", "32", "--stage", "mmssl"]
    words += ["--recipe", "quick", "--objective", "ssd_kd", "--fusion", "none", "--epochs", "1"]
    words += ["-o", f"ssd_kd.teacher={stage1_run}", "--devices", "2", "--batch-size", "4"]
    words += ["--workers", "0", "--precision", "32", "--out", str(tmp_path / "run")]
    # The file that the second process is started from.
    script = Path(sysconfig.get_path("scripts")) / "sm3kit"
    code, _, errors = warm_processes.run(*words, script=script)
    assert code == 0, errors
    with safe_open(RunFolder(tmp_path / "run").model, "pt") as file:
        assert list(file.keys())


@pytest.mark.slow
def test_a_student_approaches_its_teacher_at_64_pixels(stage1_run, student, train):
    one = student(
        image_size=64,
        modality=("derm",),
        stage1={"epochs": 12, "monitor_every": 0, "lr": 3e-3, "batch_size": 12},
    )
    outcome, _ = train(one)
    first, last = (outcome.run.metrics()[place] for place in (0, -1))
    for term in ("kd", "rkd_dist", "rkd_angle", "gram"):
        name = f"ssd_kd/derm/{term}"
        assert float(last[name]) < 0.8 * float(first[name]), term


def test_weights_that_cannot_be_fetched_are_asked_for_before_anything_is_written(
    student, train, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    with pytest.raises(
        CheckpointError, match="ImageNet weights of timm model 'test_vit' cannot be"
    ):
        train(student("timm/test_vit"))
    assert not (tmp_path / "run").exists()

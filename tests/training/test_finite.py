"""What is not finite is refused where it first appears, by its name, and nothing of it is kept."""

import csv
import dataclasses
import io
import json
import math
import shutil

import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_runs import altered
from torch import nn

from sm3kit.backbones.base import Backbone
from sm3kit.core.errors import CheckpointError, TrainingError
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.deployment.embed import embed
from sm3kit.deployment.export import export
from sm3kit.deployment.predictor import find_classifier, open_predictor
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.evaluation.opening import open_subject
from sm3kit.evaluation.settings import Settings
from sm3kit.networks.backbone import build_backbone
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.nn.finite import not_finite
from sm3kit.objectives.base import Objective
from sm3kit.report import spaces
from sm3kit.runs.folder import RunFolder
from sm3kit.training import checkpoints
from sm3kit.training.observing.validation import validation_row

FAST = Settings(epochs=1, batch_size=16, resamples=5, feature_views=1, select="last", seed=0)
ONE_STEP = {"batch_size": 40, "epochs": 1}
TOO_FAST, FAST_ENOUGH = 99.0, 98.0
DISTANCE = {TOO_FAST: math.inf, FAST_ENOUGH: 1e30}  # How far `explosive` takes weights.
TOO_FAR = 3e38  # Finite as a weight; the sum of two is not.


def quiet():
    return Reporter(Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def trained(stage2_run, tmp_path_factory):
    """A run of both stages with the classifier of a probe. It must not be changed."""
    folder = shutil.copytree(stage2_run, tmp_path_factory.mktemp("finite") / "run")
    evaluate(subject_of(folder), dataclasses.replace(FAST, protocol="probe"))
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy that may be spoilt."""
    return shutil.copytree(trained, tmp_path / "copy")


def subject_of(folder, features=None):
    return open_subject(folder, [], ImageCache(None), features or FeatureCache(None), quiet())


def spoil(file, start, value):
    """Fills the first tensor of a weight file whose name begins so; gives its name."""
    with safe_open(file, "pt") as content:
        facts = content.metadata()
    weights = load_file(file)
    name = next(n for n in weights if n.startswith(start) and weights[n].is_floating_point())
    weights[name] = torch.full_like(weights[name], value)
    save_file(weights, file, metadata=facts)
    return name


def spoil_checkpoint(file, value, part="model"):
    content = torch.load(file, weights_only=True)
    table = content[part] if part == "model" else content["optimiser"]["state"][0]
    name = next(n for n in table if table[n].is_floating_point() and table[n].ndim)
    table[name][(0,) * table[name].ndim] = value
    torch.save(content, file)
    return name


def written(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def one_line(text):
    assert len(text.splitlines()) == 1
    assert "Unexpected error" not in text
    return text


def finite_on_disk(folder):
    """Every weight and checkpoint that lies in a folder is finite."""
    for file in folder.rglob("*.safetensors"):
        assert not_finite(load_file(file)) == [], file
    for file in folder.rglob("*.ckpt"):
        checkpoints.read_checkpoint(file)
    return True


# The update after the last loss


@pytest.fixture
def explosive(monkeypatch):
    """One step at the rate TOO_FAST takes the weights out of float32, at FAST_ENOUGH far away."""
    step = torch.optim.AdamW.step

    def far(self, *arguments, **more):
        found = step(self, *arguments, **more)
        for group in self.param_groups:
            for one in group["params"] if group["lr"] in DISTANCE else []:
                one.data.add_(DISTANCE[group["lr"]])
        return found

    monkeypatch.setattr(torch.optim.AdamW, "step", far)


@pytest.mark.usefixtures("explosive")
def test_the_weights_of_stage_1(tiny, train, tmp_path):
    one = altered(tiny, stage1={"lr": TOO_FAST, "precision": "auto", **ONE_STEP})
    with pytest.raises(TrainingError) as caught:
        train(one)
    text = one_line(str(caught.value))
    assert "tensors (networks.backbones.derm." in text
    assert text.endswith(
        " are not finite after the last step of epoch 1 of stage 1. Lower --lr, now 99, or use "
        "--precision 32. Nothing was saved."
    )
    left = [path.name for path in written(tmp_path / "run")]
    assert [name for name in left if not name.startswith(".")] == [
        "start.csv",
        "studies.json.gz",
        "variant.yaml",
    ]


@pytest.mark.usefixtures("explosive")
def test_the_weights_of_stage_2(second, train, tmp_path):
    one = altered(second, stage2={"lr": TOO_FAST, "batch_size": 40})
    with pytest.raises(TrainingError) as caught:
        train(one)
    assert one_line(str(caught.value)).endswith(
        " are not finite after the last step of epoch 1 of stage 2. Lower -o stage2.lr, "
        f"now 99. Stage 1 is kept; continue from it with --stage mlssl --init {tmp_path / 'run'}."
    )
    run = RunFolder(tmp_path / "run")
    assert not run.mlssl.exists()
    assert run.trained().facts.stage == "mmssl"
    assert finite_on_disk(run.folder)
    # As the message says.
    again = dataclasses.replace(second, init=str(run.folder))
    train(again, "again")
    assert RunFolder(tmp_path / "again").trained().facts.stage == "mlssl"


@pytest.mark.parametrize(
    ("protocol", "title"), [("probe", "the probe"), ("finetune", "the fine-tuning")]
)
@pytest.mark.parametrize("select", ["last", "val_best"])
@pytest.mark.usefixtures("explosive")
def test_the_weights_of_a_classifier(run, protocol, title, select):
    shutil.rmtree(run / "eval")
    changes = {"protocol": protocol, "select": select, "lr": TOO_FAST, "batch_size": 40}
    with pytest.raises(TrainingError) as caught:
        evaluate(subject_of(run), dataclasses.replace(FAST, **changes))
    assert one_line(str(caught.value)).endswith(
        f" are not finite after the last step of epoch 1 of {title}. Lower --lr, now 99. Nothing "
        "was saved."
    )
    assert not written(run / "eval")


class Trap(Objective):
    """In the last step the loss is finite, and its gradient is what `kind` says."""

    kind = "none"

    def __init__(self, width):
        super().__init__()
        self.progress = 0.0

    def before_step(self, progress):
        self.progress = progress

    def forward(self, features, targets=None, *, present=None, group=None):
        loss = features[0].pow(2).mean()
        if self.progress < 1 or self.kind == "none":
            return {"loss": loss}
        # The root of zero has no slope; and squares of large slopes are not kept in float32.
        return {"loss": (0 * loss).sqrt() if self.kind == "nan" else 1e25 * loss}


@pytest.fixture
def trapped(tiny, registered):
    registered("objectives", "trap", Trap)
    return dataclasses.replace(tiny, objective=("trap",), fusion="none", modality=("derm",))


@pytest.mark.parametrize(
    ("kind", "named"), [("nan", "(networks.backbones.derm."), ("large", "(exp_avg_sq of networks.")]
)
def test_what_goes_wrong_in_the_last_step_of_a_later_epoch(
    trapped, train, tmp_path, monkeypatch, kind, named
):
    """The epoch before is kept, and the training goes on from it."""
    monkeypatch.setattr(Trap, "kind", kind)
    run = RunFolder(tmp_path / "run")
    with pytest.raises(TrainingError) as caught:
        train(trapped)
    text = one_line(str(caught.value))
    assert named in text
    assert text.endswith(
        " are not finite after the last step of epoch 2 of stage 1. Lower --lr, now 0.001. The "
        f"last complete epoch is kept in {run.last}."
    )
    assert not run.model.exists()
    assert checkpoints.read_checkpoint(run.last)["epochs_done"] == 1
    with run.metrics_file.open(newline="", encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1"]
    monkeypatch.setattr(Trap, "kind", "none")
    train(altered(trapped, stage1={"epochs": 3}), resume=True)
    assert run.trained().variant.stage1.epochs == 3
    assert finite_on_disk(run.folder)


class Loud(Backbone):
    """Its features are finite, and the variance before its batch norm is not."""

    def __init__(self, model, channels, *, weights: str = "none"):
        super().__init__()
        self.width, self.conv = 8, nn.Conv2d(channels, 8, 3, stride=4)
        self.norm, self.last = nn.BatchNorm2d(8, affine=False), nn.Linear(8, 8)
        if weights != "none":
            self.conv.weight.data.fill_(math.nan)

    def forward(self, view):
        return self.last(self.norm(1e25 * self.conv(view).detach()).mean((2, 3)))


def test_the_buffers_of_a_batch_norm(trapped, train, registered, tmp_path):
    registered("backbones", "loud", Loud)
    with pytest.raises(TrainingError) as caught:
        train(altered(trapped, backbone="loud/one", stage1={"epochs": 1}))
    assert "(networks.backbones.derm.norm.running_var) are not finite" in str(caught.value)
    assert not RunFolder(tmp_path / "run").model.exists()


# Features


@pytest.mark.usefixtures("explosive")
def test_features_leave_no_model_of_stage_1(tiny, train, tmp_path):
    """Finite weights, so far out that no feature is."""
    with pytest.raises(TrainingError) as caught:
        train(altered(tiny, stage1={"lr": FAST_ENOUGH, **ONE_STEP}))
    assert one_line(str(caught.value)).startswith(
        "The features of derm of the split train, after stage 1, are not finite for 28 of 28 "
    )
    assert not RunFolder(tmp_path / "run").model.exists()
    assert finite_on_disk(tmp_path / "run")


@pytest.fixture
def overflowing(run):
    """A run of finite weights under which the features of derm are not finite."""
    spoil(run / "model.safetensors", "backbones.derm.model.conv1.0.weight", TOO_FAR)
    return run


def using(subject, protocol, **changes):
    return evaluate(subject, dataclasses.replace(FAST, protocol=protocol, **changes))


USES = {
    "match": lambda subject: using(subject, "match"),
    "knn": lambda subject: using(subject, "knn"),
    "probe": lambda subject: using(subject, "probe"),
    "probe of new views": lambda subject: using(subject, "probe", feature_views=0),
    "embed": lambda subject: embed(subject, ["test"], ["backbone"]),
    "report": lambda subject: spaces.tables(subject, subject.pool.cases["test"], "backbone"),
}


@pytest.mark.parametrize("use", USES)
def test_features_are_neither_used_nor_kept(overflowing, tmp_path, use):
    subject = subject_of(overflowing, FeatureCache(tmp_path / "features"))
    before = written(overflowing)
    with pytest.raises(TrainingError) as caught:
        USES[use](subject)
    text = one_line(str(caught.value))
    assert text.startswith("The features of derm computed in 32-true are not finite for ")
    assert not list((tmp_path / "features").rglob("*.npy"))
    assert written(overflowing) == before


def test_features_of_stage_2(overflowing, second, train, tmp_path):
    with pytest.raises(TrainingError, match="The features of derm computed in 32-true are not"):
        train(dataclasses.replace(second, init=str(overflowing)))
    assert not list((tmp_path / "run").rglob("mlssl.ckpt"))


def test_fine_tuning_on_them_has_no_loss(overflowing):
    with pytest.raises(
        TrainingError, match=r"The loss term .* not finite in epoch 1 of the fine-t"
    ):
        using(subject_of(overflowing), "finetune")


@pytest.mark.parametrize(
    ("part", "use", "named"),
    [
        ("fusion", "match", "The features of derm after the fusion are not finite"),
        ("fusion", "projection", "The features of projection/derm to be written are not"),
        ("relation", "embedding", "The features of embedding/shape to be written are not"),
        ("relation", "report", "The features of shape in the space embedding are not"),
        ("relation", "probe", "The loss term "),
    ],
)
def test_streams_and_label_embeddings(run, part, use, named):
    weights = load_file(run / "model.safetensors")
    for name in [n for n in weights if n.startswith(f"{part}.") and n.endswith("weight")]:
        spoil(run / "model.safetensors", name, 3e38)
    subject = subject_of(run)
    with pytest.raises(TrainingError) as caught:
        if use in ("match", "probe"):
            using(subject, use)
        elif use == "report":
            spaces.tables(subject, subject.pool.cases["test"], "embedding")
        else:
            embed(subject, ["test"], [use])
    assert one_line(str(caught.value)).startswith(named)


def test_looks_at_validation_studies_show_nan_and_stop_nothing(overflowing):
    from sm3kit.data.batches import eval_loader

    subject = subject_of(overflowing)
    cases = subject.pool.cases["train"]
    batches = eval_loader(subject.views_of(cases, 0), 8, list(subject.pool.modalities))
    row = validation_row(subject.branches, batches, subject.pool.labels, cases)
    for column in ("rank/derm->clinic", "rank/clinic->derm", "knn_auc", "knn_auc_error"):
        assert math.isnan(row[column])


# Files


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_model_of_a_run(run, second, train, tmp_path, value):
    name = spoil(run / "model.safetensors", "backbones.derm", value)
    expected = (
        rf"model\.safetensors comes from a training that diverged: 1 of \d+ tensors \({name}\) are not "
        r"finite\. Train the run again with a lower --lr\.$"
    )
    for use in (
        lambda: RunFolder(run).trained(),
        lambda: subject_of(run),
        lambda: train(dataclasses.replace(second, init=str(run))),
    ):
        with pytest.raises(CheckpointError, match=expected):
            use()
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("part", ["model", "optimiser"])
def test_the_last_checkpoint(tiny, train, tmp_path, part):
    train(altered(tiny, stage1={"epochs": 1}))
    run = RunFolder(tmp_path / "run")
    name = spoil_checkpoint(run.last, math.inf, part)
    with pytest.raises(CheckpointError) as caught:
        train(tiny, resume=True)
    where = name if part == "model" else f"state.0.{name}"
    assert str(caught.value) == (
        f"The checkpoint {run.last} comes from a training that diverged: {part}.{where} are not finite. "
        "Delete it, and train again with a lower --lr."
    )


def test_the_checkpoint_of_stage_1(second, train, tmp_path):
    train(second)
    run = RunFolder(tmp_path / "run")
    spoil_checkpoint(run.mmssl, math.nan)
    with pytest.raises(CheckpointError, match=r"mmssl\.ckpt comes from a training that diverged"):
        train(altered(second, stage2={"epochs": 3}), resume=True)


def test_a_classifier(run):
    file = next((run / "eval").glob("probe*.safetensors"))
    name = spoil(file, "classifier", math.nan)
    trained = RunFolder(run).trained()
    with pytest.raises(CheckpointError) as caught:
        open_predictor(trained, find_classifier(trained, "probe"))
    assert f"tensors ({name}) are not finite. Evaluate the run again" in str(caught.value)
    with pytest.raises(CheckpointError, match="comes from a training that diverged"):
        export(trained, "safetensors", run.parent / "out")
    assert not (run.parent / "out").exists()


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_weight_file(tiny, tmp_path, ending):
    network = build_backbone(tiny, "derm", 3)
    state = {n.removeprefix("model."): v for n, v in network.state_dict().items()}
    state["layer1.0.conv1.weight"].view(-1)[3] = math.nan
    file = tmp_path / f"weights.{ending}"
    (save_file if ending == "safetensors" else torch.save)(state, file)
    with pytest.raises(CheckpointError) as caught:
        build_backbone(dataclasses.replace(tiny, weights=str(file)), "derm", 3)
    assert str(caught.value) == (
        f"The backbone of derm needs finite weights to start from, and --weights {file} gives NaN "
        "or infinity in model.layer1.0.conv1.weight. Give another file, or none."
    )


def test_the_weights_of_any_provider(tiny, registered):
    registered("backbones", "loud", Loud)
    one = dataclasses.replace(tiny, backbone="loud/one", weights="some.pt")
    with pytest.raises(CheckpointError, match=r"--weights some\.pt gives NaN or infinity in conv"):
        build_backbone(one, "derm", 3)


def test_a_stage_without_a_step_is_looked_at_too(tiny, train, registered, tmp_path):
    class Blank(Objective):
        def __init__(self, width):
            super().__init__()
            self.register_buffer("mean", torch.tensor(math.nan))

    registered("objectives", "blank", Blank)
    with pytest.raises(TrainingError) as caught:
        train(altered(tiny, objective=("blank",), stage1={"epochs": 0}))
    assert "objectives.blank.derm.mean" in str(caught.value)
    assert " are not finite at the end of stage 1, and no model is written." in str(caught.value)
    assert not list((tmp_path / "run").rglob("*.ckpt"))


# The command line


def refused(done, *said):
    assert done.exit_code == 1, done.output
    assert one_line(done.stderr.strip()).startswith("Error: ")
    assert "Traceback" not in done.output
    for words in said:
        assert words in done.stderr


def test_a_pre_training_that_diverges(sm3kit_command, tmp_path):
    words = ["--data", "synthetic:40", "--image-size", "32", "--stage", "mmssl", "--epochs", "1"]
    # Each step multiplies the weights by about 1 - 100 * 1000.
    words += ["--lr", "100", "-o", "stage1.weight_decay=1000", "--batch-size", "2"]
    out = tmp_path / "out"
    done = sm3kit_command("pretrain", *words, "--out", out, "--quiet")
    refused(done, "Lower --lr, now 100", "Nothing was saved.")
    assert not list(out.rglob("*.safetensors")) + list(out.rglob("*.ckpt"))


COMMANDS = [
    ("evaluate", "--protocol", "match"),
    ("evaluate", "--protocol", "knn"),
    ("embed", "--out", "out.npz"),
    ("export", "--format", "safetensors", "--out", "out"),
]


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_on_a_run_that_has_diverged(sm3kit_command, run, tmp_path, words):
    """As an earlier sm3kit left it: matching then gave a mean rank of 0.5."""
    name = spoil(run / "model.safetensors", "backbones.derm", math.nan)
    before = written(run)
    done = sm3kit_command(words[0], run, *words[1:])
    refused(done, "comes from a training that diverged", name)
    assert written(run) == before
    assert list((tmp_path / "command").iterdir()) == []


def test_predictions_of_a_run_whose_features_overflow(sm3kit_command, overflowing):
    facts = json.loads((overflowing / "eval" / "probe-test.json").read_text("utf-8"))
    file = overflowing / "eval" / "probe-test.safetensors"
    # The classifier is told of the networks as they are now.
    with safe_open(file, "pt") as content:
        kept = content.metadata()
    own = json.loads(kept["sm3kit"]) | {"model": RunFolder(overflowing).trained().file_hash}
    save_file(load_file(file), file, metadata=kept | {"sm3kit": json.dumps(own)})
    done = sm3kit_command("predict", overflowing, "--data", *facts["data"])
    refused(done, "The features of derm computed in 32-true are not finite")

"""Runs of a vision transformer with LoRA and frozen blocks, from the first epoch to the export."""

import json
import shutil

import numpy as np
import pytest
import timm
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from tiny_runs import altered

from sm3kit.backbones.timm import Timm
from sm3kit.cli.main import cli
from sm3kit.core.errors import OptionError
from sm3kit.runs.folder import RunFolder

OPTIONS = {"lora": 2, "freeze": 1, "pool": "mean"}


@pytest.fixture(scope="module")
def adapted_run(shared_run):
    """The folder of a run of stage 1 whose networks learn by LoRA. It must not be changed."""
    return shared_run("lora", backbone="timm/test_vit", stage="mmssl", options={"timm": OPTIONS})


@pytest.fixture(scope="module")
def run_copy(adapted_run, tmp_path_factory):
    """A copy of it for evaluations."""
    return shutil.copytree(adapted_run, tmp_path_factory.mktemp("lora") / "run")


def sm3kit(*words):
    done = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def variant_of(folder, **changes):
    return altered(RunFolder(folder).record().variant, **changes)


def test_updates_alone_have_learned(adapted_run):
    torch.manual_seed(0)
    trained = RunFolder(adapted_run).trained().network("derm")
    learning = {n for n, weight in trained.named_parameters() if weight.requires_grad}
    state = trained.state_dict()
    assert len(learning) == 5 * 4 * 2
    assert all("lora" in name for name in learning)
    assert all(state[name].any() for name in learning)  # B was zero.


def test_a_resumed_run_is_the_straight_run_bit_for_bit(adapted_run, train, tmp_path):
    one = variant_of(adapted_run, stage1={"monitor_every": 0})
    train(one, "straight")
    train(altered(one, stage1={"epochs": 1}), "broken")
    train(one, "broken", resume=True)
    straight, broken = (load_file(RunFolder(tmp_path / n).model) for n in ("straight", "broken"))
    assert all(torch.equal(straight[name], broken[name]) for name in straight)


def test_parts_of_a_batch_give_the_same_run(adapted_run, train):
    """A transformer has no batch norm, so the networks are the same; the projectors have theirs."""
    loss = {}
    for size in (0, 3):
        one = variant_of(adapted_run, stage1={"epochs": 1, "micro_batch": size, "monitor_every": 0})
        outcome, _ = train(one, f"run{size}")
        loss[size] = float(outcome.run.metrics()[-1]["loss"])
    assert loss[0] == pytest.approx(loss[3], rel=1e-4)


def test_an_ema_encoder_follows(adapted_run, train):
    one = variant_of(adapted_run, objective=("byol",), fusion="none", stage1={"epochs": 1})
    outcome, _ = train(one)
    assert outcome.run.finished


def test_it_is_probed_fine_tuned_and_asked(run_copy, drawn_folder):
    sm3kit("evaluate", run_copy, "--protocol", "probe", "--epochs", 1, "--batch-size", 8)
    sm3kit("evaluate", run_copy, "--protocol", "finetune", "--epochs", 1, "--batch-size", 8)
    record = json.loads((run_copy / "eval" / "finetune-test.json").read_text("utf-8"))
    network = RunFolder(run_copy).trained().network("derm")
    own = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    heads = (2 * network.width + 1) * (2 + 3 + 2)
    assert record["trainable_parameters"] == 2 * own + heads
    tuned = load_file(run_copy / "eval" / "finetune-test.safetensors")
    start = "extractor.backbones.derm."
    after = {n.removeprefix(start): w for n, w in tuned.items() if n.startswith(start)}
    changed = {n for n, w in network.state_dict().items() if not torch.equal(w, after[n])}
    assert changed
    assert all("lora" in name for name in changed)
    picture = next(drawn_folder.rglob("*.jpg"))
    for protocol in ("probe", "finetune"):
        words = ["--image", f"derm={picture}", "--protocol", protocol, "--json"]
        assert "shape" in sm3kit("predict", run_copy, *words)


def test_timm_alone_loads_the_export(adapted_run, tmp_path):
    out = tmp_path / "derm"
    sm3kit("export", adapted_run, "--format", "timm", "--modality", "derm", "--out", out)
    network = RunFolder(adapted_run).trained().network("derm").eval()
    model = timm.create_model(f"local-dir:{out}", pretrained=True, num_classes=0).eval()
    assert not any("lora" in name for name in model.state_dict())
    view = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert np.abs(model(view).numpy() - network(view).numpy()).max() < 1e-5


def test_a_weight_file_teaches_whatever_the_student_is_told(adapted_run, train, tmp_path):
    """Its teacher is a convolutional network, which has neither LoRA nor a class token."""
    file = tmp_path / "teacher.pth"
    torch.save(Timm("test_resnet", 3).model.state_dict(), file)
    own = {"teacher": str(file), "teacher_backbone": "timm/test_resnet"}
    options = {"timm": {**OPTIONS, "pool": "token"}, "distill": own}
    one = variant_of(adapted_run, objective=("distill",), fusion="none", stage1={"epochs": 1})
    outcome, _ = train(altered(one, options={**one.options, **options}))
    assert float(outcome.run.metrics()[-1]["distill/derm"]) > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"lora": 2},
            "The option lora is for vision transformers, and the timm model 'test_resnet'",
        ),
        ({"freeze": 9}, "leaves nothing to learn. Give at most"),
        ({"pool": "token"}, "The timm model 'test_resnet' does not accept the option pool=token."),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    tiny, train, tmp_path, options, said
):
    with pytest.raises(OptionError, match=said):
        train(altered(tiny, options={**tiny.options, "timm": options}))
    assert not (tmp_path / "run").exists()

"""Checkpoints: equal contents are equal bytes, also after a run has gone on from one."""

from types import SimpleNamespace

import pytest
import torch
from tiny_runs import altered

from sm3kit.core.errors import CheckpointError
from sm3kit.core.variant import Variant
from sm3kit.training.base import Learner
from sm3kit.training.checkpoints import (
    FORMAT,
    checkpoint,
    read_checkpoint,
    resume,
    write_checkpoint,
)
from sm3kit.training.optimising.optimisers import WeightGroup, optimiser


class Line(Learner):
    """Something that learns, with one weight per input."""

    def __init__(self, inputs=2):
        super().__init__("mmssl", Variant(), SimpleNamespace(epochs=5, lr=0.1), 0, 1)
        self.layer = torch.nn.Linear(inputs, 1)
        self.extra = {"best": 0.0}

    def configure_optimizers(self):
        weights = [WeightGroup(self.rate, list(self.parameters()))]
        return optimiser("adamw", weights, (0.9, 0.999), 1e-8, 0.0, self.optimiser_state)


@pytest.fixture
def kept(tmp_path):
    """The last checkpoint of a line after one step, its file, and its optimiser."""
    torch.manual_seed(0)
    line = Line()
    line.first_epoch, line.extra = 2, {"best": 0.7}
    optimiser = line.configure_optimizers()
    line.layer(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    scaler = SimpleNamespace(state_dict=lambda: {"scale": 8.0})
    trainer = SimpleNamespace(optimizers=[optimiser], precision_plugin=scaler)
    file = tmp_path / "last.ckpt"
    write_checkpoint(file, checkpoint(trainer, line, "hash"))
    return SimpleNamespace(line=line, file=file, optimiser=optimiser)


def test_a_training_goes_on_where_its_checkpoint_left_it(kept):
    other = Line()
    resume(other, read_checkpoint(kept.file), kept.file)
    assert (other.first_epoch, other.epoch, other.extra) == (3, 3, {"best": 0.7})
    assert other.scaler_state == {"scale": 8.0}
    assert torch.equal(other.layer.weight, kept.line.layer.weight)
    states = [
        one.state_dict()["state"][0] for one in (other.configure_optimizers(), kept.optimiser)
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])


def test_another_network_does_not_go_on_with_it(kept):
    with pytest.raises(CheckpointError, match=r"last\.ckpt is of another network: .*size mismatch"):
        resume(Line(3), read_checkpoint(kept.file), kept.file)


def test_another_optimiser_does_not_go_on_with_it(kept):
    other = Line()
    resume(other, read_checkpoint(kept.file), kept.file)
    other.optimiser_state["param_groups"][0]["params"] = [0]
    with pytest.raises(
        CheckpointError, match="does not fit this optimiser. Delete it to start over"
    ):
        other.configure_optimizers()


def content():
    """What a stage keeps, small."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    optimiser = torch.optim.AdamW(network.parameters())
    network(torch.randn(4, 2)).sum().backward()
    optimiser.step()
    return {
        "format": FORMAT,
        "stage": "mmssl",
        "epochs_done": 1,
        "variant": Variant().as_dict(),
        "data_hash": "".join(["mm", "ssl"]),  # Equal to another text, and another object.
        "model": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "precision": {},
    }


def test_reading_and_writing_again_changes_no_byte(tmp_path):
    file = tmp_path / "last.ckpt"
    write_checkpoint(file, content())
    first = file.read_bytes()
    kept = read_checkpoint(file)
    write_checkpoint(file, kept)
    assert file.read_bytes() == first
    assert kept["model"]._metadata == content()["model"]._metadata


def test_nothing_is_lost_on_the_way(tmp_path):
    write_checkpoint(tmp_path / "last.ckpt", content())
    kept, wanted = read_checkpoint(tmp_path / "last.ckpt"), content()
    weights = kept.pop("model"), wanted.pop("model")
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
    states = [one.pop("optimiser")["state"] for one in (kept, wanted)]
    assert torch.equal(states[0][0]["exp_avg"], states[1][0]["exp_avg"])
    assert kept == wanted


@pytest.mark.parametrize("stage", [pytest.param("mmssl", marks=pytest.mark.slow), "both"])
def test_a_run_that_went_on_leaves_the_same_bytes(tiny2, train, stage):
    base = altered(tiny2, stage=stage, stage1={"epochs": 2, "monitor_every": 0})
    straight = train(base, "straight")[0].run
    short = altered(base, stage="mmssl", stage1={"epochs": 1})
    train(short, "stopped")
    gone_on = train(base, "stopped", resume=True)[0].run
    names = ["last", "mmssl", "model", "studies_file", *(["mlssl"] if stage == "both" else [])]
    for name in names:
        one, other = (getattr(run, name).read_bytes() for run in (straight, gone_on))
        assert one == other, name

"""Checkpoints: equal contents are equal bytes, also after a run has gone on from one."""

import pytest
import torch
from tiny_runs import altered

from sm3kit.core.variant import Variant
from sm3kit.training.checkpoints import FORMAT, read_checkpoint, write_checkpoint


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
    names = ["last", "mmssl", "model", "studies", *(["mlssl"] if stage == "both" else [])]
    for name in names:
        one, other = (getattr(run, name).read_bytes() for run in (straight, gone_on))
        assert one == other, name

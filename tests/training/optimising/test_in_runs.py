"""Whole small runs: averages, clipping, early stopping and a limit of time, resumed bit for bit."""

import csv
import time
from types import SimpleNamespace

import pytest
import torch
from tiny_runs import altered, quiet

from sm3kit.core.errors import Interrupted, OptionError, TimeUp, VariantError
from sm3kit.core.stage_settings import MachineSettings
from sm3kit.core.text import seconds_of
from sm3kit.data.image_cache import ImageCache
from sm3kit.runs.folder import RunFolder
from sm3kit.training import callbacks, checkpoints
from sm3kit.training.callbacks import StopEarly
from sm3kit.training.pretrain import pretrain

ALL = {
    "ema": 0.9,
    "clip": 0.1,
    "layer_decay": 0.5,
    "decay_norms": False,
    "optimiser": "lars",
    "schedule": "cosine",
    "warmup_epochs": 1,
    "lr": 1.0,
    "epochs": 4,
}


@pytest.fixture
def base(tiny, studies):
    return altered(tiny, data=(studies("own"),))


def train(variant, folder, resume=False):
    pretrain(variant, folder, quiet(), ImageCache(None), resume=resume)
    return RunFolder(folder)


def rows(run):
    with run.metrics_file.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["epoch"] != "0"]


def same_model(first, second):
    one, other = (checkpoints.read_checkpoint(run.mmssl)["model"] for run in (first, second))
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def stop_after(monkeypatch, epoch):
    """Interrupts a training when it has kept an epoch."""
    keep = checkpoints.KeepLast.on_train_epoch_end

    def stop(self, trainer, module):
        keep(self, trainer, module)
        if module.epoch + 1 == epoch:
            raise Interrupted

    monkeypatch.setattr(checkpoints.KeepLast, "on_train_epoch_end", stop)
    monkeypatch.setattr(checkpoints.KeepLast.__init__, "__defaults__", (1e9,))


@pytest.mark.parametrize(
    "more", [{}, {"stop_on": "loss", "patience": 1, "optimiser": "sgd", "lr": 10.0}]
)
def test_a_resumed_run_with_everything_is_the_uninterrupted_one(base, tmp_path, monkeypatch, more):
    variant = altered(base, stage1={**ALL, **more})
    whole = train(variant, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        stop_after(patch, 2)
        train(variant, tmp_path / "parts")
    parts = train(variant, tmp_path / "parts", resume=True)
    assert same_model(whole, parts)
    free = [{n: v for n, v in row.items() if "per_second" not in n} for row in rows(whole)]
    again = [{n: v for n, v in row.items() if "per_second" not in n} for row in rows(parts)]
    assert free == again
    # The model is the average, not the weights of the last step; the monitors looked at it.
    content = checkpoints.read_checkpoint(whole.last)["model"]
    kept = checkpoints.read_checkpoint(whole.mmssl)["model"]
    name = next(n for n in kept if n.endswith("conv1.0.weight"))
    assert not torch.equal(kept[name], content[f"networks.{name}"])
    if not more:
        assert all(torch.equal(kept[n], content[f"average.average.{n}"]) for n in kept)


def test_early_stopping_keeps_the_best_look(base, tmp_path):
    # Far too large steps: nothing becomes better for long.
    changes = {"stop_on": "rank", "patience": 1, "epochs": 9, "lr": 0.3, "optimiser": "sgd"}
    run = train(altered(base, stage1=changes), tmp_path / "run")
    history = rows(run)
    ranks = [
        sum(float(row[f"rank/{way}*"]) for way in ("derm->clinic", "clinic->derm"))
        for row in history
    ]
    best = ranks.index(min(ranks))
    assert len(ranks) < 9
    assert len(ranks) == best + 2
    assert history[-1]["best_epoch"] == str(best + 1)
    model = checkpoints.read_checkpoint(run.mmssl)
    assert model["epochs_done"] == best + 1
    state = checkpoints.read_checkpoint(run.last)["best_state"]
    assert all(torch.equal(model["model"][name], state[name]) for name in state)
    # Who is more patient goes on; who is not has the same model again.
    first = run.mmssl.read_bytes()
    train(altered(base, stage1=changes), tmp_path / "run", resume=True)
    assert run.mmssl.read_bytes() == first
    train(altered(base, stage1={**changes, "patience": 3}), tmp_path / "run", resume=True)
    assert len(rows(run)) > len(ranks)


def test_time_is_up_after_a_whole_epoch(base, tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    fake = SimpleNamespace(monotonic=lambda: clock.now, perf_counter=time.perf_counter)
    look = callbacks.Monitor.on_train_epoch_end

    def slow(self, trainer, module):
        clock.now += 10
        look(self, trainer, module)

    variant = altered(base, stage1={"epochs": 4}, machine={"max_time": "35s"})
    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "time", fake)
        patch.setattr("sm3kit.training.start.time", fake)
        patch.setattr(callbacks.Monitor, "on_train_epoch_end", slow)
        with pytest.raises(
            TimeUp, match="Stopped after epoch 3 of 4. Resume with: sm3kit pretrain"
        ):
            train(variant, tmp_path / "run")
    assert checkpoints.read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["epochs_done"] == 3
    whole = train(altered(base, stage1={"epochs": 4}), tmp_path / "whole")
    assert same_model(train(variant, tmp_path / "run", resume=True), whole)


def test_a_first_epoch_that_takes_too_long_is_stopped_between_steps(base, tmp_path):
    with pytest.raises(TimeUp, match="Stopped in the first epoch. Start again with"):
        train(altered(base, machine={"max_time": "0.001s"}), tmp_path / "run")


def epochs_until(deadline, lengths, monkeypatch):
    """After how many epochs of these lengths a training stops."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: clock.now))
    stop = StopEarly(deadline)
    strategy = SimpleNamespace(broadcast=lambda value: value)
    trainer = SimpleNamespace(should_stop=False, strategy=strategy)
    module = SimpleNamespace(epoch=0, epochs=len(lengths), stops_early=False, ended=False)
    for module.epoch, length in enumerate(lengths):
        clock.now += length
        stop.on_train_epoch_end(trainer, module)
        if trainer.should_stop:
            break
    return module.epoch + 1, stop.stopped_after


@pytest.mark.parametrize(
    ("deadline", "lengths", "stopped"),
    [
        (None, [10] * 3, (3, 0)),
        (30, [10] * 3, (3, 0)),
        (29, [10] * 3, (2, 2)),
        # A slow first epoch tells little of the others.
        (60, [30, 10, 10, 10, 10], (4, 4)),
        (15, [10, 1, 1], (1, 1)),
        (40, [10, 20, 5, 5], (2, 2)),
    ],
)
def test_an_epoch_that_would_not_end_in_time_is_not_begun(deadline, lengths, stopped, monkeypatch):
    assert epochs_until(deadline, lengths, monkeypatch) == stopped


def test_lengths_of_time():
    texts = {"00:01:30": 90, "12:00:00": 43_200, "1:12:00:00": 129_600, "2-00:00:01": 172_801}
    texts |= {"90m": 5400, "1.5h": 5400, "2d": 172_800, "45 s": 45}
    assert {text: seconds_of(text) for text in texts} == texts
    for text in ("", "0m", "90", "1:30", "00:00:00", "1:61:00", "-5m", "nan h"):
        with pytest.raises(OptionError, match="'max_time' must be a time such as 12:00:00"):
            MachineSettings(max_time=text)
    assert MachineSettings().seconds is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"warmup_epochs": 2}, "leaves none of the 2 epochs at the full learning rate"),
        ({"patience": 3}, "has no effect without early stopping"),
    ],
)
def test_settings_without_effect_are_refused_before_anything_is_written(
    base, tmp_path, changes, said
):
    with pytest.raises(VariantError, match=said):
        train(altered(base, stage1=changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_gradients_are_clipped_as_by_torch(base, tmp_path, monkeypatch):
    norms = []
    step = torch.optim.SGD.step

    def look(self, *arguments, **keywords):
        result = step(self, *arguments, **keywords)
        grads = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(torch.cat([g.flatten() for g in grads if g is not None]).norm())
        return result

    monkeypatch.setattr(torch.optim.SGD, "step", look)
    changes = {"clip": 0.01, "optimiser": "sgd", "epochs": 1, "monitor_every": 0}
    train(altered(base, stage1=changes), tmp_path / "run")
    assert len(norms) == 3
    assert torch.stack(norms).tolist() == pytest.approx([0.01] * 3, rel=1e-3)

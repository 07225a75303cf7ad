"""Fine-tuning: what learns, what stays, and that an interruption costs nothing but time."""

import dataclasses
import hashlib
import shutil

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import altered

from sm3kit.core.errors import Interrupted, VariantError
from sm3kit.evaluation import learning
from sm3kit.evaluation.evaluate import evaluate
from sm3kit.runs.folder import RunFolder
from sm3kit.training import callbacks
from sm3kit.training.pretrain import pretrain

SLOW = {"protocol": "finetune", "lr": 1e-3}


def network(run, name="finetune-test"):
    return load_file(run / "eval" / f"{name}.safetensors")


def parameters(module):
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def part(weights, name):
    """The weights of a part of the network, {name in the part: weight}."""
    return {n[len(name) :]: w for n, w in weights.items() if n.startswith(name)}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def modes(monkeypatch):
    """The modes of the batch norms during training steps."""
    seen = set()
    step = learning.Supervised.training_step

    def watched(self, *batch):
        norms = [m for m in self.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert norms
        seen.update(norm.training for norm in norms)
        return step(self, *batch)

    monkeypatch.setattr(learning.Supervised, "training_step", watched)
    return seen


def test_all_changes_every_layer_and_not_the_run(opened, fast, runs, modes):
    model = digest(runs.stage2 / "model.safetensors")
    subject = opened(runs.stage2)
    before = parameters(subject.branches.backbones)
    relation = parameters(subject.embedding.relation)
    record = evaluate(subject, dataclasses.replace(fast, select="last", **SLOW))
    after = part(network(runs.stage2), "extractor.backbones.")
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    after = part(network(runs.stage2), "classifier.embedding.relation.")
    assert [name for name in relation if torch.equal(relation[name], after[name])] == []
    # What was opened can be evaluated again.
    assert same(parameters(subject.branches.backbones), before)
    assert same(parameters(subject.embedding.relation), relation)
    assert modes == {True}
    assert record["scope"] == "all"
    learned = sum(p.numel() for p in subject.branches.backbones.parameters())
    learned += sum(p.numel() for p in subject.embedding.parameters()) + (16 + 1) * 7
    assert record["trainable_parameters"] == learned
    assert digest(runs.stage2 / "model.safetensors") == model


def test_layers_leaves_the_stem_as_it_is(opened, fast, runs, modes):
    subject = opened(runs.stage1)
    before = parameters(subject.branches.backbones)
    stems = {id(weight) for one in subject.branches.backbones.values() for weight in one.stem()}
    names = {n for n, w in subject.branches.backbones.named_parameters() if id(w) in stems}
    chosen = dataclasses.replace(fast, select="last", scope="layers", **SLOW)
    record = evaluate(subject, chosen)
    after = part(network(runs.stage1, "finetune-test-layers"), "extractor.backbones.")
    assert {name for name in before if torch.equal(before[name], after[name])} == names
    assert 0 < len(names) < len(before)
    assert modes == {True}
    learned = sum(w.numel() for name, w in before.items() if name not in names)
    width = subject.branches.joint_width
    assert record["trainable_parameters"] == learned + (width + 1) * 7


def test_the_saved_network_is_that_of_the_chosen_epoch(evaluated, runs, monkeypatch):
    """Buffers, too: the batch statistics of a later epoch would give other predictions."""
    found = iter([0.9, 0.5, 0.4])
    monkeypatch.setattr(learning, "mean_auc", lambda predictions: next(found))
    record = evaluated(runs.stage1, epochs=3, **SLOW)
    assert record["chosen"] == {"epoch": 1}
    chosen = network(runs.stage1)
    evaluated(runs.stage1, epochs=1, select="last", label="once", **SLOW)
    assert same(chosen, network(runs.stage1, "finetune-test-once"))


@pytest.mark.parametrize("protocol", ["finetune", "probe"])
@pytest.mark.parametrize("stop_in", [1, 2])
def test_an_interrupted_evaluation_goes_on_bit_for_bit(
    opened, fast, runs, monkeypatch, protocol, stop_in
):
    settings = dataclasses.replace(fast, protocol=protocol, epochs=4, lr=1e-3)
    kept = {}
    undisturbed = evaluate(opened(runs.stage2), settings)
    for part in ("json", "safetensors"):
        kept[part] = runs.stage2 / "eval" / f"{protocol}-test.{part}"
    whole = load_file(kept["safetensors"])
    kept["json"].unlink()

    def stop(self, trainer, *rest):
        if trainer.current_epoch == stop_in:
            raise Interrupted("Stopped.")

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.StopBetweenSteps, "on_train_batch_end", stop)
        with pytest.raises(Interrupted) as caught:
            evaluate(opened(runs.stage2), settings)
    assert str(caught.value) == (
        f"Stopped in epoch {stop_in + 1} of 4. Resume with: sm3kit evaluate {runs.stage2} "
        f"--protocol {protocol}, with the same options"
    )
    assert not kept["json"].exists()
    subject = opened(runs.stage2)
    record = evaluate(subject, settings)
    assert "resume   after epoch" in subject.reporter.said()
    assert same(load_file(kept["safetensors"]), whole)
    for part in ("labels", "mean", "chosen", "selection_auc", "trainable_parameters"):
        assert record[part] == undisturbed[part]
    assert not list(runs.stage2.rglob("eval/*/checkpoints"))


@pytest.mark.parametrize("stop_after", [3, 8])
def test_an_interrupted_ensemble_goes_on_bit_for_bit(opened, fast, runs, monkeypatch, stop_after):
    """In its second member, or in a network of its second stage."""
    changes = {"protocol": "finetune", "members": 2, "stack": "svm", "lr": 1e-3}
    settings = dataclasses.replace(fast, **changes)
    undisturbed = evaluate(opened(runs.stage1), settings)
    whole = network(runs.stage1)
    shutil.rmtree(runs.stage1 / "eval")
    epochs = []

    def stop(self, trainer, *rest):
        epochs.append((trainer, trainer.current_epoch))
        if len(dict.fromkeys(epochs)) > stop_after:
            raise Interrupted("Stopped.")

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.StopBetweenSteps, "on_train_batch_end", stop)
        with pytest.raises(Interrupted):
            evaluate(opened(runs.stage1), settings)
    subject = opened(runs.stage1)
    record = evaluate(subject, settings)
    assert "resume   after epoch" in subject.reporter.said()
    assert same(network(runs.stage1), whole)
    for part in ("labels", "mean", "chosen", "selection_auc", "decision"):
        assert record[part] == undisturbed[part]


def test_another_evaluation_does_not_go_on_with_it(opened, fast, runs, monkeypatch):
    settings = dataclasses.replace(fast, epochs=3)

    def stop(self, trainer, *rest):
        if trainer.current_epoch == 2:
            raise Interrupted("Stopped.")

    def interrupted(subject, settings):
        with monkeypatch.context() as patch:
            patch.setattr(callbacks.StopBetweenSteps, "on_train_batch_end", stop)
            with pytest.raises(Interrupted):
                evaluate(subject, settings)

    for changes, options in (({"lr": 0.1}, None), ({}, {"photo": {"hue": 0.01}})):
        interrupted(opened(runs.stage1), settings)
        subject = opened(runs.stage1, options=options)
        evaluate(subject, dataclasses.replace(settings, **changes))
        assert "resume" not in subject.reporter.said()
        shutil.rmtree(runs.stage1 / "eval")


@pytest.mark.parametrize("fusion", ["sep_shared", "concat"])
def test_networks_of_other_fusions_are_saved_whole(
    stage1_run, opened, fast, tmp_path, images, fusion
):
    """A projector that modalities share is one module under one name."""
    variant = altered(
        RunFolder(stage1_run).record().variant,
        fusion=fusion,
        options={},
        stage1={"epochs": 0},
    )
    run = tmp_path / fusion
    pretrain(variant, run, opened(stage1_run).reporter, images)
    subject = opened(run)
    evaluate(subject, dataclasses.replace(fast, epochs=1, select="last", **SLOW))
    kept = network(run)
    assert {name.split(".")[0] for name in kept} == {"extractor", "classifier"}


def test_what_fine_tuning_cannot_train(opened, fast, runs):
    with pytest.raises(VariantError) as caught:
        evaluate(opened(runs.stage1), dataclasses.replace(fast, scope="heads", **SLOW))
    assert str(caught.value) == "--protocol finetune needs --scope all or layers, not heads."


def test_the_networks_compute_in_the_precision_that_was_asked_for(opened, fast, runs, modes):
    """The joint feature is always made in float32, but the networks below it need not be."""
    subject = opened(runs.stage1)
    subject.encoder.precision = "bf16-mixed"
    found = set()
    convolution = torch.nn.functional.conv2d

    def watched(*given, **named):
        rows = convolution(*given, **named)
        if torch.is_grad_enabled():
            found.add(rows.dtype)
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "conv2d", watched)
        evaluate(subject, dataclasses.replace(fast, select="last", **SLOW))
    assert found == {torch.bfloat16}

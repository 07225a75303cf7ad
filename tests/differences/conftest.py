"""What the checks of the page share: a backbone, a run of both stages, drawn cases."""

import contextlib
import copy
import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from row_settings import recipe
from small_networks import Small
from tiny_run import Begun, quiet
from tiny_runs import altered

from sm3kit.core.registry import registry
from sm3kit.data.image_cache import ImageCache
from sm3kit.evaluation import finetune, probe
from sm3kit.evaluation.opening import open_subject
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.synthesis import layouts
from sm3kit.training import pretrain as pretraining
from sm3kit.training import stage2, start, supervised
from sm3kit.training.stage1 import MultiModalSSL
from sm3kit.training.stage2 import MultiLabelSSL


@pytest.fixture(autouse=True)
def _small_backbone():
    torch.manual_seed(0)
    registry("backbones").register("small")(Small)
    yield
    registry("backbones").unregister("small")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run that could not read the pictures of the test split, and its weights after each epoch.

    Stage 1 computes in bf16.
    """
    folder = tmp_path_factory.mktemp("differences")
    layouts.write("manifest", folder / "data", 40, 32)
    variant = altered(
        recipe("sm3"),
        data=(f"manifest:{folder / 'data' / 'manifest.csv'}",),
        backbone="timm/test_resnet",
        weights="none",
        image_size=32,
        options={"sep_sep": {"projection": 16}, "tel": {"embedding": 16, "feedforward": 16}},
        stage1={"epochs": 2, "batch_size": 8, "precision": "bf16-mixed"},
        stage2={"epochs": 2, "batch_size": 12, "feature_views": 1},
        machine={"workers": 0},
    )
    hidden = {}
    for study in registry("datasets").get("manifest")(variant.data[0].partition(":")[2]).studies():
        if study.split == "test":
            hidden |= {path: Path(path).read_bytes() for path in study.images.values()}
    ends, clipping = {"mmssl": [], "mlssl": []}, set()

    def end(module):
        networks = module.networks if module.stage == "mmssl" else module
        ends[module.stage].append(copy.deepcopy(networks.state_dict()))
        clipping.add(module.trainer.gradient_clip_val)

    with pytest.MonkeyPatch.context() as patch:
        for stage in (MultiModalSSL, MultiLabelSSL):
            patch.setattr(stage, "on_train_epoch_end", end)
        try:
            for path in hidden:
                Path(path).write_bytes(b"nobody may look at this")
            pretraining.pretrain(variant, folder / "run", quiet(), ImageCache(None))
        finally:
            for path, content in hidden.items():
                Path(path).write_bytes(content)
    return SimpleNamespace(
        folder=folder / "run", variant=variant, ends=ends, hidden=len(hidden), clipping=clipping
    )


@pytest.fixture
def begun(trained, monkeypatch, tmp_path):
    """begun(**changes): stage 2 on the networks of the run, as it is before its first step."""

    def begin(**changes):
        kept = {}

        def fit(module, training, loader):
            kept.update(module=module, loader=loader(0, 1), training=training)
            raise Begun

        modes = kept["modes"] = []
        embed = MultiLabelSSL.embed

        def watched(self, joint):
            modes.append(self.relation.training)
            return embed(self, joint)

        with monkeypatch.context() as patch:
            patch.setattr(stage2, "fit", fit)
            patch.setattr(start, "check_devices", lambda devices: None)
            # No other process is there.
            patch.setattr(pretraining, "together", lambda *said: contextlib.nullcontext())
            patch.setattr(MultiLabelSSL, "embed", watched)
            variant = altered(trained.variant, stage="mlssl", init=str(trained.folder), **changes)
            folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
            with contextlib.suppress(Begun):
                pretraining.pretrain(variant, folder, quiet(), ImageCache(None))
        return SimpleNamespace(**kept)

    return begin


@pytest.fixture
def subject(trained):
    """The run of both stages, to be evaluated."""
    features = FeatureCache(trained.folder.parent / "features")
    return open_subject(trained.folder, [], ImageCache(None), features, quiet())


@pytest.fixture
def after_stage_1(subject):
    """The same networks without stage 2."""
    bare = [None] * len(subject.prototypes)
    return dataclasses.replace(subject, embedding=None, prototypes=bare)


@pytest.fixture
def taught(monkeypatch, tmp_path):
    """taught(subject, settings): a training with labels as it is before its first step."""

    def teach(subject, settings):
        kept = {}

        def fit(module, training, loader):
            kept.update(module=module, loader=loader(0, 1), precision=training.precision)
            kept["modes"] = {name: one.training for name, one in module.network.named_modules()}
            raise Begun

        monkeypatch.setattr(supervised, "fit", fit)
        subject = subject.with_precision(settings.precision)
        protocol = {"probe": probe.probe, "finetune": finetune.finetune}[settings.protocol]
        with contextlib.suppress(Begun):
            protocol(subject, dataclasses.replace(settings, select="last"), tmp_path / "eval")
        return SimpleNamespace(**kept, encoder=subject.encoder)

    return teach


@pytest.fixture(scope="session")
def release_folder(tmp_path_factory):
    """Drawn cases in the layout of Derm7pt, some with one picture for both modalities."""
    folder = tmp_path_factory.mktemp("derm7pt") / "release"
    layouts.write("derm7pt", folder, 12, 60)
    return str(folder)

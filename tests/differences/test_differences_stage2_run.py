"""Stage 2: where paper and code disagree, on the networks of a run."""

import numpy as np
import pytest
import torch
from differences_page import STAGE_2, row, sentence
from pytorch_lightning.utilities import rank_zero_only
from row_settings import recipe
from safetensors.torch import load_file

from sm3kit.backbones.timm import Timm
from sm3kit.networks.joint_batches import CachedJoint, EncodedJoint


@row(
    STAGE_2,
    "New views",
    "8 views per study and modality, encoded once; each epoch draws one per modality",
)
def test_views_of_stage_2_are_encoded_once_and_drawn_anew(begun, trained, monkeypatch):
    calls = []
    forward = Timm.forward
    monkeypatch.setattr(Timm, "forward", lambda *given: calls.append(0) or forward(*given))
    source = begun(stage2={"feature_views": recipe("sm3").stage2.feature_views}).loader.source
    assert isinstance(source, CachedJoint)
    assert {name: len(views) for name, views in source.features.views.items()} == {
        "derm": 8,
        "clinic": 8,
    }
    encoded = len(calls)
    drawn = [source.draw_views(epoch) for epoch in (0, 1)]
    for chosen in drawn:
        assert set(np.concatenate(list(chosen.values()))) <= set(range(8))
        assert (chosen["derm"] != chosen["clinic"]).any()
    assert (drawn[0]["derm"] != drawn[1]["derm"]).any()
    assert len(list(source.in_order(0))) == len(list(source.in_order(1))) == 1
    assert len(calls) == encoded
    # In every epoch, as in `paper` and `release`.
    source = begun(stage2={"feature_views": recipe("paper").stage2.feature_views}).loader.source
    assert isinstance(source, EncodedJoint)
    before = len(calls)
    one, other = (torch.cat([part.joint for part in source.in_order(e)]) for e in (0, 1))
    assert len(calls) > before
    assert not torch.equal(one, other)


@row(STAGE_2, "First pass over the data", "in eval mode: nothing changes")
@pytest.mark.parametrize("leak", [False, True])
def test_the_first_pass_over_the_data(begun, trained, leak):
    found = begun(stage2={"bn_leak": leak})
    kept = load_file(trained.folder / "model.safetensors")
    now = found.loader.source.branches.state_dict()
    moved = {name for name, value in now.items() if not torch.equal(value.cpu(), kept[name])}
    assert any("running_mean" in name for name in moved) == leak
    assert bool(moved) == leak
    assert not [name for name in moved if name.endswith(("weight", "bias"))]
    assert set(found.modes) == {leak}  # Whether dropout was on.


@row(STAGE_2, "Precision of the frozen networks", "float32")
@sentence(
    STAGE_2,
    "Stage 2 runs **in float32**",
    "Features are stored in float32, whatever the precision of the networks",
)
def test_precision_of_stage_2(begun):
    found = begun(stage2={"feature_views": 0})
    assert found.loader.source.precision == "32-true"  # Stage 1 of this run was in bf16.
    assert found.training.precision == "32-true"
    found = begun(stage2={"precision": "bf16-mixed"})
    assert found.module.bank.dtype == torch.float32
    for views in found.loader.source.features.views.values():
        assert {view.dtype for view in views} == {np.dtype(np.float32)}


@sentence(
    STAGE_2,
    "With several devices, each encodes and trains on its share of every batch",
    "`stage2.batch_size` counts the studies of all of them together",
)
def test_devices_share_the_batches_of_stage_2(begun, monkeypatch):
    alone = begun(stage2={"batch_size": 4}).module.order
    orders = [begun(stage2={"batch_size": 4}, machine={"devices": 2}).module.order]
    started = {"LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # Lightning reads it once, when it is imported.
    orders.append(begun(stage2={"batch_size": 4}, machine={"devices": 2}).module.order)
    assert [(order.rank, order.world) for order in orders] == [(0, 2), (1, 2)]
    first = next(iter(alone))
    assert [next(iter(order)) for order in orders] == [first[0::2], first[1::2]]
    assert alone.sizes == orders[0].sizes == orders[1].sizes

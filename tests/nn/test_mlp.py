"""The projector: the released layers, and rows that are not there."""

import pytest
import torch
from lightly.models.modules.heads import SimSiamProjectionHead
from torch import nn

from sm3kit.nn.label_projection import LabelProjection
from sm3kit.nn.mlp import Projector


def features(count=6, width=4):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(0))


def test_the_layers_are_those_of_simsiam():
    ours, theirs = Projector(12, 5, 7).layers, SimSiamProjectionHead(12, 7, 5).layers
    assert [type(one) for one in ours] == [type(one) for one in theirs]
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, nn.Linear):
            assert one.weight.shape == other.weight.shape
            assert one.bias is None
            assert other.bias is None
        if isinstance(one, nn.BatchNorm1d):
            assert (one.num_features, one.affine) == (other.num_features, other.affine)
            assert (one.eps, one.momentum) == (other.eps, other.momentum)


def test_there_are_seven_parameter_tensors():
    projector = Projector(12, 5, 7)
    shapes = [tuple(parameter.shape) for parameter in projector.parameters()]
    assert shapes == [(7, 12), (7,), (7,), (7, 7), (7,), (7,), (5, 7)]
    # The last batch norm has running buffers only.
    last = projector.layers[-1]
    assert not list(last.parameters())
    assert [name for name, _ in last.named_buffers()] == [
        "running_mean",
        "running_var",
        "num_batches_tracked",
    ]


@pytest.mark.parametrize("training", [True, False])
def test_with_equal_weights_it_is_simsiams_head(training):
    ours, theirs = Projector(4, 3, 6), SimSiamProjectionHead(4, 6, 3)
    theirs.load_state_dict(ours.state_dict())
    ours.train(training), theirs.train(training)
    assert torch.equal(ours(features()), theirs(features()))
    for (name, one), (_, other) in zip(
        ours.state_dict().items(), theirs.state_dict().items(), strict=True
    ):
        assert torch.equal(one, other), name


def test_the_defaults_are_the_papers():
    projector = Projector(2048)
    assert projector.projection == 128
    assert projector.layers[0].out_features == projector.layers[3].out_features == 2048
    assert projector.layers[6].out_features == 128


def test_projections_have_mean_zero_and_deviation_one():
    out = Projector(4, 3)(features(32))
    torch.testing.assert_close(out.mean(0), torch.zeros(3), rtol=0, atol=1e-5)
    # eps = 1e-5 in the batch norm.
    torch.testing.assert_close(out.var(0, unbiased=False), torch.ones(3), rtol=0, atol=1e-2)


@pytest.mark.parametrize("training", [True, False])
def test_absent_rows_are_zeros_and_touch_nothing(training):
    present = torch.tensor([True, False, True, True, False, True])
    one, other = Projector(4, 3).train(training), Projector(4, 3).train(training)
    other.load_state_dict(one.state_dict())
    x = features().requires_grad_()
    out = one(x, present)
    assert torch.equal(out[present], other(x[present]))
    assert (out[~present] == 0).all()
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    (gradient,) = torch.autograd.grad(out.pow(3).sum(), x)
    assert (gradient[~present] == 0).all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_rows_for_batch_statistics_are_zeros(count):
    projector = Projector(4, 3)
    before = {name: value.clone() for name, value in projector.state_dict().items()}
    present = torch.arange(6) < count
    out = projector(features(), present)
    assert torch.equal(out, torch.zeros(6, 3))
    for name, value in projector.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_batch_of_one_row_in_training():
    """One study alone, with everything present, is treated like one present row."""
    assert torch.equal(Projector(4, 3)(features(1), torch.tensor([True])), torch.zeros(1, 3))


def test_one_row_is_enough_without_training():
    projector = Projector(4, 3).eval()
    present = torch.tensor([False, False, True, False, False, False])
    out = projector(features(), present)
    assert torch.equal(out[2:3], projector(features()[2:3]))
    assert torch.equal(projector(features(), torch.zeros(6, dtype=torch.bool)), torch.zeros(6, 3))


def test_all_present_is_no_mask():
    projector = Projector(4, 3).eval()
    assert torch.equal(
        projector(features(), torch.ones(6, dtype=torch.bool)), projector(features())
    )


def test_masks_work_under_autocast():
    projector = Projector(4, 3)
    present = torch.arange(6) != 2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = projector(features(), present)
    assert out.shape == (6, 3)
    assert (out[2] == 0).all()


def test_one_linear_layer_per_label():
    project = LabelProjection(4, 3, 2)
    out = project(features())
    assert out.shape == (6, 3, 2)
    for label, head in enumerate(project.heads):
        assert head.bias is not None
        assert torch.equal(out[:, label], head(features()))

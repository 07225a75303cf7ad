"""VICReg and Barlow Twins: lightly's, by hand, in plain torch, with absent pairs."""

import math

import pytest
import torch
from lightly.loss import BarlowTwinsLoss, VICRegLoss

from sm3kit.nn.pairs.decorrelation import barlow_twins, vicreg

LOSSES = {"vicreg": vicreg, "barlow": barlow_twins}
EACH = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def rows(count, width=5, seed=0):
    return torch.randn(2, count, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [2, 3, 40])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (vicreg, VICRegLoss()),
        (barlow_twins, BarlowTwinsLoss()),
        (
            lambda a, b: vicreg(a, b, invariance=2, variance=3, covariance=5),
            VICRegLoss(lambda_param=2, mu_param=3, nu_param=5),
        ),
        (lambda a, b: barlow_twins(a, b, redundancy=0.5), BarlowTwinsLoss(lambda_param=0.5)),
    ],
    ids=["vicreg", "barlow", "weighted vicreg", "weighted barlow"],
)
def test_it_is_the_loss_of_lightly(count, ours, theirs):
    a, b = (x.clone().requires_grad_() for x in rows(count))
    loss, expected = ours(a, b), theirs(a, b)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    own, other = (torch.autograd.grad(total, (a, b)) for total in (loss, expected))
    # Two rows that are nearly alike have steep gradients in Barlow Twins.
    torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-4)


def test_vicreg_by_hand():
    # Both dimensions of a have variance 2 and covariance 2; those of b have none.
    a, b = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), torch.zeros(2, 2)
    assert float(vicreg(a, b, variance=0, covariance=0)) == pytest.approx(25 * 1)
    # a is spread far enough; b falls short by 1 - sqrt(1e-4).
    assert float(vicreg(a, b, invariance=0, covariance=0)) == pytest.approx(25 * 0.99 / 2)
    # Two covariances of 2, squared, over two dimensions.
    assert float(vicreg(a, b, invariance=0, variance=0)) == pytest.approx(4)


def test_barlow_twins_by_hand():
    # Normal columns of a are (1, 1, -1, -1) and (1, -1, 1, -1); b has the first one twice.
    a = torch.tensor([[3.0, 1.0], [3.0, -1.0], [1.0, 1.0], [1.0, -1.0]])
    b = torch.tensor([[5.0, 2.0], [5.0, 2.0], [1.0, -2.0], [1.0, -2.0]])
    # C = [[1, 1], [0, 0]]: one dimension of two is not found again, one correlation is too many.
    assert float(barlow_twins(a, b, redundancy=0.25)) == pytest.approx(1.25, abs=1e-4)


def test_barlow_twins_is_made_of_correlation_coefficients():
    a, b = rows(30)
    table = torch.corrcoef(torch.cat([a, b], dim=1).T)[:5, 5:]
    own = (1 - table.diagonal()).square().sum()
    rest = table.square().sum() - table.diagonal().square().sum()
    assert float(barlow_twins(a, b)) == pytest.approx(float(own + 0.005 * rest), rel=1e-4)


def test_vicreg_is_made_of_variances_and_covariances():
    a, b = rows(30)
    expected = 25 * (a - b).square().mean()
    for x in (a, b):
        table = torch.cov(x.T)
        short = (1 - (table.diagonal() + 1e-4).sqrt()).clamp(min=0)
        expected = expected + 25 * short.mean() / 2
        expected = expected + (table.square().sum() - table.diagonal().square().sum()) / 5
    assert float(vicreg(a, b)) == pytest.approx(float(expected), rel=1e-5)


@EACH
def test_absent_pairs_do_not_count(loss):
    present = torch.tensor([True, False, True, True, False, True])
    alone = loss(*(x[present] for x in rows(6)))
    for filling in (0.0, 1e6, math.nan):
        a, b = (x.masked_fill(~present.unsqueeze(1), filling).requires_grad_() for x in rows(6))
        found = loss(a, b, present=present)
        torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-6)
        gradient, _ = torch.autograd.grad(found, (a, b))
        assert (gradient[~present] == 0).all()
        assert (gradient[present] != 0).any()


@EACH
@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_pairs_are_a_zero_with_gradient(loss, count):
    a, b = (x.clone().requires_grad_() for x in rows(3))
    found = loss(a, b, present=torch.arange(3) < count)
    found.backward()
    assert float(found.detach()) == 0
    assert (a.grad == 0).all()
    assert (b.grad == 0).all()


@EACH
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_it_is_computed_in_float32_at_least(loss, kind):
    a, b = (x.to(kind) for x in rows(6))
    assert loss(a, b).dtype == torch.float32
    torch.testing.assert_close(loss(a, b), loss(a.float(), b.float()))
    assert loss(a.double(), b.double()).dtype == torch.float64


@EACH
@pytest.mark.parametrize("case", ["equal rows", "equal sets", "zeros"])
def test_gradients_are_finite(loss, case):
    a, b = rows(4)
    if case == "equal rows":
        a = b = torch.ones(4, 5)
    elif case == "equal sets":
        b = a
    elif case == "zeros":
        a = torch.zeros(4, 5)
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    loss(a, b).backward()
    assert a.grad.isfinite().all()
    assert b.grad.isfinite().all()


def test_barlow_twins_of_equal_sets_of_independent_dimensions_is_near_zero():
    a = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert float(barlow_twins(a, a, redundancy=1)) == pytest.approx(0, abs=1e-6)
    assert float(vicreg(a, a)) == pytest.approx(0, abs=1e-6)

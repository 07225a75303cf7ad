"""Partial transport against POT, plain scaling and a linear program."""

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linprog

from sm3kit.nn.clustering.transport import transport

SHARES = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
EXACT = {"iterations": 5_000, "tolerance": 1e-13}


def costs(count=40, seed=0):
    scores = torch.randn(
        count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    return -(2 * scores).log_softmax(1)


@pytest.mark.filterwarnings("ignore:If reg_type = entropy")
@pytest.mark.parametrize("gamma", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_all_mass_moves_as_in_pot(gamma, epsilon):
    own, _ = transport(costs(), SHARES, epsilon=epsilon, gamma=gamma, **EXACT)
    theirs = ot.unbalanced.sinkhorn_unbalanced(
        np.full(40, 1 / 40),
        SHARES.numpy(),
        costs().numpy(),
        reg=epsilon,
        reg_m=(float("inf"), gamma),
        method="sinkhorn",
        reg_type="entropy",
        numItermax=50_000,
        stopThr=1e-13,
    )
    np.testing.assert_allclose(own.numpy(), theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mass", [0.1, 0.5, 0.99])
def test_a_part_moves_as_in_plain_scaling(mass):
    """The extended matrix, with factors instead of logarithms, from another start."""
    epsilon, gamma = 0.2, 0.7
    own, _ = transport(costs(), SHARES, mass=mass, epsilon=epsilon, gamma=gamma, **EXACT)
    kernel = np.exp(-np.c_[costs().numpy(), np.zeros(40)] / epsilon)
    wanted = np.r_[mass * SHARES.numpy(), 1 - mass]
    power = np.r_[[gamma / (gamma + epsilon)] * 3, 1]
    columns = np.random.default_rng(0).random(4)
    for _ in range(20_000):
        rows = 1 / 40 / (kernel @ columns)
        columns = (wanted / (kernel.T @ rows)) ** power
    np.testing.assert_allclose(own.numpy(), (rows[:, None] * kernel * columns)[:, :3], atol=1e-9)
    assert float(own.sum()) == pytest.approx(mass, abs=1e-9)
    assert float(own.sum(1).max()) <= 1 / 40 + 1e-12


def test_the_cheapest_part_moves_where_entropy_weighs_nothing():
    """A linear program, with sums of columns that are all but forced."""
    mass = 0.4
    own, _ = transport(costs(), SHARES, mass=mass, epsilon=0.01, gamma=50.0, **EXACT)
    extended = np.c_[costs().numpy(), np.zeros(40)]
    rows = np.kron(np.eye(40), np.ones(4))
    columns = np.kron(np.ones(40), np.eye(4))
    wanted = np.r_[np.full(40, 1 / 40), mass * SHARES.numpy(), 1 - mass]
    best = linprog(extended.ravel(), A_eq=np.r_[rows, columns], b_eq=wanted)
    # Of the 40 rows, those at the edge are shared out by the entropy.
    assert float((own * costs()).sum()) == pytest.approx(best.fun, abs=1e-3)
    apart = np.abs(own.numpy() - best.x.reshape(40, 4)[:, :3]).sum(1)
    assert apart.sum() < mass / 10


def test_a_plan_by_hand():
    """Two rows, two columns, all as cheap: each quarter is the same."""
    plan, offset = transport(
        torch.zeros(2, 2), torch.tensor([0.5, 0.5]), epsilon=1, gamma=1, iterations=9, tolerance=0
    )
    assert plan.tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert offset.tolist() == [0.0, 0.0]


def test_going_on_ends_at_once():
    first, offset = transport(costs(), SHARES, epsilon=0.1, gamma=1.0, **EXACT)
    again, _ = transport(
        costs(), SHARES, epsilon=0.1, gamma=1.0, iterations=1, tolerance=0, offset=offset
    )
    torch.testing.assert_close(first, again, rtol=0, atol=1e-12)

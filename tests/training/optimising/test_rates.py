"""Learning rates over time, beside lightly's and by hand."""

import pytest
from lightly.utils.scheduler import cosine_warmup_schedule

from sm3kit.training.optimising.rates import rate_share


def test_warmup_and_cosine_by_hand():
    # Two steps of warm-up, then the cosine at 0, 1/4, 1/2, 3/4 and 1 of half a turn.
    curve = [0.5, 1.0, 1.0, 0.8535534, 0.5, 0.1464466, 0.0]
    assert [rate_share("cosine", step, 7, 2) for step in range(7)] == pytest.approx(curve)


def test_warmup_of_a_constant_rate():
    curve = [rate_share("constant", step, 6, 4) for step in range(6)]
    assert curve == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(("steps", "warmup"), [(7, 2), (100, 0), (100, 30), (520, 20)])
def test_the_curve_is_that_of_lightly(steps, warmup):
    own = [rate_share("cosine", step, steps, warmup) for step in range(steps)]
    lightly = [cosine_warmup_schedule(step, steps, 1, 0, warmup, 0) for step in range(steps)]
    assert own == pytest.approx(lightly, abs=1e-12)

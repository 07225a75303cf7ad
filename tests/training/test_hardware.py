"""What "auto" means on this machine."""

import pytest
import torch
from torch import nn

from sm3kit.training import hardware

STRIDED = nn.Conv2d(3, 4, 3, stride=2, padding=1)


@pytest.fixture
def _bf16(monkeypatch):
    """A CPU that computes in bf16, and no GPU."""
    monkeypatch.setattr(hardware, "cpu_has_bf16", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("_bf16")
@pytest.mark.parametrize(
    ("network", "size", "found"),
    [
        (STRIDED, 0, "bf16-mixed"),
        (STRIDED, 33, "bf16-mixed"),
        (STRIDED, 32, "32-true"),
        (STRIDED, 16, "32-true"),
        (nn.Conv2d(3, 4, 3, padding=1), 16, "bf16-mixed"),
        (nn.Conv2d(3, 4, 4, stride=4), 16, "bf16-mixed"),
        (nn.Conv2d(3, 4, 4, stride=4, padding="valid"), 16, "bf16-mixed"),
        (nn.Conv1d(3, 4, 3, stride=2, padding=1), 16, "32-true"),
    ],
)
@pytest.mark.parametrize("wanted", ["auto", "16-mixed"])
def test_bf16_is_left_out_where_its_gradients_are_not_finite(network, size, found, wanted):
    assert hardware.resolved_precision(wanted, nn.Sequential(network), size) == found
    assert hardware.resolved_precision("bf16-mixed", network, size) == "bf16-mixed"
    assert hardware.resolved_precision("32", network, size) == "32-true"


def test_vectors_have_no_size():
    class Shaped:
        local_views = 0

        def __init__(self, *shape):
            self.shape = shape

    views = {"derm": Shaped(3, 48, 48), "clinic": Shaped(3, 32, 32), "meta": Shaped(9, 1, 1)}
    assert hardware.smallest_view(views) == 32
    assert hardware.smallest_view({"meta": views["meta"]}) == 0

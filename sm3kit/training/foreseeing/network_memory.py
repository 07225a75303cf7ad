"""What a network takes for each view, told by shapes alone."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# So many that what does not grow with the batch, such as gradients of weights, hardly counts.
ROWS = 256


@dataclass(frozen=True)
class NetworkMemory:
    """Bytes that one view more in a batch takes in a network.

    Attributes:
        kept: of what the forward pass leaves for the gradients.
        peak: of all that lives at the most in forward and backward pass.
        without_gradients: of all that lives at the most in a pass without gradients.
    """

    kept: float
    peak: float
    without_gradients: float


def network_memory(network: nn.Module, shape: tuple[int, ...], *, half: bool) -> NetworkMemory:
    """What a network takes for views (C, H, W).

    Its passes are computed in shapes alone, so that it takes about a second whatever the network.

    Args:
        network: it is not changed.
        shape: of a view.
        half: whether it is computed in 16 bits, as by autocast.
    """
    # What a network notes of shapes alone would mislead it afterwards; its weights are shared.
    shared = [*network.parameters(), *network.buffers()]
    network = copy.deepcopy(network, {id(tensor): tensor for tensor in shared}).train()
    own = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    live = LiveBytes()
    with (
        torch.random.fork_rng(devices=[]),
        FakeTensorMode(allow_non_fake_inputs=True) as shapes_alone,
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        weights: dict[str, Tensor] = {
            name: shapes_alone.from_tensor(tensor) for name, tensor in own.items()
        }
        with live, torch.no_grad():
            functional_call(network, weights, (torch.empty(ROWS, *shape),))
        without_gradients, live.peak = live.peak, 0
        with live, torch.enable_grad():
            output = functional_call(network, weights, (torch.empty(ROWS, *shape),))
            kept = live.now
            if output.requires_grad:
                output.float().sum().backward()
    return NetworkMemory(kept / ROWS, live.peak / ROWS, without_gradients / ROWS)


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are made in it and still live.

    Attributes:
        now: of all that live now.
        peak: of all that lived at the same time, at the most.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
        return made

    def _count(self, storage: UntypedStorage) -> None:
        place = storage._cdata
        if place in self._known:
            return
        self._known.add(place)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, place, storage.nbytes())

    def _forget(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.now -= size

"""How much memory a pre-training takes, before it takes it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import psutil
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from sm3kit.core.text import in_units
from sm3kit.data.batches import shares
from sm3kit.networks.assemble import modules
from sm3kit.training import stage1
from sm3kit.training.hardware import memory_of
from sm3kit.training.preparation import view_counts
from sm3kit.training.start import Start

# Each weight that learns has a gradient and two moments of AdamW beside it.
COPIES = 4
# What the passes take beside what they keep, as measured: gradients on their way, copies in another
# memory order.
OVERHEAD = 1.1
# Batches that a process for views keeps ready, as torch's loader does.
PREFETCHED = 2
# Libraries and context on a GPU.
CUDA_CONTEXT = 500_000_000


@dataclass(frozen=True)
class MemoryNeed:
    """What stage 1 is expected to take at its peak, in bytes.

    Attributes:
        device: "cpu" or "cuda".
        base: of the process itself.
        weights: of the weights, their gradients and what AdamW remembers of them.
        views: of the views of a step, and of those made ready.
        activations: of what the step keeps for its gradients, and what it takes besides.
    """

    device: str
    base: int
    weights: int
    views: int
    activations: int

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return self.base + self.weights + self.views + self.activations

    def text(self) -> str:
        """How much it is, and how much there is."""
        free, whole = memory_of(self.device)
        where = " of the GPU" if self.device == "cuda" else ""
        return (
            f"about {in_units(self.total)} at the peak of stage 1; {in_units(free)} of "
            f"{in_units(whole)}{where} are free"
        )

    def document(self) -> dict[str, int | str]:
        """The parts, how much there is, and how much of it is free, for programs."""
        free, whole = memory_of(self.device)
        return {**asdict(self), "total": self.total, "free": free, "whole": whole}

    def warning(self, remedy: str) -> str:
        """What a user should know before it begins; empty where there is enough memory.

        Args:
            remedy: what to lower, as a sentence.
        """
        free, whole = memory_of(self.device)
        if self.total <= free:
            return ""
        where = "The GPU" if self.device == "cuda" else "This machine"
        has = f"{in_units(whole)} in all" if self.total > whole else f"{in_units(free)} free"
        ends = "" if self.device == "cuda" else " The system may kill the run without a message."
        return f"{where} has {has}, and stage 1 takes about {in_units(self.total)}.{ends} {remedy}"


def memory_need(start: Start) -> MemoryNeed | None:
    """The memory that stage 1 will take; None where it trains nothing, or cannot be tried.

    The networks see a few made-up views that are computed in shapes alone, so that it takes about
    a second whatever the network.
    """
    setup, parts, variant = start.setup, start.parts, start.setup.variant
    if variant.stage == "mlssl" or not variant.stage1.epochs:
        return None
    on_gpu = torch.cuda.is_available()
    half = stage1.precision(setup, parts) != "32-true"
    try:
        activations = _activations(start, half=half)
    except Exception:  # A network may do what shapes alone do not tell.
        return None
    learning = _size(weight for weight in modules(parts).parameters() if weight.requires_grad)
    copies = COPIES if on_gpu else COPIES - 1  # The process holds the weights already.
    targets = sum(
        _size(parts.branches.backbones[modality].parameters())
        for by_modality in parts.objectives.values()
        for modality, objective in by_modality.items()
        if objective.wants_target
    )
    teachers = sum(
        _size(teacher.parameters()) for own in parts.teachers.values() for teacher in own.values()
    )
    ready = 1 if on_gpu else 1 + PREFETCHED * setup.workers
    views = ready * sum(4 * rows * math.prod(shape) for _, shape, rows in _rows(start))
    base = CUDA_CONTEXT if on_gpu else psutil.Process().memory_info().rss
    device = "cuda" if on_gpu else "cpu"
    return MemoryNeed(device, base, copies * learning + targets + teachers, views, activations)


def _activations(start: Start, *, half: bool) -> int:
    """Bytes that a step keeps for its gradients, in all networks; those that are alike count once."""
    setup, kept = start.setup, dict[tuple[str, ...], float]()
    total = 0.0
    for name, shape, rows in _rows(start):
        alike = (setup.variant.of(name, "backbone"), *map(str, shape))
        if alike not in kept:
            network = start.parts.branches.backbones[name]
            kept[alike] = kept_per_view(network, shape, half=half)
        total += rows * kept[alike]
    return round(OVERHEAD * total)


def _rows(start: Start) -> list[tuple[str, tuple[int, ...], int]]:
    """Modality, shape and number of the views in a batch, the local ones by themselves.

    A batch has as many absent images as the data.
    """
    setup = start.setup
    batch = min(setup.variant.stage1.batch_size, len(setup.cases))
    present = shares(setup.cases, list(setup.pool.modalities))
    rows = []
    for name, count in view_counts(setup).items():
        modality, studies = setup.pool.modalities[name], batch * present[name] / len(setup.cases)
        local = modality.local_views
        for shape, number in ((modality.shape, count - local), (modality.local_shape, local)):
            rows += [(name, tuple(shape), number * math.ceil(studies))] if number else []
    return rows


def _size(weights: Iterable[Tensor]) -> int:
    return sum(weight.numel() * weight.element_size() for weight in weights)


def kept_per_view(network: nn.Module, shape: tuple[int, ...], *, half: bool) -> float:
    """Bytes that one view (C, H, W) more in a batch keeps for the gradients of a network.

    Args:
        network: it is not changed.
        shape: of a view.
        half: whether it is computed in 16 bits, as by autocast.
    """
    few, many = (_kept_bytes(network, (rows, *shape), half=half) for rows in (2, 4))
    return (many - few) / 2


def _kept_bytes(network: nn.Module, shape: tuple[int, ...], *, half: bool) -> int:
    """Bytes of all that a forward pass keeps for the backward pass, weights left out."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    # What a network notes of shapes alone would mislead it afterwards; its weights are shared.
    shared = [*network.parameters(), *network.buffers()]
    network = copy.deepcopy(network, {id(tensor): tensor for tensor in shared}).train()
    own = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    with (
        torch.random.fork_rng(devices=[]),
        FakeTensorMode(allow_non_fake_inputs=True) as shapes_alone,
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        weights: dict[str, Tensor] = {
            name: shapes_alone.from_tensor(tensor) for name, tensor in own.items()
        }
        output = functional_call(network, weights, (torch.empty(shape),))
        del output
    of_weights = {tensor.untyped_storage()._cdata for tensor in weights.values()}
    return sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in of_weights)

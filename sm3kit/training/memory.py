"""How much memory a pre-training takes, before it takes it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import psutil
import torch
from torch import Tensor

from sm3kit.core.text import in_units
from sm3kit.data.cases import shares
from sm3kit.networks.assemble import modules
from sm3kit.nn.recomputation import parts_of
from sm3kit.training import stage1
from sm3kit.training.foreseeing.network_memory import NetworkMemory, network_memory
from sm3kit.training.hardware import memory_of
from sm3kit.training.optimising.optimisers import REMEMBERED
from sm3kit.training.preparation import view_counts
from sm3kit.training.start import Start

# What the passes take beside what they keep, as measured: gradients on their way, copies in another
# memory order.
OVERHEAD = 1.1
# What the estimate may be too high by, and free memory may still grow by.
MARGIN = 0.15
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
        weights: of the weights, their gradients, their average, and what the optimiser remembers.
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

    @property
    def to_come(self) -> int:
        """What is to be found in the memory that is free now; a process is there already."""
        return self.total - (self.base if self.device == "cpu" else 0)

    @property
    def fits(self) -> bool:
        """Whether there is as much memory as foreseen."""
        return self.to_come <= memory_of(self.device)[0]

    @property
    def fits_never(self) -> bool:
        """Whether it is too much even where less is taken than foreseen; see `MARGIN`."""
        return self.to_come > (1 + MARGIN) * memory_of(self.device)[0]

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
            remedy: what to do, as a sentence.
        """
        free, whole = memory_of(self.device)
        if self.fits:
            return ""
        where = "The GPU" if self.device == "cuda" else "This machine"
        has = f"{in_units(whole)} in all" if self.total > whole else f"{in_units(free)} free"
        more = "" if self.device == "cuda" else " more"
        ends = "" if self.device == "cuda" else " The system may kill the run without a message."
        takes = f"stage 1 takes about {in_units(self.to_come)}{more}"
        return f"{where} has {has}, and {takes}.{ends} {remedy}"


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
    networks = list(modules(parts).parameters())
    own, learning = _size(networks), _size(weight for weight in networks if weight.requires_grad)
    # The process holds the weights already, if they stay on the CPU.
    weights = on_gpu * own + (1 + REMEMBERED[variant.stage1.optimiser]) * learning
    weights += own if variant.stage1.ema else 0
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
    views = ready * sum(
        4 * group.studies * group.views * math.prod(group.shape) for group in _groups(start)
    )
    base = CUDA_CONTEXT if on_gpu else psutil.Process().memory_info().rss
    device = "cuda" if on_gpu else "cpu"
    return MemoryNeed(device, base, weights + targets + teachers, views, activations)


def _activations(start: Start, *, half: bool) -> int:
    """Bytes that the networks take in a step beside their weights.

    Whole batches are kept for their gradients; of what is computed in parts, one part lives at a
    time, and so does what the passes take besides.
    """
    variant, settings = start.setup.variant, start.setup.variant.stage1
    kept, besides, known = 0.0, 0.0, dict[tuple[str, tuple[int, ...]], NetworkMemory]()
    for group in _groups(start):
        alike = (variant.of(group.modality, "backbone"), group.shape)
        if alike not in known:
            network = start.parts.branches.backbones[group.modality]
            known[alike] = network_memory(network, group.shape, half=half)
        memory = known[alike]
        parts = parts_of(group.studies, settings.micro_batch)
        rows = max(part.stop - part.start for part in parts)
        rows *= group.views if settings.join_views else 1
        if len(parts) == 1:
            kept += group.studies * group.views * memory.kept
            besides = max(besides, rows * (memory.peak - memory.kept))
        else:
            besides = max(besides, rows * memory.peak)
        if not group.local and _is_told(start, group.modality):
            besides = max(besides, rows * memory.without_gradients)
    return round(OVERHEAD * (kept + besides))


def _is_told(start: Start, modality: str) -> bool:
    """Whether an EMA encoder or a teacher sees the images of a modality, too."""
    targets = any(
        own[modality].wants_target for own in start.parts.objectives.values() if modality in own
    )
    return targets or any(modality in own for own in start.parts.teachers.values())


@dataclass(frozen=True)
class _Group:
    """Views of one modality and one size.

    Attributes:
        modality: its name.
        studies: of a batch that have it.
        views: of each study.
        shape: of a view, (C, H, W).
        local: whether these are the local views.
    """

    modality: str
    studies: int
    views: int
    shape: tuple[int, ...]
    local: bool = False


def _groups(start: Start) -> list[_Group]:
    """The views of a batch that has as many absent images as the data."""
    setup, groups = start.setup, list[_Group]()
    batch = min(setup.variant.stage1.batch_size, len(setup.cases))
    present = shares(setup.cases, list(setup.pool.modalities))
    for name, views in view_counts(setup).items():
        modality = setup.pool.modalities[name]
        studies = math.ceil(batch * present[name] / len(setup.cases))
        shape = tuple(modality.shape)
        groups.append(_Group(name, studies, views - modality.local_views, shape))
        if modality.local_views:
            small = tuple(modality.local_shape)
            groups.append(_Group(name, studies, modality.local_views, small, local=True))
    return groups


def _size(weights: Iterable[Tensor]) -> int:
    return sum(weight.numel() * weight.element_size() for weight in weights)

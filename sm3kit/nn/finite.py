"""The one rule of what is not finite: a tensor with NaN or infinity in it, by its name."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sm3kit.core.errors import TrainingError


def not_finite(tensors: Mapping[str, Any]) -> list[str]:
    """The names of the tensors that hold NaN or infinity, in order; whole numbers never do.

    Each tensor is read once where it is, without a copy, and each device is asked once for all.

    Args:
        tensors: {name: tensor}; whatever else a module keeps in its state is passed over.
    """
    verdicts: dict[torch.device, dict[str, Tensor]] = {}
    for name, values in tensors.items():
        if isinstance(values, Tensor) and values.is_floating_point() and values.numel():
            # NaN among values is both their lowest and their highest.
            ends = torch.stack(torch.aminmax(values.detach()))
            verdicts.setdefault(values.device, {})[name] = ends.isfinite().all()
    bad = {
        name
        for on_device in verdicts.values()
        for name, fine in zip(on_device, torch.stack([*on_device.values()]).tolist(), strict=True)
        if not fine
    }
    return [name for name in tensors if name in bad]


@dataclass(frozen=True)
class Arrival:
    """Numbers on their way from a GPU to the host.

    Attributes:
        numbers: (N,) on the CPU, to be read when they have arrived.
        arrived: whether they have.
        wait: waits until they have.
    """

    numbers: Tensor
    arrived: Callable[[], bool] = lambda: True
    wait: Callable[[], None] = lambda: None

    @classmethod
    def of(cls, numbers: Tensor) -> Arrival:
        """Sends numbers (N,) to the host, which does not wait for them."""
        if numbers.device.type != "cuda":
            return cls(numbers.cpu())
        place = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
        place.copy_(numbers, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        return cls(place, event.query, event.synchronize)


class FiniteWatch:
    """Tells of terms of steps that are not finite: on a CPU at once, of a GPU when they arrive."""

    def __init__(self) -> None:
        self.sent: deque[tuple[list[str], str, Arrival]] = deque()

    def add(self, terms: Mapping[str, Tensor], where: str) -> None:
        """Looks at the terms {name: scalar} of a step later.

        Args:
            terms: at least one.
            where: what else tells where they are from.
        """
        numbers = torch.stack([term.detach() for term in terms.values()])
        self.sent.append((list(terms), where, Arrival.of(numbers)))

    def look(self, *, wait: bool = False) -> tuple[list[str], str]:
        """The names of the first terms that are not finite, and where they are from; or none.

        Args:
            wait: for those that have not arrived.
        """
        while self.sent and (wait or self.sent[0][2].arrived()):
            names, where, arrival = self.sent.popleft()
            arrival.wait()
            fine = arrival.numbers.isfinite().numpy()
            if not fine.all():
                return [name for name, good in zip(names, fine, strict=True) if not good], where
        return [], ""


def first_two(names: Sequence[str]) -> str:
    """The first two names, and how many there are beside them."""
    more = len(names) - 2
    return ", ".join(names[:2]) + (f" and {more} more" if more > 0 else "")


def check_features(features: Mapping[str, Tensor], computed: str) -> None:
    """Refuses features that are not finite before they are kept, compared or written.

    Args:
        features: {modality, or another name of what they are: (N, D)}.
        computed: in what or of what, such as "in bf16-mixed" or "of the split val".

    Raises:
        TrainingError: some are not; the first is named, with the number of studies.
    """
    bad = not_finite(features)
    if not bad:
        return
    rows = features[bad[0]]
    wrong = int((~rows.isfinite()).flatten(1).any(dim=1).sum())
    raise TrainingError(
        f"The features of {bad[0]} {computed} are not finite for {wrong} of {len(rows)} studies. "
        "Their networks have diverged: train them again with a lower --lr, or with --precision 32."
    )

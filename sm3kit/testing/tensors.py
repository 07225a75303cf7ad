"""What the laws of several contracts do with tensors and modules."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sm3kit.nn.map_shape import MapShape
from sm3kit.objectives.base import Objective, Teaching
from sm3kit.testing.law import require

ORDER = "depends on the order of the rows in a batch"
ROWS, WIDTH, TOLERANCE = 6, 16, 1e-5
# Of a teacher of another width, whose labels have two and three classes.
TEACHING = Teaching(12, {"a": [4, 2], "b": [3, 2, 1]}, (MapShape(3, 16), MapShape(5, 16)))


def leaf(rows: int, width: int) -> Tensor:
    """Random rows that ask for a gradient."""
    return torch.randn(rows, width, requires_grad=True)


def leaves(features: Any) -> list[Tensor]:
    """All tensors in {name: [tensor, ...]} or [tensor, ...]."""
    views = features.values() if isinstance(features, Mapping) else [features]
    return [view for rows in views for view in rows]


def every_presence(names: Sequence[str], rows: int) -> Iterator[dict[str, Tensor]]:
    """All ways in which rows may be present, {name: (rows,) bool}, the empty one last."""
    for pattern in product((True, False), repeat=rows * len(names)):
        yield dict(zip(names, torch.tensor(pattern).view(len(names), rows), strict=True))


def with_other_absent_rows(
    features: Mapping[str, Sequence[Tensor]], present: Mapping[str, Tensor]
) -> dict[str, list[Tensor]]:
    """The features, with something else where rows are absent."""
    return {
        name: [view.masked_fill(~present[name].unsqueeze(1), 100.0) for view in views]
        for name, views in features.items()
    }


def each_tensor(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Tables and lists of tensors, with a change made to every tensor."""
    if isinstance(value, Mapping):
        return {name: each_tensor(inner, change) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [each_tensor(inner, change) for inner in value]
    return change(value)


def without_gradient(value: Any) -> Any:
    """Copies that a module may not change, and that ask for no gradient."""
    return each_tensor(value, lambda tensor: tensor.detach().clone())


def same(first: Any, second: Any) -> bool:
    """Whether two tables or lists hold the same tensors."""
    if isinstance(first, Mapping):
        return list(first) == list(second) and all(
            same(first[name], second[name]) for name in first
        )
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return torch.equal(first, second)


def leaves_alone(call: Callable[[Any], Any], value: Any) -> None:
    """What is given to a call is afterwards as it was."""
    value = without_gradient(value)
    before = copy.deepcopy(value)
    call(value)
    require(same(value, before), "changes its input in place")


def all_learn(module: nn.Module, total: Tensor) -> None:
    """Every weight that learns gets a gradient."""
    require(total.requires_grad, "gives nothing to learn from")
    torch.autograd.backward(total)
    for name, weight in module.named_parameters():
        if weight.requires_grad:
            require(weight.grad is not None, f"gives weight {name!r} no gradient")


def leaves_random_states(call: Callable[[], Any]) -> None:
    """The global random states of torch and NumPy are after a call as they were."""
    torch_state, numpy_state = torch.get_rng_state(), _numpy_state()
    call()
    require(torch.equal(torch.get_rng_state(), torch_state), "draws from torch's random state")
    require(_numpy_state() == numpy_state, "draws from NumPy's random state")


def _numpy_state() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state(legacy=True)
    return name, np.asarray(keys).tobytes(), *rest


def order_of_rows(count: int) -> Tensor:
    """Another order of rows, always the same."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))


def any_row_order(module: Callable[[Tensor], Tensor], rows: Tensor) -> None:
    """Rows in another order give the same, in that order."""
    order = order_of_rows(len(rows))
    with torch.no_grad():
        difference = (module(rows)[order] - module(rows[order])).abs().max()
    require(float(difference) < 1e-4, ORDER)


def round_trip(module: nn.Module, fresh: nn.Module, call: Callable[[nn.Module], Any]) -> None:
    """A fresh module with the saved state gives the same."""
    fresh.load_state_dict(saved_state(module))
    with torch.no_grad():
        equal = same(call(module.eval()), call(fresh.eval()))
    require(equal, "is not the same after its state was saved and loaded")


def saved_state(module: nn.Module) -> dict[str, Any]:
    """A state that went to a file and back."""
    memory = io.BytesIO()
    torch.save(module.state_dict(), memory)
    memory.seek(0)
    state: dict[str, Any] = torch.load(memory, weights_only=True)
    return state


def by_seed(make: Callable[[], nn.Module], call: Callable[[nn.Module], Any]) -> None:
    """Made and asked twice under one seed, it is and gives the same."""
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        module = make()
        torch.manual_seed(1)
        results.append((dict(module.state_dict()), without_gradient(call(module))))
    require(same(results[0][0], results[1][0]), "has different weights under the same seed")
    require(same(results[0][1], results[1][1]), "gives something different under the same seed")


def teaching_of(plugin: Any) -> Teaching:
    """What an objective that wants a teacher is told of it."""
    counts = TEACHING.counts if plugin.wants_labels else None
    return Teaching(TEACHING.width, counts, TEACHING.maps if plugin.wants_maps else None)


def build_objective(plugin: Any, options: Mapping[str, Any]) -> Objective:
    """An objective as it is at the end of a training, under seed 0."""
    torch.manual_seed(0)
    given = [teaching_of(plugin)] if plugin.wants_teacher else []
    objective: Objective = plugin(WIDTH, *given, **options)
    objective.before_step(1.0)
    return objective


def objective_features(plugin: Any) -> tuple[Any, dict[str, Any]]:
    """Features as `plugin.on` wants them, and the other arguments of `forward`."""
    torch.manual_seed(1)
    group = torch.arange(ROWS)
    if plugin.on == "modality":
        views, local = 4 if plugin.wants_rotations else 2, 3 if plugin.wants_local else 0
        targets = [torch.randn(ROWS, WIDTH) for _ in range(views)]
        features = [leaf(ROWS, WIDTH) for _ in range(views + local)]
        wanted: dict[str, Any] = {"targets": targets} if plugin.wants_target else {}
        wanted = teaching_of(plugin).made_up(ROWS, views) if plugin.wants_teacher else wanted
        return features, {**wanted, "group": group}
    streams = {name: [leaf(ROWS, WIDTH) for _ in range(2)] for name in ("a", "b", "c")}
    present = {name: torch.ones(ROWS, dtype=torch.bool) for name in streams}
    return streams, {"present": present, "group": group}

"""Each contract as executable laws, for plugin authors and for sm3kit's own tests.

Every `check_*` takes the plugin class, builds it with its default options, or with those given,
and raises ContractError with one sentence on the first law that does not hold.
"""

from __future__ import annotations

import copy
import inspect
import io
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from sm3kit.clusterers.base import Clusterer
from sm3kit.core.errors import ContractError, DataError
from sm3kit.core.options import options_of
from sm3kit.datasets.base import SPLITS, Dataset
from sm3kit.fusions.base import Fusion
from sm3kit.modalities.base import Modality
from sm3kit.objectives.base import Objective

Plugin = Callable[..., Any]
ROWS, WIDTH, TOLERANCE = 6, 16, 1e-5


def check_documented(plugin: Plugin) -> None:
    """Has a docstring, and every option a default.

    Raises:
        ContractError: a law does not hold.
    """
    _law(bool(inspect.getdoc(plugin)), plugin, "has no docstring")
    for option in options_of(plugin).values():
        _law(
            option.default is not inspect.Parameter.empty,
            plugin,
            f"option {option.name!r} has no default",
        )


def check_backbone(plugin: Plugin, model: str, **options: Any) -> None:
    """Gives (B, width), for any channel count, independent of row order, and all of it learns.

    Args:
        plugin: the provider class.
        model: a small model of it.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    for channels in (1, 3):
        torch.manual_seed(0)
        backbone = plugin(model, channels, **options)
        views = torch.randn(4, channels, 64, 64)
        features = backbone(views)
        _law(features.shape == (4, backbone.width), plugin, f"gives {tuple(features.shape)}")
        _all_learn(plugin, backbone, features.square().sum())
        _row_order(plugin, backbone.eval(), views)
    _round_trip(plugin, backbone, lambda: plugin(model, 3, **options), views)


def check_objective(plugin: Plugin, processes: bool = False, **options: Any) -> None:
    """Gives finite scalar terms, from which every parameter and the features learn.

    Args:
        plugin: the objective class.
        processes: compare two processes with one on the joined batch, if there is an option
            `gather`; takes a few seconds.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    objective = _objective(plugin, **options)
    features, keywords = _features(plugin)
    terms = objective(features, **keywords)
    _law(bool(terms), plugin, "gives no term")
    for name, term in terms.items():
        _law(term.shape == (), plugin, f"term {name!r} is no scalar but {tuple(term.shape)}")
        _law(bool(term.isfinite()), plugin, f"term {name!r} is not finite")
        _law(term.dtype == torch.float32, plugin, f"term {name!r} is {term.dtype}")
    _all_learn(plugin, objective, torch.stack(list(terms.values())).sum())
    for view in _leaves(features):
        _law(view.grad is not None, plugin, "gives some features no gradient")
    objective.eval()
    _same(plugin, objective, features, keywords, "is not the same when asked twice")
    _row_order_of_terms(plugin, objective, keywords)
    _round_trip_of_terms(plugin, objective, features, keywords, options)
    if processes and "gather" in options_of(plugin):
        _law(
            process_difference(plugin, **options) < TOLERANCE,
            plugin,
            "differs between two processes and one on the joined batch",
        )


def check_fusion(plugin: Plugin, **options: Any) -> None:
    """Works for one, two and three modalities, with missing ones, in any row order.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    for modalities in (["a"], ["a", "b"], ["a", "b", "c"]):
        torch.manual_seed(0)
        widths = dict.fromkeys(modalities, WIDTH)
        fusion: Fusion = plugin(widths, **options)
        features = {n: [_leaf(ROWS, WIDTH) for _ in range(2)] for n in modalities}
        present = {n: torch.ones(ROWS, dtype=torch.bool) for n in modalities}
        streams = fusion(features, present)
        _law(
            set(streams) == set(fusion.stream_present(present)),
            plugin,
            "names other streams in forward than in stream_present",
        )
        for name, views in streams.items():
            _law(len(views) == 2, plugin, f"stream {name!r} lost a view")
            _law(len(views[0]) == ROWS, plugin, f"stream {name!r} lost rows")
        if streams:
            total = torch.stack([v.square().sum() for each in streams.values() for v in each])
            _all_learn(plugin, fusion, total.sum())
        joint = fusion.joint({n: views[0] for n, views in features.items()}, present)
        _law(joint.shape == (ROWS, fusion.joint_width), plugin, "has another joint_width")
        _missing(plugin, fusion.train(), modalities)


def check_clusterer(plugin: Plugin, **options: Any) -> None:
    """Finds three far groups, gives the same for the same seed, and refuses what cannot be.

    The random state and the embeddings stay as they were.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    clusterer: Clusterer = plugin(**options)
    torch.manual_seed(0)
    centres = torch.eye(3, WIDTH) * 10
    truth = torch.arange(60) % 3
    points = centres[truth] + 0.01 * torch.randn(60, WIDTH)
    given, torch_state, numpy_state = points.clone(), torch.get_rng_state(), _numpy_state()
    found = clusterer.fit(points, 3, seed=0)
    _law(found.assignments.shape == (60,), plugin, "does not assign every row")
    _law(found.assignments.dtype == torch.int64, plugin, "gives no int64 assignments")
    _law(found.centroids.shape == (3, WIDTH), plugin, "gives no (k, D) centroids")
    _law(bool(found.centroids.isfinite().all()), plugin, "gives centroids that are not finite")
    _law(math.isfinite(found.objective), plugin, "gives an objective that is not finite")
    _law(found.sizes.shape == (3,), plugin, "names clusters outside of 0 to k - 1")
    _law(int(found.sizes.sum()) == 60, plugin, "has sizes that do not add up")
    pairs = set(zip(truth.tolist(), found.assignments.tolist(), strict=True))
    _law(len(pairs) == 3, plugin, "does not find three groups that are far apart")
    again = clusterer.fit(points, 3, seed=0)
    _law(torch.equal(again.assignments, found.assignments), plugin, "ignores its seed")
    _law(torch.equal(points, given), plugin, "changes the embeddings in place")
    _law(torch.equal(torch.get_rng_state(), torch_state), plugin, "draws from torch's random state")
    _law(_numpy_state() == numpy_state, plugin, "draws from NumPy's random state")
    not_finite = points.clone()
    not_finite[0, 0] = torch.nan
    refused = {
        "too few rows": points[:2],
        "NaN": not_finite,
        "fewer distinct rows than clusters": points[:2].repeat(5, 1),
    }
    for what, rows in refused.items():
        try:
            clusterer.fit(rows, 3, seed=0)
        except DataError:
            continue
        _law(False, plugin, f"clusters what cannot be clustered: {what}")


def check_relation(plugin: Plugin, **options: Any) -> None:
    """Gives (B, K, P), rows independent of each other, attention rows that sum to one.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    torch.manual_seed(0)
    relation = plugin(WIDTH, 4, **options)
    feature = _leaf(ROWS, WIDTH)
    embeddings = relation(feature)
    wanted = (ROWS, 4, relation.embedding)
    _law(embeddings.shape == wanted, plugin, f"gives {tuple(embeddings.shape)}, not {wanted}")
    _all_learn(plugin, relation, embeddings.square().sum())
    _row_order(plugin, relation.eval(), feature.detach())
    attention = relation.attention(feature)
    if attention is not None:
        _law(attention.shape[0::2] == (ROWS, 4), plugin, "attention is not (B, heads, K, K)")
        _law(bool((attention.sum(-1) - 1).abs().max() < 1e-5), plugin, "attention is no share")
    _round_trip(plugin, relation, lambda: plugin(WIDTH, 4, **options), feature.detach())


def check_modality(plugin: Plugin, path: str, **options: Any) -> None:
    """Reads, views and normalises one image; the image stays as it was, a seed decides.

    Args:
        plugin: the modality class.
        path: an image that it can read.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    modality: Modality = plugin(32, **options)
    image = modality.read(path)
    _law(image.ndim == 3 and len(image) == modality.channels, plugin, "reads no (C, H, W)")
    _law(image.dtype in (np.uint8, np.float32), plugin, f"reads {image.dtype}")
    before = image.copy()
    views = modality.views(image, np.random.default_rng(1))
    again = modality.views(image, np.random.default_rng(1))
    other = modality.views(image, np.random.default_rng(2))
    _law(bool((image == before).all()), plugin, "changes the image in place")
    _law(_equal(views, again), plugin, "gives other views for the same seed")
    _law(not _equal(views, other), plugin, "ignores the generator")
    wanted = (modality.channels, 32, 32)
    for view in (*views, modality.eval_view(image)):
        _law(view.shape == wanted, plugin, f"gives a view {view.shape}, not {wanted}")
        _law(view.dtype == image.dtype, plugin, "changes the dtype")
    stacked = torch.from_numpy(np.stack(views))
    normal = modality.normalise(stacked)
    _law(normal.dtype == torch.float32, plugin, f"normalises to {normal.dtype}")
    _law(normal.shape == stacked.shape, plugin, "normalises to another shape")
    _law(isinstance(modality.reading, str), plugin, "has no text `reading`")


def check_dataset(plugin: Plugin, argument: str, **options: Any) -> None:
    """Lists studies in a stable order, with known splits, labels and modalities.

    Args:
        plugin: the data set class.
        argument: what would follow the colon on the command line.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    dataset: Dataset = plugin(argument, **options)
    studies = dataset.studies()
    _law(bool(studies), plugin, "lists no study")
    _law(studies == plugin(argument, **options).studies(), plugin, "lists another order each time")
    parts = [study for split in SPLITS for study in dataset.studies(split)]
    _law(
        sorted(s.id for s in parts) == sorted(s.id for s in studies), plugin, "splits do not add up"
    )
    _law(len({s.id for s in studies}) == len(studies), plugin, "has ids twice")
    classes = {label.name: len(label.classes) for label in dataset.labels}
    for label in dataset.labels:
        _law(label.reported in label.classes, plugin, f"reports no class of {label.name!r}")
    for study in studies:
        _law(study.split in SPLITS, plugin, f"has a split {study.split!r}")
        _law(set(study.images) <= set(dataset.modalities), plugin, "has undeclared modalities")
        for name, value in study.labels.items():
            _law(-1 <= value < classes[name], plugin, f"has {name} = {value} in study {study.id}")


def process_difference(plugin: Plugin, **options: Any) -> float:
    """The largest difference of loss and gradients, two gloo processes against one.

    Every process holds half of the rows; the objective is in eval mode, so that batch norm does
    not mix in. Losses and gradients are averaged over processes, as DDP does.
    """
    with tempfile.TemporaryDirectory() as folder:
        results = os.path.join(folder, "result.pt")  # noqa: PTH118
        store = os.path.join(folder, "store")  # noqa: PTH118
        arguments = (plugin, options, store, results)
        spawn(_half, args=arguments, nprocs=2)  # type: ignore[no-untyped-call]
        two = torch.load(results, weights_only=True)
    one = _loss_and_gradients(plugin, {**options, "gather": False}, slice(None))
    return max(float((a - b).abs().max()) for a, b in zip(one, two, strict=True))


def _half(rank: int, plugin: Plugin, options: dict[str, Any], store: str, results: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    try:
        half = slice(rank * ROWS // 2, (rank + 1) * ROWS // 2)
        values = _loss_and_gradients(plugin, {**options, "gather": True}, half)
        for value in values:
            dist.all_reduce(value)
            value /= 2
        if rank == 0:
            torch.save(values, results)
    finally:
        dist.destroy_process_group()


def _loss_and_gradients(plugin: Plugin, options: dict[str, Any], rows: slice) -> list[Tensor]:
    """Loss, gradients of the features (zeros where other rows are), gradients of the weights."""
    objective = _objective(plugin, **options).eval()
    features, keywords = _features(plugin)

    def cut(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: cut(inner) for name, inner in value.items()}
        return [cut(inner) for inner in value] if isinstance(value, list) else value[rows]

    terms = objective(cut(features), **{name: cut(value) for name, value in keywords.items()})
    total = torch.stack(list(terms.values())).sum()
    torch.autograd.backward(total)
    weights = [
        p.grad if p.grad is not None else torch.zeros_like(p) for p in objective.parameters()
    ]
    leaves = [
        leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in _leaves(features)
    ]
    return [total.detach(), *leaves, *weights]


def _objective(plugin: Plugin, **options: Any) -> Objective:
    torch.manual_seed(0)
    objective: Objective = plugin(WIDTH, **options)
    objective.before_step(1.0)
    return objective


def _features(plugin: Any) -> tuple[Any, dict[str, Any]]:
    torch.manual_seed(1)
    if plugin.on == "modality":
        targets = [torch.randn(ROWS, WIDTH) for _ in range(2)]
        features = [_leaf(ROWS, WIDTH) for _ in range(2)]
        return features, {"targets": targets} if plugin.wants_target else {}
    streams = {name: [_leaf(ROWS, WIDTH) for _ in range(2)] for name in ("a", "b", "c")}
    present = {name: torch.ones(ROWS, dtype=torch.bool) for name in streams}
    return streams, {"present": present, "group": torch.arange(ROWS)}


def _leaf(rows: int, width: int) -> Tensor:
    return torch.randn(rows, width, requires_grad=True)


def _leaves(features: Any) -> list[Tensor]:
    views = features.values() if isinstance(features, Mapping) else [features]
    return [leaf for each in views for leaf in each]


def _all_learn(plugin: Plugin, module: nn.Module, total: Tensor) -> None:
    torch.autograd.backward(total)
    for name, weight in module.named_parameters():
        if weight.requires_grad:
            _law(weight.grad is not None, plugin, f"gives weight {name!r} no gradient")


def _row_order(plugin: Plugin, module: nn.Module, rows: Tensor) -> None:
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = (module(rows)[order] - module(rows[order])).abs().max()
    _law(float(difference) < 1e-4, plugin, "depends on the order of the rows in a batch")


def _row_order_of_terms(plugin: Plugin, objective: Objective, keywords: dict[str, Any]) -> None:
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0))

    def shuffled(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: shuffled(inner) for name, inner in value.items()}
        return [shuffled(inner) for inner in value] if isinstance(value, list) else value[order]

    features, _ = _features(plugin)
    plain = objective(features, **keywords)
    other = objective(shuffled(features), **{n: shuffled(v) for n, v in keywords.items()})
    for name, value in plain.items():
        difference = float((value - other[name]).detach().abs())
        _law(difference < TOLERANCE, plugin, "depends on the order of the rows in a batch")


def _same(plugin: Plugin, objective: Objective, features: Any, keywords: Any, fault: str) -> None:
    one, two = objective(features, **keywords), objective(features, **keywords)
    _law(all(torch.equal(one[name], two[name]) for name in one), plugin, fault)


def _round_trip_of_terms(
    plugin: Plugin, objective: Objective, features: Any, keywords: Any, options: dict[str, Any]
) -> None:
    other = plugin(WIDTH, **options)
    other.load_state_dict(_saved(objective))
    other.before_step(1.0)
    other.eval()
    one, two = objective(features, **keywords), other(features, **keywords)
    for name in one:
        near = torch.allclose(one[name], two[name], atol=1e-6)
        _law(near, plugin, "is not the same after its state was saved and loaded")


def _round_trip(
    plugin: Plugin, module: nn.Module, fresh: Callable[[], nn.Module], rows: Tensor
) -> None:
    other = fresh()
    other.load_state_dict(_saved(module))
    with torch.no_grad():
        same = torch.equal(module.eval()(rows), other.eval()(rows))
    _law(same, plugin, "is not the same after its state was saved and loaded")


def _saved(module: nn.Module) -> dict[str, Any]:
    memory = io.BytesIO()
    torch.save(module.state_dict(), memory)
    memory.seek(0)
    state: dict[str, Any] = torch.load(memory, weights_only=True)
    return state


def _missing(plugin: Plugin, fusion: Fusion, modalities: list[str]) -> None:
    """Absent rows stay finite, reach no present row, and an all-missing batch is no error."""
    present = {name: torch.ones(ROWS, dtype=torch.bool) for name in modalities}
    present[modalities[-1]] = torch.arange(ROWS) > 1
    torch.manual_seed(2)
    features = {name: [torch.randn(ROWS, WIDTH)] for name in modalities}
    other = copy.deepcopy(features)
    other[modalities[-1]][0][:2] = 100.0
    real = fusion.stream_present(present)
    one, two = fusion(features, present), fusion(other, present)
    for name, (rows,) in one.items():
        same = torch.allclose(rows[real[name]], two[name][0][real[name]], atol=1e-5)
        _law(same, plugin, "lets absent rows change present ones")
    absent = {name: torch.zeros(ROWS, dtype=torch.bool) for name in modalities}
    for name, (rows,) in fusion(features, absent).items():
        _law(bool(rows.isfinite().all()), plugin, f"stream {name!r} is not finite without images")


def _equal(one: list[Any], two: list[Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def _numpy_state() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state(legacy=True)
    return name, np.asarray(keys).tobytes(), *rest


def _law(holds: bool, plugin: Any, fault: str) -> None:
    if not holds:
        raise ContractError(f"{getattr(plugin, '__name__', plugin)} {fault}.")

"""What a plugin's option takes at the edges of its range also works: finite numbers come out."""

import typing
from typing import Annotated

import numpy as np
import pytest
import torch
from violations import violations

from sm3kit.core.errors import SM3Error
from sm3kit.core.kinds import KINDS
from sm3kit.core.options import bind, options_of
from sm3kit.core.ranges import Range
from sm3kit.core.registry import registry
from sm3kit.testing.classifier_trial import ClassifierTrial
from sm3kit.testing.tensors import build_objective, objective_features

WIDTH, ROWS = 16, 12


def edges(option):
    """The ends of a range, as far as they take neither much memory nor much time."""
    if typing.get_origin(option.type) is not Annotated:
        return []
    inner, limits = typing.get_args(option.type)[:2]
    if not isinstance(limits, Range):
        return []
    low = [x for x in (limits.least, limits.above) if np.isfinite(x)]
    ends = [limits.least if np.isfinite(limits.least) else limits.above + 1e-6, *limits.also]
    ends += [limits.most] if limits.most <= 360 else []
    ends += [limits.below - 1e-6] if np.isfinite(limits.below) else []
    assert low
    if typing.get_origin(inner) is tuple:
        fixed = typing.get_args(inner)[-1] is not Ellipsis
        return [(end,) * (2 if fixed else 1) for end in ends]
    whole = inner in (int, int | None)
    return [int(end) if whole else end for end in ends]


PLUGINS = [(family, name) for family in KINDS for name in registry(family).names()]


def views(count=2):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(ROWS, WIDTH, generator=generator) for _ in range(count)]


def objective(plugin, options, _):
    if plugin.wants_teacher:
        made = build_objective(plugin, options)
        features, more = objective_features(plugin)
        return made(features, **more)
    made = plugin(WIDTH, **options)
    made.before_step(0.0)
    if plugin.on == "streams":
        return made({"a": views(), "b": views()[::-1]})
    return made(views(), views() if plugin.wants_target else None)


def classifier(plugin, options, _):
    trial = ClassifierTrial(plugin, options)
    names = trial.modalities[-1]
    return trial.batch(names).ask(trial.taught(names).eval())


def loss(plugin, options, _):
    return plugin(**options)(views(1)[0][:, :3], torch.arange(ROWS) % 3, torch.tensor([2, 2, 2]))


def sampler(plugin, options, _):
    labels, rng = np.arange(ROWS)[:, None] % 3, np.random.default_rng(0)
    batches = plugin(**options).order(labels, np.arange(ROWS), 4, rng)
    return [torch.from_numpy(batch).float() for batch in batches]


def fusion(plugin, options, _):
    present = {name: torch.ones(ROWS, dtype=torch.bool) for name in "ab"}
    made = plugin({"a": WIDTH, "b": WIDTH}, **options)
    return made({"a": views(), "b": views()}, present)


def relation(plugin, options, _):
    return plugin(WIDTH, 3, **options)(views(1)[0])


def clusterer(plugin, options, _):
    return plugin(**options).fit(views(1)[0], 3, seed=0).centroids


def backbone(plugin, options, _):
    model = plugin.example()
    return plugin(model, 3, **options)(torch.randn(2, *getattr(plugin, "shape", (3, 32, 32))))


def modality(plugin, options, folder):
    made = plugin(32, **options)
    image = made.read(plugin.example(folder))
    shown = [*made.views(image, np.random.default_rng(0)), made.eval_view(image)]
    return made.normalise(torch.stack([torch.from_numpy(np.ascontiguousarray(v)) for v in shown]))


def dataset(plugin, options, folder):
    assert plugin(plugin.example(folder), **options).studies()
    return torch.zeros(1)


MADE = {
    "objectives": objective,
    "fusions": fusion,
    "relations": relation,
    "clusterers": clusterer,
    "backbones": backbone,
    "modalities": modality,
    "datasets": dataset,
    "classifiers": classifier,
    "losses": loss,
    "samplers": sampler,
}


def leaves(found):
    if isinstance(found, torch.Tensor):
        return [found]
    inner = found.values() if isinstance(found, dict) else found
    return [leaf for one in inner for leaf in leaves(one)]


@pytest.mark.parametrize(("family", "name"), PLUGINS)
def test_the_edges_of_a_range_work(family, name, tmp_path):
    plugin = registry(family).get(name)

    def works(option, value):
        options = bind(plugin, name, {option: value})
        folder = tmp_path / f"{option}{value}"
        folder.mkdir()
        try:
            found = MADE[family](plugin, options, folder)
        except SM3Error as error:
            # Two options that do not go together, or data that leave nothing: said in words.
            assert str(error).endswith((".", ")")), error
            return
        assert all(torch.isfinite(leaf).all() for leaf in leaves(found))

    options = options_of(plugin).values()
    cases = [(option.name, value) for option in options for value in edges(option)]
    assert violations(works, cases) == []

"""Local views in a training: who gets them, and where they are refused."""

import pytest
import torch
from tiny_runs import altered

from sm3kit.core.errors import VariantError
from sm3kit.core.registry import registry
from sm3kit.data.batches import StudyViews
from sm3kit.data.image_cache import ImageCache
from sm3kit.networks.assemble import build_pool, fill_in
from sm3kit.objectives.base import Objective
from sm3kit.training.hardware import smallest_view
from sm3kit.training.preparation import training_cases

LOCAL = {"local_views": 3, "local_size": 16}
SMALL = {"dino": {"prototypes": 9, "hidden": 16}, "swav": {"prototypes": 5, "queue": 8}}


@pytest.fixture
def cropped(tiny):
    """cropped(*objectives, **changes): one epoch with three local views of derm alone."""

    def variant(*objectives, photo=None, **changes):
        options = {**tiny.options, **SMALL, "derm": {**LOCAL, **(photo or {})}}
        changes = {"stage1": {"epochs": 1, "monitor_every": 0}, **changes}
        return altered(tiny, objective=objectives, options=options, **changes)

    return variant


class Witness(Objective):
    """Notes how many features and targets it gets."""

    wants_target = True
    seen: dict = {}

    def __init__(self, width):
        super().__init__()
        self.layer = torch.nn.Linear(width, 1)

    def forward(self, features, targets=None, *, present=None, group=None):
        if torch.is_grad_enabled():
            self.seen.setdefault(type(self).__name__, []).append((len(features), len(targets)))
        return {"loss": self.layer(torch.cat(list(features))).square().mean()}


class LocalWitness(Witness):
    """As Witness, with local views."""

    wants_local = True


@pytest.fixture
def witnesses():
    registry("objectives").register("whole")(Witness)
    registry("objectives").register("local")(LocalWitness)
    Witness.seen.clear()
    yield Witness.seen
    for name in ("whole", "local"):
        registry("objectives").unregister(name)


def test_local_views_go_to_objectives_that_want_them_alone(cropped, train, witnesses):
    """Of derm there are 2 + 3 views, of clinic 2; targets and streams are of global views."""
    settings = {"epochs": 1, "monitor_every": 0, "join_views": True}
    outcome, said = train(cropped("whole", "local", stage1=settings))
    assert outcome.run.finished
    assert "weights, none), 32 px, 3 x 16 px local" in " ".join(said.split())
    assert set(witnesses["Witness"]) == {(2, 2)}
    assert set(witnesses["LocalWitness"]) == {(5, 2), (2, 2)}


def test_stage_1_alone_sees_local_views(cropped):
    pool = build_pool(fill_in(cropped("swav")))
    cases, cache = pool.of(["train"]), ImageCache(None)
    whole = StudyViews(pool, cases, cache, 0)[0, 3].views
    views = StudyViews(pool, cases, cache, 0, local=True)[0, 3].views
    assert [len(whole[name]) for name in ("derm", "clinic")] == [2, 2]
    assert [view.shape[1] for view in views["derm"]] == [32, 32, 16, 16, 16]
    assert all((a == b).all() for a, b in zip(whole["derm"], views["derm"], strict=False))
    assert all((a == b).all() for a, b in zip(whole["clinic"], views["clinic"], strict=True))
    assert len(StudyViews(pool, cases, cache, 0, rotated=True)[0, 3].views["derm"]) == 4
    assert smallest_view(pool.modalities) == 16


@pytest.mark.parametrize(
    ("objectives", "changes", "said"),
    [
        (
            ("simclr",),
            {},
            r"^derm has local views, and no objective of this run takes any; these do: (\w+, )*dino, "
            r"(\w+, )*swav(, \w+)*\. Leave local_views out, or use one of these with --objective\.$",
        ),
        (("crossmodal",), {}, "no objective of this run takes any"),
        ((), {}, "no objective of this run takes any"),
        (
            ("swav", "ssd_kd"),
            {},
            "^The objective 'ssd_kd' rotates images by 90 degrees, and derm has",
        ),
        (("swav",), {"photo": {"views": 1}}, "there is only one. Set the option views of its"),
        (("dino",), {"photo": {"views": 1}}, "there is only one. Set the option views of its"),
    ],
)
def test_local_views_that_cannot_be_used(cropped, train, tmp_path, objectives, changes, said):
    with pytest.raises(VariantError, match=said):
        train(cropped(*objectives, **changes))
    assert not (tmp_path / "run").exists()


def test_stage_2_alone_takes_no_offence_at_local_views(cropped):
    variant = fill_in(cropped("simclr", stage="mlssl"))
    assert training_cases(build_pool(variant), variant)

"""No step of stage 1 waits for a GPU: tried on a CPU, where all that would wait is refused."""

import pytest
import torch
from tiny_runs import TINY, altered
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sm3kit.core.registry import registry
from sm3kit.data.batches import Batch
from sm3kit.modalities.photo import Photo
from sm3kit.networks.assemble import build_stage1
from sm3kit.nn import finite
from sm3kit.nn.finite import Arrival, FiniteWatch
from sm3kit.nn.host.values import host_values, known_tensor, to_device
from sm3kit.nn.present_rows import in_all, in_any, places_of, rows_of
from sm3kit.training.stage1 import MultiModalSSL

NAMES = ("derm", "clinic")
STUDIES, SIZE = 8, 32
FUSIONS = registry("fusions").names()
OBJECTIVES = [
    name
    for name in registry("objectives").names()
    if registry("objectives").get(name).on == "modality"
    and not registry("objectives").get(name).wants_teacher
]
MISSING = {"all": ([], []), "some": ([2], [0, 5]), "one": ([], [*range(1, STUDIES)])}


class Refuse(TorchDispatchMode):
    """Refuses what makes the host wait for a GPU: to read a value, or to count rows by a mask."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
            place is not None and place.dtype in (torch.bool, torch.uint8) for place in args[1]
        )
        if by_mask or name in ("_local_scalar_dense", "nonzero", "masked_select"):
            raise Waited(name)
        return func(*args, **(kwargs or {}))


class Waited(Exception):
    """The host would wait."""


def studies(missing, groups=None):
    view = torch.randint(0, 255, (STUDIES, SIZE, SIZE, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    present = {name: torch.ones(STUDIES, dtype=torch.bool) for name in NAMES}
    for name, absent in zip(NAMES, missing, strict=True):
        present[name][absent] = False
    index = torch.arange(STUDIES)
    return Batch(
        {name: [view, view.flip(3)] for name in NAMES},
        present,
        torch.zeros(STUDIES, 1, dtype=torch.long),
        index,
        index if groups is None else torch.tensor(groups),
    )


def take_steps(variant, batch, monkeypatch):
    """Two steps of stage 1 with gradients, in which the host may not wait."""
    modalities = {name: Photo(SIZE) for name in NAMES}
    module = MultiModalSSL(build_stage1(variant, modalities), variant, 4)
    monkeypatch.setattr(module, "progress", lambda index: 0.5)
    monkeypatch.setattr(module, "set_rate", lambda *named: None)
    monkeypatch.setattr(Tensor, "tolist", lambda tensor: pytest.fail("waited for a list"))
    with Refuse():
        for _ in range(2):
            module.training_step(batch, 1).backward()


def small(**changes):
    options = {**TINY.options, "byol": {"hidden": 16, "projection": 8}, "swav": {"prototypes": 5}}
    return altered(TINY, options=options, **changes)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_objective_waits(objective, monkeypatch):
    take_steps(small(objective=(objective,)), studies(MISSING["some"]), monkeypatch)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("missing", MISSING.values(), ids=MISSING)
def test_no_fusion_waits(fusion, missing, monkeypatch):
    take_steps(small(fusion=fusion), studies(missing), monkeypatch)


@pytest.mark.parametrize(
    "settings", [{"micro_batch": 3}, {"join_views": True}, {"schedule": "constant"}], ids=str
)
def test_no_setting_waits(settings, monkeypatch):
    groups = [0, 0, 1, 2, 3, 4, 5, 6]  # Two studies of one patient.
    take_steps(small(stage1=settings), studies(MISSING["some"], groups), monkeypatch)


def test_what_waits_is_refused():
    mask, rows = torch.tensor([True, False]), torch.ones(2)
    for wait in (mask.any().__bool__, mask.nonzero, rows.sum().item, lambda: rows[mask]):
        with Refuse(), pytest.raises(Waited):
            wait()


class TestTheHostKnows:
    """Tensors of the device "meta" hold no values that anybody could ask for."""

    device = torch.device("meta")

    def test_what_it_sent(self):
        mask = to_device(torch.tensor([True, False, True]), self.device)
        assert host_values(mask).tolist() == [True, False, True]
        assert host_values(places_of(mask)).tolist() == [0, 2]
        codes = known_tensor([7, 8, 9], self.device)
        assert host_values(rows_of(codes, mask)).tolist() == [7, 9]

    def test_what_was_made_of_it(self):
        masks = [known_tensor([True, last, False], self.device) for last in (True, False)]
        assert host_values(in_all(masks)).tolist() == [True, False, False]
        assert host_values(in_any(masks)).tolist() == [True, True, False]

    def test_whole_batches(self):
        batch = studies(MISSING["some"], [0, 0, 1, 2, 3, 4, 5, 6]).to("meta")
        assert host_values(batch.present["clinic"]).sum() == STUDIES - 2
        assert host_values(batch.group)[1] == 0

    def test_nothing_that_was_changed_in_place(self):
        count = known_tensor([3], self.device)
        count.add_(1)
        with pytest.raises((RuntimeError, NotImplementedError)):
            host_values(count)


class TestTermsThatArriveLater:
    def watch(self, monkeypatch, there):
        def send(numbers):
            return Arrival(numbers.clone(), lambda: there[0], lambda: None)

        monkeypatch.setattr(finite.Arrival, "of", send)
        return FiniteWatch()

    def test_are_looked_at_when_they_are_there(self, monkeypatch):
        there = [False]
        watch = self.watch(monkeypatch, there)
        watch.add({"fine": torch.tensor(1.0), "bad": torch.tensor(float("nan"))}, " (step 1)")
        watch.add({"worse": torch.tensor(float("inf"))}, " (step 2)")
        assert watch.look() == ([], "")
        there[0] = True
        assert watch.look() == (["bad"], " (step 1)")

    def test_are_waited_for_at_the_end(self, monkeypatch):
        watch = self.watch(monkeypatch, [False])
        watch.add({"fine": torch.tensor(1.0)}, " (step 1)")
        watch.add({"bad": torch.tensor(float("inf"))}, " (step 2)")
        assert watch.look(wait=True) == (["bad"], " (step 2)")
        assert watch.look(wait=True) == ([], "")


@pytest.mark.slow
def test_compiled_backbones_change_neither_loss_nor_names(monkeypatch):
    variant = small(objective=("byol",), stage1={"micro_batch": 3})
    losses, names = [], []
    for compiled in (False, True):
        torch.manual_seed(0)
        parts = build_stage1(variant, {name: Photo(SIZE) for name in NAMES})
        module = MultiModalSSL(parts, variant, 4)
        monkeypatch.setattr(module, "progress", lambda index: 0.5)
        monkeypatch.setattr(module, "set_rate", lambda *named: None)
        if compiled:
            module.compile_backbones(backend="eager")
        torch.manual_seed(1)
        loss = module.training_step(studies(MISSING["some"]), 1)
        loss.backward()
        losses.append(loss)
        names.append([*module.state_dict()])
    assert torch.allclose(*losses)
    assert names[0] == names[1]

"""Batches of an epoch: their order, their shares among processes, and what samplers draw."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from sm3kit.core.registry import registry
from sm3kit.data.epoch_batches import Draw, EpochBatches
from sm3kit.samplers.base import Sampler, cut


def permuted(count, batch_size, seed, epoch, *, last, pad_to, rank, world, least=2):
    """The order of a plain training, cut from one permutation."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    whole = batch_size * world
    rest = len(order) % whole
    if rest and last == "drop" and len(order) > whole:
        order = order[: len(order) - rest]
    elif rest:
        multiple = world * (pad_to if last == "pad" else 1)
        order = np.concatenate([order, order[: -len(order) % multiple]])
    batches = [order[start : start + whole] for start in range(0, len(order), whole)]
    mine = [batch[rank::world].tolist() for batch in batches]
    return [batch for batch in mine if len(batch) >= least]


def drawn(batches, epoch):
    batches.set_epoch(epoch - batches.first_epoch)
    return [[index for _, index, _ in batch] for batch in batches]


@pytest.mark.parametrize("draw", ["none", "shuffle"])
def test_every_study_once_is_a_permutation_by_seed_and_epoch(draw):
    sizes = product((2, 7, 24, 25, 31), (4, 8), ("keep", "drop", "pad"), (1, 2, 4), (1, 2, 3))
    for count, size, last, pad_to, world in sizes:
        labels, groups = np.zeros((count, 1), np.int64), np.arange(count)
        by = Draw(registry("samplers").get("shuffle")(), labels, groups)
        how = {"last": last, "pad_to": pad_to, "world": world}
        for rank in range(world):
            batches = EpochBatches(
                count, size, 5, draw=by if draw == "shuffle" else None, rank=rank, **how
            )
            for epoch in (0, 3):
                wanted = permuted(count, size, 5, epoch, rank=rank, **how)
                assert drawn(batches, epoch) == wanted
                assert len(batches) == len(wanted)


def test_a_resumed_training_sees_the_same_batches():
    whole, later = EpochBatches(20, 6, 1), EpochBatches(20, 6, 1, first_epoch=2)
    assert drawn(whole, 3) == drawn(later, 3)
    assert next(iter(later))[0][0] == 3


def test_the_last_batch_divides_whatever_the_batch_size():
    batches = EpochBatches(31, 10, 0, last="pad", pad_to=4)
    assert [len(batch) for batch in batches] == [10, 10, 10, 4]


class Own(Sampler):
    """Batches of a size of its own, with the same study over and over."""

    on = "clusters"

    def order(self, labels, groups, batch_size, rng):
        return cut(rng.integers(len(groups), size=3 * 5), 5)


class ByLabel(Sampler):
    """All studies by their label, to see which labels arrive."""

    on = "labels"

    def order(self, labels, groups, batch_size, rng):
        return cut(np.argsort(labels[:, 0], kind="stable"), batch_size)


def test_each_process_takes_its_share_of_a_batch():
    """Also where the size is the sampler's own and does not divide by the processes."""
    draw = Draw(Own(), np.zeros((9, 1), np.int64), np.arange(9))
    alone = EpochBatches(9, 4, 7, draw=draw)
    shares = [list(EpochBatches(9, 4, 7, draw=draw, rank=r, world=2)) for r in range(2)]
    for number, batch in enumerate(alone):
        both = [share[number] for share in shares]
        assert [len(share) for share in both] == [3, 3]
        assert set(batch) <= {place for share in both for place in share}
    assert len(alone) == len(shares[0]) == 3


def test_a_study_that_is_drawn_again_has_another_turn():
    """In all processes together, so that no two of them see the same views."""
    draw = Draw(Own(), np.zeros((4, 1), np.int64), np.arange(4))
    places = [place for batch in EpochBatches(4, 5, 0, draw=draw) for place in batch]
    assert len(set(places)) == len(places) == 15
    turns = Counter(index for _, index, _ in places)
    for index, count in turns.items():
        assert sorted(turn for _, i, turn in places if i == index) == list(range(count))


def test_labels_are_set_anew_or_asked_for_when_an_epoch_begins():
    labels = np.array([[2], [1], [0], [3]])
    draw = Draw(ByLabel(), labels, np.arange(4))
    batches = EpochBatches(4, 2, 0, draw=draw)
    assert drawn(batches, 0) == [[2, 1], [0, 3]]
    draw.labels = 3 - labels
    assert drawn(batches, 1) == [[3, 0], [1, 2]]
    asked = []

    def renew(epoch):
        asked.append(epoch)
        return np.roll(labels, epoch, axis=0)

    draw.renew = renew
    iterator = iter(batches)
    assert asked == []
    next(iterator)
    assert drawn(batches, 2) == [[0, 3], [2, 1]]
    assert asked == [1, 2]
    assert len(batches) == 2
    assert asked == [1, 2], "the length asks for no labels"


@pytest.mark.parametrize("world", [2, 3, 4])
def test_processes_divide_the_batches_of_one(world):
    alone = EpochBatches(11, 4, 5, divide=True)
    own = [EpochBatches(11, 4, 5, rank=rank, world=world, divide=True) for rank in range(world)]
    whole = list(alone)
    shares = [list(batches) for batches in own]
    assert [batches.sizes for batches in own] == [alone.sizes] * world == [[4, 4, 3]] * world
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        assert len({len(part) for part in parts}) == 1  # Filled up to equal length.
        assert [place for turn in zip(*parts, strict=True) for place in turn][: len(batch)] == batch

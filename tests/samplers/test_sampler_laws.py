"""Samplers that break a law each, and are found out."""

import numpy as np
import pytest

from sm3kit.core.errors import ContractError, VariantError
from sm3kit.samplers.base import Sampler, cut
from sm3kit.samplers.cluster_balanced import ClusterBalanced
from sm3kit.samplers.label_balanced import LabelBalanced
from sm3kit.samplers.shuffle import Shuffle
from sm3kit.testing import check_sampler


class Outside(Shuffle):
    """Counts from one."""

    def order(self, labels, groups, batch_size, rng):
        return [batch + 1 for batch in super().order(labels, groups, batch_size, rng)]


class Lists(Shuffle):
    """Batches that are no arrays."""

    def order(self, labels, groups, batch_size, rng):
        return [batch.tolist() for batch in super().order(labels, groups, batch_size, rng)]


class Narrow(Shuffle):
    """Positions in 32 bits."""

    def order(self, labels, groups, batch_size, rng):
        return [b.astype(np.int32) for b in super().order(labels, groups, batch_size, rng)]


class Empty(Shuffle):
    """An empty batch at the end."""

    def order(self, labels, groups, batch_size, rng):
        batches = super().order(labels, groups, batch_size, rng)
        return [*batches, batches[0][:0]]


class Nothing(Shuffle):
    """No batches."""

    def order(self, labels, groups, batch_size, rng):
        return []


class Growing(Shuffle):
    """A last batch that is larger than others."""

    def order(self, labels, groups, batch_size, rng):
        batches = super().order(labels, groups, batch_size, rng)
        return [*batches[:-2], np.concatenate(batches[-2:])]


class Uneven(Shuffle):
    """Batches of several sizes."""

    def order(self, labels, groups, batch_size, rng):
        order = rng.permutation(len(groups))
        return [order[:1], order[1:3], order[3:4]]


class Fixed(Shuffle):
    """The same order in every epoch."""

    def order(self, labels, groups, batch_size, rng):
        return cut(np.arange(len(groups)), batch_size)


class Own(Shuffle):
    """Random numbers of its own."""

    def order(self, labels, groups, batch_size, rng):
        return cut(np.random.default_rng().permutation(len(groups)), batch_size)


class Global(Shuffle):
    """Some random numbers of NumPy's global state, which change nothing."""

    def order(self, labels, groups, batch_size, rng):
        np.random.rand()
        return super().order(labels, groups, batch_size, rng)


class Remembering(Shuffle):
    """The first batch of the epoch before comes again."""

    def __init__(self):
        self.last = []

    def order(self, labels, groups, batch_size, rng):
        batches = super().order(labels, groups, batch_size, rng)
        before, self.last = self.last, batches[:1]
        return [*before, *batches[len(before) :]] if len(groups) == 40 else batches


class Changing(Shuffle):
    """Writes into the labels."""

    def order(self, labels, groups, batch_size, rng):
        labels[:] = 0
        return super().order(labels, groups, batch_size, rng)


class Forgetful(Shuffle):
    """Leaves the last study out."""

    def order(self, labels, groups, batch_size, rng):
        return super().order(labels, groups[:-1], batch_size, rng)


class Varying(Shuffle):
    """An epoch of any length."""

    def order(self, labels, groups, batch_size, rng):
        return super().order(labels, groups, batch_size, rng)[: rng.integers(1, 3)]


class BySize(ClusterBalanced):
    """An epoch as long as the smallest cluster."""

    def order(self, labels, groups, batch_size, rng):
        least = np.bincount(labels[:, 0]).min()
        return super().order(labels, groups, batch_size, rng)[:least]


class Fussy(Shuffle):
    """Wants to know all labels."""

    def order(self, labels, groups, batch_size, rng):
        if (labels < 0).any():
            raise VariantError("Some labels are unknown.")
        return super().order(labels, groups, batch_size, rng)


class Secret(Shuffle):
    """Needs labels and does not say so."""

    def order(self, labels, groups, batch_size, rng):
        if not labels.size:
            raise VariantError("There are no labels.")
        return super().order(labels, groups, batch_size, rng)


class Boasting(Shuffle):
    """Says that it needs every class, and does not."""

    every_class = True


class Unknown(Shuffle):
    """Draws on what there is not."""

    on = "images"


class Failing(Sampler):
    """Has no order."""


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (Outside, "gives a position outside 0 to 11"),
        (Lists, "gives a batch that is not an array of positions"),
        (Narrow, "gives positions of type int32, not int64"),
        (Empty, "gives an empty batch"),
        (Nothing, "gives no batches"),
        (Growing, "gives a last batch that is larger than others"),
        (Uneven, "gives batches of several sizes"),
        (Fixed, "gives the same batches in every epoch"),
        (Own, "ignores its random numbers"),
        (Global, "draws from NumPy's random state"),
        (Remembering, "depends on the epochs before"),
        (Changing, "changes its input in place"),
        (Forgetful, "never draws 1 of 40 studies"),
        (Varying, "gives epochs of different numbers of batches"),
        (BySize, "gives epochs of different numbers of batches"),
        (Secret, "says that it needs no labels, and refuses to do without: There are no labels."),
        (Boasting, "says that it needs every class, and draws without"),
        (Unknown, "has an `on` that is not one of labels, clusters, nothing"),
    ],
)
def test_a_broken_sampler_is_found_out(plugin, said):
    with pytest.raises(ContractError, match=f"{plugin.__name__} {said}"):
        check_sampler(plugin)


@pytest.mark.parametrize(
    ("plugin", "error"), [(Fussy, VariantError), (Failing, NotImplementedError)]
)
def test_what_a_sampler_raises_goes_through(plugin, error):
    with pytest.raises(error):
        check_sampler(plugin)


def test_options_are_tried():
    check_sampler(LabelBalanced, k=3)
    check_sampler(ClusterBalanced, clip=1.0)

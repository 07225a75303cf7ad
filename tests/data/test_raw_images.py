"""Views that are made in batches are those that are made one by one, for every kind of study."""

import numpy as np
import pytest
import torch
from scipy import stats

from sm3kit.core.registry import registry
from sm3kit.data.batches import EVALUATION, StudyViews, train_loader
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.data.image_cache import ImageCache
from sm3kit.networks.assemble import build_pool

PHOTO = registry("modalities").get("photo")
PAIRED = {"paired_geometry": True, "options": {"manifest": {"registered": ["derm", "clinic"]}}}


@pytest.fixture
def pairs(tiny, studies):
    """A function: studies with gaps as batches; keywords are those of `StudyViews`."""

    def without_some(i, row):
        return row | ({"clinic": ""} if i % 7 == 1 else {"derm": ""} if i % 7 == 4 else {})

    variant = tiny.changed({"data": [studies("gaps", without_some)]}, "test")

    def batches(workers=0, changes=None, **keywords):
        pool = build_pool(variant.changed(changes or {}, "test"))
        shown = StudyViews(pool, pool.of(["train"]), ImageCache(None), 3, **keywords)
        order = EpochBatches(len(shown), 9, 3)
        names = list(pool.modalities)
        loader = train_loader(shown, order, names, workers)
        return [batch.to("cpu").make_views(pool.modalities) for batch in loader]

    return batches


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("changes", [{}, PAIRED])
def test_batches_are_those_of_views_that_are_made_one_by_one(pairs, rotated, changes):
    raw = ["derm", "clinic"]
    for plain, made in zip(
        pairs(changes=changes, rotated=rotated),
        pairs(changes=changes, rotated=rotated, raw=raw),
        strict=True,
    ):
        assert not made.raw
        assert made.count == plain.count
        assert list(made.views) == list(plain.views)
        for name, views in plain.views.items():
            assert torch.equal(plain.present[name], made.present[name])
            for own, view in zip(views, made.views[name], strict=True):
                assert view.dtype == own.dtype
                assert view.shape == own.shape
                assert view.is_contiguous(memory_format=torch.channels_last)
                apart = (view.float() - own.float()).abs()
                assert not apart[~plain.present[name]].any()
                assert apart.mean() < 0.3
                assert (apart > 2).float().mean() < 0.01


def test_one_modality_in_batches_leaves_the_other_as_it_was(pairs):
    for plain, made in zip(pairs(), pairs(raw=["derm"]), strict=True):
        assert all(map(torch.equal, plain.views["clinic"], made.views["clinic"]))
        assert not all(map(torch.equal, plain.views["derm"], made.views["derm"]))


def test_workers_and_repetition_change_no_view(pairs):
    for first, second in zip(pairs(raw=["derm"]), pairs(raw=["derm"], workers=2), strict=True):
        assert all(map(torch.equal, first.views["derm"], second.views["derm"]))


def test_evaluation_views_stay_on_the_cpu(tiny):
    pool = build_pool(tiny)
    shown = StudyViews(pool, pool.of(["val"]), ImageCache(None), 0, raw=list(pool.modalities))
    assert not shown[EVALUATION, 0].raw
    assert shown[EVALUATION, 0].views.keys() == pool.modalities.keys()


def test_views_in_batches_have_the_distribution_of_others():
    """Brightness, contrast, colour and sharpness of views under other seeds than the others'."""
    y, x = np.mgrid[0:60, 0:80]
    image = np.stack([120 + 60 * np.sin(y / 9), 100 + 50 * np.cos(x / 7), 90 + x - y / 2])
    image = np.ascontiguousarray(image.astype(np.uint8))
    photo = PHOTO(24, views=400, rotate=20.0)
    drawn = photo.draw_views(image, np.random.default_rng(1))
    made = torch.stack(photo.apply_views([torch.from_numpy(image)], torch.from_numpy(drawn[None])))
    batched = made[:, 0].numpy().astype(float)
    single = np.stack(photo.views(image, np.random.default_rng(2))).astype(float)
    measures = (
        lambda views: views.mean(axis=(1, 2, 3)),
        lambda views: views.std(axis=(1, 2, 3)),
        lambda views: np.ptp(views, axis=1).mean(axis=(1, 2)),
        lambda views: np.abs(np.diff(views, axis=3)).mean(axis=(1, 2, 3)),
        lambda views: (views[:, 0, :, :12] - views[:, 0, :, 12:]).mean(axis=(1, 2)),
    )
    for measure in measures:
        assert stats.ks_2samp(measure(batched), measure(single)).pvalue > 0.01
    # The test would tell: half as many flips, or another range of factors.
    other = np.stack(PHOTO(24, views=400, rotate=20.0, brightness=0.4).views(image)).astype(float)
    assert stats.ks_2samp(measures[0](batched), measures[0](other)).pvalue < 0.01

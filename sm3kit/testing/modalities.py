"""The laws of modalities."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from sm3kit.modalities.base import QUARTERS, Image, Modality
from sm3kit.testing.every_plugin import check_documented
from sm3kit.testing.law import Laws, NotTried, Plugin, require, require_attributes
from sm3kit.testing.likeness import equal, likeness, pattern, share_apart

SIZE, DRAWS, ALIKE = 32, 12, 0.6
APART = 0.02  # Of the values in a batch that rounding may change by more than a hundredth.


@dataclass(frozen=True)
class ModalityTrial:
    """A modality class, an image that it can read, and the options to build it with."""

    plugin: Plugin
    path: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Modality:
        """The modality with views of a small size."""
        modality: Modality = self.plugin(SIZE, **self.options)
        return modality

    def image(self) -> Image:
        """The image, read."""
        return self.build().read(self.path)

    def views(self, seed: int, image: Image | None = None) -> list[Image]:
        """Random global views under a seed."""
        image, modality = self.image() if image is None else image, self.build()
        return modality.global_views(modality.views(image, np.random.default_rng(seed)))

    def views_at(self, seed: int, geometry: int, image: Image) -> list[Image]:
        """Random views whose crops, flips and turns have a seed of their own."""
        if "geometry" not in inspect.signature(self.build().views).parameters:
            raise NotTried("its views take no 'geometry': it cannot be paired")
        both = np.random.default_rng(seed), np.random.default_rng(geometry)
        return list(self.build().views(image, both[0], geometry=both[1]))


LAWS: Laws[ModalityTrial] = Laws()


def check_modality(plugin: Plugin, path: str, **options: Any) -> None:
    """Reads, views and normalises one image; the image stays as it was, a seed decides.

    Args:
        plugin: the modality class.
        path: an image that it can read.

    Raises:
        ContractError: a law does not hold.
    """
    check_documented(plugin)
    LAWS.enforce(ModalityTrial(plugin, path, options), plugin)


@LAWS.law("builds", first=True)
def builds(trial: ModalityTrial) -> None:
    """It can be built, and says its channels, the shape of its views, and how it reads."""
    modality = trial.build()
    remedy = "set it there, or as an attribute of the class"
    require_attributes(modality, ["channels", "image_size", "reading"], remedy)
    require(isinstance(modality.reading, str), "has no text `reading`")
    shape = modality.shape
    fits = len(shape) == 3 and shape[0] == modality.channels and min(shape) > 0
    require(fits, f"says shape {shape} with {modality.channels} channels")


@LAWS.law("reading", first=True)
def reads_an_image(trial: ModalityTrial) -> None:
    """It reads (C, H, W), uint8 or float32, the same each time."""
    image = trial.image()
    fits = image.ndim == 3 and len(image) == trial.build().channels
    require(fits, f"does not read (C, H, W) but {image.shape}")
    require(image.dtype in (np.uint8, np.float32), f"reads {image.dtype}")
    require(np.array_equal(image, trial.image()), "reads something different the second time")


@LAWS.law("views")
def views_of_one_shape(trial: ModalityTrial) -> None:
    """Random views and the evaluation view have `shape` and the type of the image."""
    image, modality = trial.image(), trial.build()
    views = trial.views(1, image)
    require(bool(views), "gives no view")
    for view in (*views, modality.eval_view(image)):
        require(view.shape == modality.shape, f"gives a view {view.shape}, not {modality.shape}")
        require(view.dtype == image.dtype, "changes the dtype")


@LAWS.law("local views")
def local_views_come_last(trial: ModalityTrial) -> None:
    """Where it makes local views: in their size, behind the others, which they do not change."""
    modality, image = trial.build(), trial.image()
    if not modality.local_views:
        raise NotTried("it makes no local views")
    views = modality.views(image, np.random.default_rng(1))
    alone = modality.without_local().views(image, np.random.default_rng(1))
    fault = f"gives {len(views) - len(alone)} local views, not {modality.local_views}"
    require(len(views) - len(alone) == modality.local_views, fault)
    require(
        equal(modality.global_views(views), alone), "gives other global views beside local ones"
    )
    local, shape = views[len(alone) :], modality.local_shape
    for view in local:
        require(view.shape == shape, f"gives a local view {view.shape}, not {shape}")
        require(view.dtype == image.dtype, "changes the dtype")
    normal = modality.normalise(torch.from_numpy(np.stack(local)))
    fits = normal.shape == (len(local), *shape) and bool(normal.isfinite().all())
    require(fits, "does not normalise local views")
    others = (modality.views(image, np.random.default_rng(2 + draw)) for draw in range(DRAWS))
    differ = any(not equal(local, other[len(alone) :]) for other in others)
    require(differ, "ignores the generator in local views")


@LAWS.law("rotations")
def turned_views(trial: ModalityTrial) -> None:
    """Where it is rotatable: four rotated views of one square shape, which the generator decides."""
    modality, image = trial.build(), trial.image()
    if not modality.rotatable:
        raise NotTried("it is not `rotatable`")
    height, width = modality.shape[1:]
    require(height == width, f"is rotatable and says shape {modality.shape}, which is not square")
    before = image.copy()
    views = modality.rotations(image, np.random.default_rng(1))
    require(len(views) == QUARTERS, f"gives {len(views)} rotated views, not {QUARTERS}")
    for view in views:
        require(view.shape == modality.shape, f"gives a view {view.shape}, not {modality.shape}")
        require(view.dtype == image.dtype, "changes the dtype")
    again = trial.build().rotations(image, np.random.default_rng(1))
    require(equal(views, again), "gives different views for the same seed")
    require(np.array_equal(image, before), "changes the image in place")


@LAWS.law("batches")
def views_in_batches(trial: ModalityTrial) -> None:
    """Where it makes views in batches: those of `views` up to rounding, of the same numbers."""
    modality, image = trial.build(), pattern(trial.image())
    if not modality.in_batches:
        raise NotTried("it is not `in_batches`")
    images = [image, np.ascontiguousarray(image[:, : max(1, image.shape[1] * 2 // 3)])]
    ways = [(modality.views, modality.draw_views, modality.apply_views)]
    if modality.rotatable:
        ways += [(modality.rotations, modality.draw_rotations, modality.apply_rotations)]
    for views, draw, apply in ways:
        first, second = ([np.random.default_rng(seed) for seed in (1, 2)] for _ in range(2))
        single = [views(own, rng) for own, rng in zip(images, first, strict=True)]
        drawn = np.stack([draw(own, rng) for own, rng in zip(images, second, strict=True)])
        same = [rng.random() for rng in first] == [rng.random() for rng in second]
        require(same, f"draws other random numbers in {draw.__name__} than in {views.__name__}")
        tables = [torch.from_numpy(own.copy()) for own in images]
        batches = [batch.numpy() for batch in apply(tables, torch.from_numpy(drawn))]
        require(len(batches) == len(single[0]), f"makes {len(batches)} views in {apply.__name__}")
        for alone, batch in zip(map(np.stack, zip(*single, strict=True)), batches, strict=True):
            near = share_apart(alone, batch, image) < APART
            require(near, f"makes other views in {apply.__name__} than in {views.__name__}")
        require(equal([table.numpy() for table in tables], images), "changes the images in place")


@LAWS.law("input")
def image_stays(trial: ModalityTrial) -> None:
    """The image stays as it was."""
    image = trial.image()
    before = image.copy()
    trial.views(1, image)
    trial.build().eval_view(image)
    require(np.array_equal(image, before), "changes the image in place")


@LAWS.law("seed")
def seed_decides(trial: ModalityTrial) -> None:
    """The generator decides the views, and it alone; the evaluation view has no randomness."""
    image, modality = trial.image(), trial.build()
    views = trial.views(1, image)
    require(equal(views, trial.views(1, image)), "gives different views for the same seed")
    others = (trial.views(2 + draw, image) for draw in range(DRAWS))
    require(any(not equal(views, other) for other in others), "ignores the generator")
    same = np.array_equal(modality.eval_view(image), modality.eval_view(image))
    require(same, "gives a different evaluation view each time")


@LAWS.law("test views")
def test_views_show_the_same(trial: ModalityTrial) -> None:
    """Test view 0 is the evaluation view; the others are like it, without randomness."""
    image, modality = trial.image(), trial.build()
    before, own = image.copy(), modality.eval_view(image)
    require(np.array_equal(modality.test_view(image, 0), own), "has another test view 0")
    for number in range(1, 9):
        view = modality.test_view(image, number)
        require(view.shape == own.shape and view.dtype == own.dtype, "changes shape or type")
        same = np.array_equal(view, modality.test_view(image, number))
        require(same, "gives a different test view each time")
    require(np.array_equal(image, before), "changes the image in place")


@LAWS.law("normalise")
def float_views(trial: ModalityTrial) -> None:
    """Stacked views become finite float32 of the same shape, independent of the other views."""
    stacked = torch.from_numpy(np.stack(trial.views(1)))
    before, modality = stacked.clone(), trial.build()
    normal = modality.normalise(stacked)
    require(normal.dtype == torch.float32, f"normalises to {normal.dtype}")
    require(normal.shape == stacked.shape, "normalises to another shape")
    require(bool(normal.isfinite().all()), "normalises to values that are not finite")
    require(torch.equal(stacked, before), "changes its input in place")
    alone = modality.normalise(stacked[:1])
    require(torch.allclose(alone, normal[:1], atol=1e-5), "normalises a view by its neighbours")


@LAWS.law("paired seed")
def geometry_is_used(trial: ModalityTrial) -> None:
    """With a generator for the geometry, both seeds decide, and they alone."""
    image = trial.image()
    views = trial.views_at(1, 1, image)
    require(
        equal(views, trial.views_at(1, 1, image)), "gives different views for the same two seeds"
    )
    others = (trial.views_at(1, 2 + draw, image) for draw in range(DRAWS))
    require(any(not equal(views, other) for other in others), "ignores `geometry`")


@LAWS.law("paired geometry")
def geometry_is_shared(trial: ModalityTrial) -> None:
    """The same geometry crops, flips and turns alike, whatever else is random."""
    image = trial.image()
    if min(image.shape[1:]) < 8 or min(trial.build().shape[1:]) < 8:
        raise NotTried("its images are too small to show a flip or a turn")
    drawn = pattern(image)
    alike = [
        likeness(first, second)
        for draw in range(DRAWS)
        for first, second in zip(
            trial.views_at(2 * draw, draw, drawn),
            trial.views_at(2 * draw + 1, draw, drawn),
            strict=True,
        )
    ]
    fault = "crops, flips or rotates differently for the same `geometry`: draw these from it alone"
    require(min(alike) > ALIKE, fault)

"""What all stages of one pre-training share."""

from __future__ import annotations

from dataclasses import dataclass

from sm3kit.core.variant import Variant
from sm3kit.data.batches import StudyViews
from sm3kit.data.cases import Case
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import Pool
from sm3kit.data.progress import Reporter
from sm3kit.networks.feature_cache import FeatureCache
from sm3kit.runs.run import Run


@dataclass(frozen=True)
class Job:
    """One pre-training.

    Attributes:
        run: the run folder.
        variant: what to train, resolved.
        pool: all studies.
        cases: the studies to train on.
        images: where decoded images are kept.
        features: where features are kept.
        reporter: where progress is shown.
        data_hash: of the data listing.
        workers: processes that prepare views.
        command: what goes on with it after an interruption.
    """

    run: Run
    variant: Variant
    pool: Pool
    cases: list[Case]
    images: ImageCache
    features: FeatureCache
    reporter: Reporter
    data_hash: str
    workers: int
    command: str

    @property
    def views(self) -> StudyViews:
        """The studies to train on, as views."""
        return StudyViews(self.pool, self.cases, self.images, self.variant.seed)

    def read_images(self) -> None:
        """Decodes all images that the training will read, so that bad ones are found now."""
        items = [
            (path, self.pool.readers[case.source][name])
            for case in self.pool.of(list(dict.fromkeys([*self.variant.splits, "val"])))
            for name, paths in case.images.items()
            for path in paths
        ]
        with self.reporter:
            task = self.reporter.task("reading images", len(items))
            filled = self.images.fill(items, progress=lambda *done: self.reporter.advance(task))
        limit = self.images.limit
        if self.images.root is not None and filled.bytes > limit:
            self.reporter.warn(
                f"The decoded images take {filled.bytes / 2**30:.1f} GiB, more than the cache "
                f"keeps ({limit / 2**30:.1f} GiB): they will be decoded again and again. Set "
                "SM3KIT_CACHE_LIMIT to more GiB."
            )

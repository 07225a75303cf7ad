"""Features of whole lists of studies: each view is encoded once and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sm3kit.core.variant import Variant
from sm3kit.data.batches import EVALUATION, StudyViews
from sm3kit.data.cases import Case
from sm3kit.data.progress import Reporter
from sm3kit.data.viewing import change_views, describe_views
from sm3kit.networks.backbone import provider_and_model
from sm3kit.networks.branches import Branches
from sm3kit.networks.feature_cache import FeatureCache, Rows
from sm3kit.networks.frozen_views import encode_views
from sm3kit.nn.processes import in_any, process_count, process_rank, wait_for_all

FORMAT = 2  # What the first one kept was not looked at: it may be not finite.


@dataclass(frozen=True)
class Features:
    """Features of N studies under V views.

    Attributes:
        views: {modality: [(N, D)] * V}, zeros where absent.
        present: {modality: (N,) bool}.
        labels: (N, K) int64, -1 where unknown.
        ids: (N,) ids of the studies.
        groups: (N,) codes of patients or lesions.
    """

    views: Mapping[str, Sequence[Rows]]
    present: Mapping[str, Tensor]
    labels: Tensor
    ids: Sequence[str]
    groups: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def rows(
        self, index: Tensor, chosen: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, Tensor]:
        """Features {modality: (B, D)} of the studies at `index` (B,).

        Args:
            chosen: {modality: (B,) view of each of them}; None takes the first view.
        """
        features = {}
        places = index.numpy()
        for name, views in self.views.items():
            if chosen is None or len(views) == 1:
                rows = np.asarray(views[0][places])
            else:
                rows = np.empty((len(places), views[0].shape[1]), np.float32)
                for number, view in enumerate(views):
                    here = np.nonzero(chosen[name] == number)[0]
                    rows[here] = view[places[here]]
            features[name] = torch.from_numpy(np.ascontiguousarray(rows))
        return features

    def whole(self) -> dict[str, Tensor]:
        """All features {modality: (N, D)} of the first view."""
        return self.rows(torch.arange(len(self)))


def features_of(shown: StudyViews, views: Mapping[str, Sequence[Rows]]) -> Features:
    """The features {modality: [(N, D)] * V} of studies, with what else is known of these."""
    cases = shown.cases
    return Features(
        views,
        {name: torch.tensor([name in case.images for case in cases]) for name in views},
        torch.tensor([case.labels for case in cases], dtype=torch.long).reshape(len(cases), -1),
        [case.study.id for case in cases],
        torch.tensor([case.group for case in cases]),
    )


class Encoder:
    """Encodes views with frozen networks, unless the cache has their features.

    All processes encode together, and each has all features then.

    Args:
        branches: the networks; they are in eval mode meanwhile.
        variant: image size, options and seed of the views; batch size.
        cache: where features are kept.
        reporter: where progress is shown.
        precision: as Lightning names it.
        workers: processes that prepare views.
    """

    def __init__(
        self,
        branches: Branches,
        variant: Variant,
        cache: FeatureCache,
        reporter: Reporter,
        precision: str,
        workers: int = 0,
    ) -> None:
        self.branches, self.variant, self.cache = branches, variant, cache
        self.reporter, self.precision, self.workers = reporter, precision, workers
        self._weights: dict[str, str] = {}

    def evaluation(self, shown: StudyViews, number: int = 0) -> Features:
        """Features of the evaluation view of each study, or of a symmetry of it; see `test_view`."""
        return self._features(shown, [EVALUATION - number], {})

    def random_views(self, shown: StudyViews, views: int, changes: Mapping[str, Any]) -> Features:
        """Features of random views 0 to V - 1 of each study.

        Args:
            shown: the studies.
            views: V.
            changes: options of the modalities that these views differ in.
        """
        changed = StudyViews(
            change_views(shown.pool, self.variant, changes), shown.cases, shown.cache, shown.seed
        )
        return self._features(changed, list(range(views)), changes)

    def _features(
        self, shown: StudyViews, views: Sequence[int], changes: Mapping[str, Any]
    ) -> Features:
        # What no study has an image of is zeros, whatever the weights are.
        names = [n for n in self.branches.widths if any(n in case.images for case in shown.cases)]
        content = {name: self._content(shown, name, changes) for name in names}
        shown.cache.keep_hashes()
        keys = {
            (name, view): _hash([content[name], _draw_facts(shown, name, view)])
            for name in names
            for view in views
        }
        tables = {place: self.cache.get(key) for place, key in keys.items()}
        lack = in_any([any(tables[name, view] is None for name in names) for view in views])
        todo = [view for view, lacks in zip(views, lack, strict=True) if lacks]
        if todo:
            batches = -(-len(shown) // self.variant.stage1.batch_size) * len(todo)
            task = self.reporter.task("encoding images", -(-batches // process_count()))
            encoded = encode_views(
                self.branches,
                shown,
                todo,
                self.variant.stage1.batch_size,
                self.precision,
                self.workers,
                lambda: self.reporter.advance(task),
            )
            for view, features in zip(todo, encoded, strict=True):
                for name in names:
                    tables[name, view] = self._keep(keys[name, view], features[name])
            self.reporter.done(task)
        whole = {
            name: [_there(tables[name, view]) for view in views]
            if name in names
            else [np.zeros((len(shown), width), np.float32)] * len(views)
            for name, width in self.branches.widths.items()
        }
        return features_of(shown, whole)

    def _keep(self, key: str, rows: Rows) -> Rows:
        """A table as a reader should hold it; the first process writes it for those beside it."""
        if process_rank() == 0:
            rows = self.cache.put(key, rows)
        wait_for_all()
        if process_rank() == 0:
            return rows
        kept = self.cache.get(key)
        # Another machine may have a disk of its own.
        return self.cache.put(key, rows) if kept is None else kept

    def _content(self, shown: StudyViews, name: str, changes: Mapping[str, Any]) -> str:
        """A hash of all that the features of a modality depend on, beside the draw of a view."""
        if name not in self._weights:
            self._weights[name] = self.branches.fingerprint(name)
        images = [_images(shown, case, name) for case in shown.cases]
        provider = provider_and_model(self.variant, name)[0]
        backbone = self.variant.of(name, "backbone")
        network = [backbone, sorted(self.variant.options.get(provider, {}).items())]
        looks = describe_views(shown.pool, self.variant, name, changes)
        return _hash([FORMAT, self._weights[name], network, self.precision, looks, images])


def _images(shown: StudyViews, case: Case, name: str) -> str:
    """The content of the images of a study, and how they are read."""
    if name not in case.images:
        return ""
    reader = shown.pool.readers[case.source][name]
    digests = [shown.cache.digest(path, reader) for path in case.images[name]]
    return f"{' '.join(digests)} {reader.reading}"


def _draw_facts(shown: StudyViews, name: str, view: int) -> list[Any]:
    """What a view comes from beside its image; nothing for the evaluation view."""
    if view <= EVALUATION:
        return ["symmetry", EVALUATION - view] if view < EVALUATION else []
    return [shown.seed, view, name]


def _hash(facts: list[Any]) -> str:
    return hashlib.blake2b(json.dumps(facts, default=str).encode(), digest_size=20).hexdigest()


def _there(rows: Rows | None) -> Rows:
    assert rows is not None
    return rows

"""Views of many studies as features of frozen networks, which all processes encode together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader

from sm3kit.data.batches import Collate, StudyViews, one_thread_each
from sm3kit.networks.branches import Branches
from sm3kit.networks.feature_cache import Rows
from sm3kit.nn.processes import join_tables, process_count, process_rank


def encode_views(
    branches: Branches,
    shown: StudyViews,
    views: Sequence[int],
    batch_size: int,
    precision: str,
    workers: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> Iterator[dict[str, Rows]]:
    """Yields {modality: (N, D)} for each view, which all processes encode together.

    Each takes whole batches in turn, so that they are those of a process alone.

    Args:
        branches: frozen networks.
        shown: the studies.
        views: epochs of the views; see `StudyViews`.
        batch_size: studies that are encoded at a time.
        precision: as Lightning names it.
        workers: processes that prepare views.
        advance: called after each batch of this process.
    """
    count, widths, world = len(shown), branches.widths, process_count()
    starts = [(view, start) for view in views for start in range(0, count, batch_size)]
    own = starts[process_rank() :: world]
    loader = DataLoader(
        shown,
        batch_sampler=[
            [(view, index) for index in range(start, min(start + batch_size, count))]
            for view, start in own
        ],
        collate_fn=Collate(list(widths)),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=one_thread_each,
    )
    batches = iter(loader)
    for view in views:
        tables = {name: np.zeros((count, width), np.float32) for name, width in widths.items()}
        for start in [start for of_view, start in own if of_view == view]:
            for name, rows in branches.frozen_features(next(batches), precision).items():
                tables[name][start : start + len(rows)] = rows.cpu().numpy()
            advance()
        for table in tables.values():
            join_tables(torch.from_numpy(table))
        yield tables

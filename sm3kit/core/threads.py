"""Many small questions are asked of threads in parts, since asking one takes as long as an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
MOST_AT_ONCE = 64  # Items of a part.
PARTS = 32  # At least so many, where there are enough items, so that all threads have work.


def in_threads(
    function: Callable[[T], R], items: Sequence[T], threads: int | None = None
) -> Iterator[R]:
    """What a function gives for each item, in order; where this ends early, no more are begun.

    Args:
        function: is called in several threads at once.
        items: what it is called with.
        threads: how many there are; None takes a few more than there are cores.
    """
    size = max(1, min(MOST_AT_ONCE, len(items) // PARTS))
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    pool = ThreadPoolExecutor(threads)
    try:
        answers = pool.map(lambda part: [function(item) for item in part], parts)
        yield from chain.from_iterable(answers)
    finally:
        pool.shutdown(cancel_futures=True)

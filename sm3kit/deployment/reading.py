"""Images are read ahead of the networks; one that cannot be read costs its study alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice

import torch
from torch import Tensor

from sm3kit.core.cores import usable_cores
from sm3kit.core.errors import DataError
from sm3kit.data.batches import Batch, Collate, Item
from sm3kit.data.cases import Case
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.progress import Reporter
from sm3kit.deployment.predictor import Predictor
from sm3kit.deployment.question import StudyList
from sm3kit.modalities.base import Image, Modality


@dataclass
class ReadStudies:
    """Studies that were read so far, by their position in the list.

    Attributes:
        whole: of those that were read, in order.
        faults: {position: why it could not be read}.
    """

    whole: list[int] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)


def read_and_predict(
    predictor: Predictor, studies: StudyList, images: ImageCache, reporter: Reporter
) -> tuple[ReadStudies, list[Tensor]]:
    """Which studies can be read, and their class probabilities [(N, C)] * K; none without any."""
    read = ReadStudies()
    predictor.to("cuda" if torch.cuda.is_available() else "cpu")
    with reporter:
        task = reporter.task("predicting", len(studies.cases))
        batches = batches_of(
            studies,
            predictor.modalities,
            predictor.streams,
            images,
            predictor.variant.stage1.batch_size,
            read,
            lambda: reporter.advance(task, status=""),
            predictor.file.decision.views,
        )
        # Closed here, also where the networks fail: else a thread may have to wait for itself.
        with closing(batches):
            first = next(batches, None)
            rows = [] if first is None else predictor.probabilities(chain([first], batches))
        reporter.done(task)
    predictor.to("cpu")
    return read, rows


def batches_of(
    studies: StudyList,
    modalities: Mapping[str, Modality],
    names: Sequence[str],
    images: ImageCache,
    size: int,
    read: ReadStudies,
    advance: Callable[[], None] = lambda: None,
    test_views: int = 1,
) -> Generator[Batch, None, None]:
    """Batches of the evaluation views of all studies that can be read, in order.

    Threads read the next two batches while the networks work on one; they end when it is closed.

    Args:
        modalities: {modality: how views are made}.
        names: of all modalities that the networks know.
        images: decoded images.
        size: studies in a batch.
        read: told which studies were read, and which not.
        advance: called after each study.
        test_views: how many views of each image; the evaluation view is the first.
    """
    collate = Collate(names)

    def read_item(index: int) -> Item | DataError:
        case = studies.cases[index]
        try:
            readers = studies.readers[case.source]
            return Item(views_of(case, readers, modalities, images, test_views), (), index, 0)
        except DataError as error:
            return error

    items: list[Item] = []
    for index, item in enumerate(_ahead(read_item, range(len(studies.cases)), 3 * size)):
        advance()
        if isinstance(item, DataError):
            read.faults[index] = str(item)
            continue
        read.whole.append(index)
        items.append(item)
        if len(items) == size:
            yield collate(items)
            items = []
    if items:
        yield collate(items)


def views_of(
    case: Case,
    readers: Mapping[str, Modality],
    modalities: Mapping[str, Modality],
    images: ImageCache,
    test_views: int = 1,
) -> dict[str, list[Image]]:
    """The test views of each image of a study, the evaluation view first.

    Raises:
        DataError: an image cannot be read.
    """
    views: dict[str, list[Image]] = {}
    for name, path in case.eval_images().items():
        image = images.get(path, readers[name])
        views[name] = [modalities[name].test_view(image, number) for number in range(test_views)]
    return views


def _ahead(
    work: Callable[[int], Item | DataError], places: Iterable[int], count: int
) -> Iterator[Item | DataError]:
    """Results in order, while threads work on the next `count` of them."""
    places = iter(places)
    pool = ThreadPoolExecutor(min(8, usable_cores() + 1))
    try:
        waiting: deque[Future[Item | DataError]] = deque(
            pool.submit(work, place) for place in islice(places, count)
        )
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, place) for place in islice(places, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)

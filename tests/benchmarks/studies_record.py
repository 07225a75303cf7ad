"""What it costs to keep which studies a run was trained with, and to hold others against them.

python tests/benchmarks/studies_record.py [STUDIES] [KILOBYTES OF AN IMAGE]
"""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from sm3kit.data.cases import Case, Source
from sm3kit.data.image_cache import ImageCache
from sm3kit.data.pool import Pool
from sm3kit.datasets.base import SPLITS, Dataset, ModalitySpec, Study
from sm3kit.modalities.photo import Photo
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.studies_record import record_of, write_studies
from sm3kit.runs.studies_seen import cases_trained_on, changed_cases

SHARES = (0.7, 0.85, 1.0)


def pool_of(folder: Path, count: int, size: int) -> Pool:
    """Studies of two images each, which are bytes that nobody decodes."""
    dataset = Dataset()
    dataset.modalities = {"derm": ModalitySpec(), "clinic": ModalitySpec()}
    source = Source("manifest:x", dataset, {n: n for n in dataset.modalities}, ["derm", "clinic"])
    cases: dict[str, list[Case]] = {split: [] for split in SPLITS}
    for number in range(count):
        paths = {name: (str(folder / f"{number}_{name}.jpg"),) for name in dataset.modalities}
        for (path,) in paths.values():
            Path(path).write_bytes(os.urandom(size))
        split = next(s for s, end in zip(SPLITS, SHARES, strict=True) if number < end * count)
        study = Study(
            f"ISIC_{number:07}", {n: p for n, (p,) in paths.items()}, {}, f"IL_{number:07}", split
        )
        cases[split].append(Case(study, 0, paths, (), number))
    reader = Photo(224)
    readers = dict.fromkeys(dataset.modalities, reader)
    return Pool([source], readers, [readers], [], cases, [{}])


def timed(what, work):
    """Prints how long a piece of work took, and gives what it gave."""
    start, memory = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = work()
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    print(f"  {what:44} {time.perf_counter() - start:6.2f} s, {more:5.0f} MB more at the peak")
    return found


def main() -> None:
    """Prints seconds and megabytes."""
    count, kilobytes = [int(word) for word in sys.argv[1:]] + [20_000, 20][len(sys.argv) - 1 :]
    with tempfile.TemporaryDirectory() as home:
        pool, run = pool_of(Path(home), count, 1024 * kilobytes), RunFolder(Path(home) / "run")
        print(f"  {count:,} studies of two images of {kilobytes} kB")
        images = ImageCache(None)
        record = timed("record, all files read", lambda: record_of(pool, ["train"], images))
        timed("record, hashes known from decoding", lambda: record_of(pool, ["train"], images))
        timed("write", lambda: write_studies(run.studies_file, record))
        print(f"  {run.studies_file.stat().st_size / 1e6:.2f} MB on disk")
        kept = timed("read", lambda: run.studies())
        every, test = pool.of(SPLITS), pool.cases["test"]
        fresh = ImageCache(None)
        timed("replaced? nothing was touched", lambda: changed_cases(kept, pool, every, fresh))
        timed("trained on? the split test", lambda: cases_trained_on(kept, pool, test, fresh))
        for case in every:
            for (path,) in case.images.values():
                os.utime(path, (1, 1))
        found = timed(
            "replaced? all were touched, so all are read",
            lambda: changed_cases(kept, pool, every, fresh),
        )
        assert not found


if __name__ == "__main__":
    main()

"""Time and memory of what grows with the number of studies, as the table of the page on large data.

    python tests/benchmarks/scale.py [--sizes 100,1000,5000,20000,100000] [--folder DIR]

Writes 400 JPEGs of 600 x 450 pixels, and for each size a manifest whose rows have paths of their own, which
are hard links to those files: every path is looked at, and few bytes are kept. Each step is a process of its
own, of which the most memory is taken, too. The embeddings of the searches are random numbers: eight labels
of five classes, 512 dimensions, 128 after the fusion. Prints Markdown; about half an hour on two cores. What
it has measured so far goes to stderr.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES, WIDTH, HEIGHT = 200, 600, 450
SPLITS = (("val", 0.01), ("test", 0.02))
LABELS, CLASSES, WIDTHS, NEIGHBOURS = 8, 5, (512, 128), 20
SMALL = ["--backbone", "test_resnet", "-o", "timm.weights=none", "--image-size", "32"]
# The command of a pre-training, which ends where the first step begins.
FIRST_STEP = """
import os, sys
from sm3kit.training.stage1 import MultiModalSSL
from sm3kit.cli.main import main
MultiModalSSL.training_step = lambda *_: os._exit(0)
sys.argv = ["sm3kit", *sys.argv[1:]]
main()
"""


def draw_files(folder: Path) -> list[Path]:
    """The JPEGs, lesions on skin with the noise of a camera."""
    import cv2
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number}.jpg" for number in range(2 * FILES)]
    for number, file in enumerate(files):
        if not file.exists():
            rng = np.random.default_rng(number)
            noise = cv2.GaussianBlur(rng.normal(0, 12, (HEIGHT, WIDTH, 3)), (0, 0), 1.2)
            spot = np.full((HEIGHT, WIDTH, 3), (150, 170, 210), np.float64)
            place = tuple(int(end * rng.uniform(0.3, 0.7)) for end in (WIDTH, HEIGHT))
            cv2.circle(
                spot, place, int(rng.integers(60, 160)), rng.uniform(20, 140, 3).tolist(), -1
            )
            image = np.clip(cv2.GaussianBlur(spot, (0, 0), 9) + noise, 0, 255).astype(np.uint8)
            cv2.imwrite(str(file), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return files


def write_manifest(folder: Path, count: int) -> Path:
    """A manifest of so many studies: two images, eight labels, groups of two, three splits."""
    import numpy as np

    files, home = draw_files(folder / "files"), folder / f"studies-{count}"
    manifest = home / "manifest.csv"
    if manifest.exists():
        return manifest
    home.mkdir(parents=True)
    rng = np.random.default_rng(0)
    classes = rng.integers(CLASSES, size=(count, LABELS))
    with manifest.with_suffix(".part").open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(
            ["id", "group", "split", "derm", "clinic", *(f"L{n}" for n in range(LABELS))]
        )
        for row in range(count):
            inner = f"{row // 1000:04d}"
            (home / inner).mkdir(exist_ok=True)
            paths = [f"{inner}/{row:06d}_{name}.jpg" for name in ("derm", "clinic")]
            for modality, path in enumerate(paths):
                os.link(files[2 * (row % FILES) + modality], home / path)
            names = [f"c{number}" for number in classes[row]]
            table.writerow(
                [f"s{row:06d}", f"p{row // 2:06d}", split_of(row, count), *paths, *names]
            )
    manifest.with_suffix(".part").rename(manifest)
    return manifest


def split_of(row: int, count: int) -> str:
    """Groups of two stay together; a hundredth is for validation, two for the test."""
    end, place = 0.0, (row // 2) * 2 / count
    for name, share in SPLITS:
        end += max(share, 4 / count)
        if place < end:
            return name
    return "train"


def match(folder: Path, count: int) -> dict[str, float]:
    """Ranks of all partners, both ways, before and after the fusion."""
    import torch

    from sm3kit.networks.pair_spaces import PairSpaces

    rows = [torch.randn(2, count, width) for width in WIDTHS]
    both = [dict(zip(("derm", "clinic"), table, strict=True)) for table in rows]
    spaces = PairSpaces(*both, {name: torch.ones(count, dtype=torch.bool) for name in both[0]})
    start = time.perf_counter()
    for space in spaces.spaces:
        spaces.mean_ranks(space)
    return {"seconds": time.perf_counter() - start}


def labelled(count: int) -> tuple:
    """Embeddings, labels and groups of so many studies."""
    import torch

    from sm3kit.nn.unit_length import unit_length

    torch.manual_seed(0)
    truth = torch.randint(CLASSES, (count, LABELS))
    return unit_length(torch.randn(count, WIDTHS[0])), truth, torch.arange(count) // 2


def knn(folder: Path, count: int) -> dict[str, float]:
    """Votes on all studies of those of other groups."""
    from sm3kit.nn.neighbours import votes

    rows, truth, groups = labelled(count)
    start = time.perf_counter()
    votes(
        rows, rows, truth, [CLASSES] * LABELS, [min(NEIGHBOURS, count - 2)], 0.07, (groups, groups)
    )
    return {"seconds": time.perf_counter() - start}


def intervals(folder: Path, count: int) -> dict[str, float]:
    """All metrics with 2,000 resamples, where each study is a test study."""
    import numpy as np

    from sm3kit.metrics.predictions import LabelScores, Predictions
    from sm3kit.metrics.summary import summarise

    _, truth, groups = labelled(count)
    names, rng = tuple("abcde"), np.random.default_rng(0)
    labels = {
        f"L{n}": LabelScores(names, "b", rng.random((count, CLASSES)), truth[:, n].numpy())
        for n in range(LABELS)
    }
    cases = Predictions(labels, np.arange(count).astype(str), groups.numpy().astype(str))
    start = time.perf_counter()
    summarise(cases)
    return {"seconds": time.perf_counter() - start}


def clusters(folder: Path, count: int) -> dict[str, float]:
    """A round of clustering by FAISS with its defaults, once for each label."""
    from sm3kit.clusterers.faiss import Faiss

    rows = labelled(count)[0]
    start = time.perf_counter()
    for seed in range(LABELS):
        Faiss().fit(rows, CLASSES, seed)
    return {"seconds": time.perf_counter() - start}


def shown(folder: Path, count: int, side: int = 32, cache: str = "cache") -> tuple:
    """The training studies as views, with the cache, and the files of their images."""
    from sm3kit.data.batches import StudyViews
    from sm3kit.data.image_cache import ImageCache
    from sm3kit.data.pool import open_pool

    manifest = write_manifest(folder, count)
    pool = open_pool([f"manifest:{manifest}"], image_size=lambda name: side)
    images = ImageCache(folder / cache / "images")
    return StudyViews(pool, pool.cases["train"], images, 0), images


def epochs(folder: Path, count: int) -> dict[str, float]:
    """Memory after the first and after the third epoch of images, in order of training."""
    import psutil

    from sm3kit.data.batches import Collate
    from sm3kit.data.epoch_batches import EpochBatches

    views, _ = shown(folder, count)
    order, collate, memory = EpochBatches(len(views), 64, 0), Collate(["derm", "clinic"]), []
    for epoch in range(3):
        order.set_epoch(epoch)
        for batch in order:
            collate([views[-1, place] for _, place, _ in batch])
        memory.append(psutil.Process().memory_info().rss / 1e9)
    return {"first": memory[0], "third": memory[2]}


def rates(folder: Path, count: int) -> dict[str, float]:
    """Images and views at 224 pixels per second of CPU time of one core."""
    import torch

    torch.set_num_threads(1)
    views, images = shown(folder, 2 * FILES, 224, f"cold-{os.getpid()}")
    cases, readers = views.cases[:FILES], views.pool.readers[0]
    items = [(paths[0], readers[name]) for case in cases for name, paths in case.images.items()]
    speed = {}

    def measure(name: str, number: int, work) -> None:
        start = time.process_time()
        work()
        speed[name] = number / (time.process_time() - start)

    measure("decoded and kept", len(items), lambda: images.fill(items, threads=1))
    measure("read from the cache", len(items), lambda: [images.get(*item) for item in items])
    measure("views", 2 * len(items), lambda: [views[0, n] for n in range(len(cases))])
    measure("evaluation views", len(items), lambda: [views[-1, n] for n in range(len(cases))])
    return speed


def timed(command: list[str], **environment: str) -> tuple[float, float, str]:
    """Seconds, GB at the peak, and what a process said."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    )
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    # A check that has found a problem ends with 1: the studies share their files.
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise SystemExit(f"{command} failed:\n{said}")
    return seconds, used.ru_maxrss / 2**20, said


def rows_of(folder: Path, count: int) -> dict[str, str]:
    """{step: what it took} for so many studies."""
    manifest, cache = f"manifest:{write_manifest(folder, count)}", str(folder / "cache")
    sm3kit = [sys.executable, "-m", "sm3kit"]
    seconds, memory, _ = timed([*sm3kit, "data", "check", manifest, "--quick"])
    rows = {"`data check --quick`": f"{seconds:.1f} s, {memory:.1f} GB"}
    for name in ("start, images not in the cache", "start, images in the cache"):
        with tempfile.TemporaryDirectory() as run:
            command = [sys.executable, "-c", FIRST_STEP, "pretrain", "--data", manifest, *SMALL]
            seconds, memory, _ = timed([*command, "--out", f"{run}/run"], SM3KIT_CACHE=cache)
        rows[name] = f"{seconds:.1f} s, {memory:.1f} GB"
    with tempfile.TemporaryDirectory() as run:
        few = f"manifest:{write_manifest(folder, 100)}"  # A run ends with ranks of all its pairs.
        new = ["--epochs", "0", "--stage", "mmssl", "--out", f"{run}/run"]
        timed([*sm3kit, "pretrain", "--data", few, *SMALL, *new], SM3KIT_CACHE=cache)
        shutil.rmtree(folder / "cache" / "features", ignore_errors=True)
        encode = ["embed", f"{run}/run", "--data", manifest, "--split", "train"]
        encode += ["--out", f"{run}/features.npz"]
        seconds, memory, _ = timed([*sm3kit, *encode], SM3KIT_CACHE=cache)
    rows["`embed` of the training studies, a tiny network"] = f"{seconds:.1f} s, {memory:.1f} GB"
    for step, name in (
        (match, "matching, all against all, both ways in both spaces"),
        (knn, "kNN, all against all"),
        (intervals, "2,000 resamples of all metrics of 8 labels"),
        (clusters, "a round of clustering, 8 labels"),
        (epochs, "memory of the main process after one epoch, after three"),
    ):
        own, memory = step_of(folder, step.__name__, count)
        took = f"{own['seconds']:.1f} s, {memory:.1f} GB" if "seconds" in own else ""
        rows[name] = took or f"{own['first']:.2f}, {own['third']:.2f} GB"
    return rows


def step_of(folder: Path, name: str, count: int) -> tuple[dict[str, float], float]:
    """What a step in a process of its own says, and its memory at the peak in GB."""
    _, memory, said = timed([sys.executable, __file__, "--folder", str(folder), name, str(count)])
    return json.loads(said.splitlines()[-1]), memory


def main() -> None:
    """The table, or one step of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="100,1000,5000,20000,100000")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("step", nargs="*")
    asked = parser.parse_args()
    if asked.step:
        print(json.dumps(globals()[asked.step[0]](asked.folder, int(asked.step[1]))))
        return
    with tempfile.TemporaryDirectory() as home:
        folder = asked.folder or Path(home)
        speed, _ = step_of(folder, "rates", 0)
        for name, value in speed.items():
            print(f"{name}: {value:,.0f} per second and core", flush=True)
        sizes = [int(size) for size in asked.sizes.split(",")]
        table = {}
        for size in sizes:
            table[size] = rows_of(folder, size)
            print(f"{size:,} studies: {table[size]}", file=sys.stderr, flush=True)
    print(f"\n| studies | {' | '.join(f'{size:,}' for size in sizes)} |")
    print("|" + " --- |" * (len(sizes) + 1))
    for name in table[sizes[0]]:
        print(f"| {name} | {' | '.join(table[size][name] for size in sizes)} |")


if __name__ == "__main__":
    main()

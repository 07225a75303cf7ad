"""Prints what clustering costs: python tests/benchmarks/clustering.py.

FAISS through sm3kit against FAISS alone, in turn; how time grows from 100,000 to 1,000,000
embeddings; and every clusterer on a memory bank of the paper's size.
"""

import statistics
import time
from functools import partial

import faiss
import torch
from torch.nn.functional import normalize

from sm3kit.clusterers.faiss import Faiss
from sm3kit.core.registry import registry

WIDTH, ITERATIONS, REPEATS = 512, 25, 7


def gauss(rows):
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(0))


def bare(points, k, seed):
    """FAISS with the settings of one restart, on rows that have unit length already."""
    kmeans = faiss.Kmeans(
        WIDTH,
        k,
        niter=ITERATIONS,
        spherical=True,
        seed=seed,
        init_method=faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
        min_points_per_centroid=1,
        max_points_per_centroid=len(points),
        gpu=faiss.get_num_gpus() > 0,
    )
    kmeans.train(points)
    return kmeans.assign(points)


def spent(call):
    """Seconds by the clock, and of processor time, which a busy machine changes less."""
    clock, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    print(f"{torch.get_num_threads()} threads, {faiss.get_num_gpus()} GPUs")
    # One restart: what is added to FAISS weighs most.
    ours = Faiss(restarts=1, iterations=ITERATIONS)
    rows = gauss(100_000)
    points = normalize(rows, dim=1).numpy()
    for call in (partial(bare, points, 8), partial(ours.fit, rows, 8)):
        call(seed=0)
    pairs = [
        (spent(partial(ours.fit, rows, 8, seed)), spent(partial(bare, points, 8, seed)))
        for seed in range(REPEATS)
    ]
    del rows, points
    rows = gauss(1_000_000)
    large = [spent(partial(ours.fit, rows, 8, seed)) for seed in range(2)]
    del rows
    for number, kind in enumerate(("clock", "processor")):
        ratio = statistics.median(own[number] / other[number] for own, other in pairs)
        small = statistics.median(own[number] for own, _ in pairs)
        most = min(each[number] for each in large)
        print(f"{kind}: 100,000 x {WIDTH}, k = 8: {ratio:.2f} of the time of FAISS alone")
        print(f"    100,000 rows {small:.2f} s, 1,000,000 rows {most:.2f} s")
        print(f"    {most / small / 10:.2f} times as long per row")
    bank = gauss(413)
    for name in registry("clusterers").names():
        clusterer = registry("clusterers").get(name)()
        clusterer.fit(bank, 3, seed=0)
        each = [spent(partial(clusterer.fit, bank, 3, seed))[0] for seed in range(30)]
        print(f"413 x {WIDTH}, k = 3, {name:8}: {1000 * statistics.median(each):.1f} ms")


if __name__ == "__main__":
    main()

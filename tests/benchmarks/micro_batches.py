"""Memory and time of a step of stage 1 in micro-batches, beside the whole step.

    python tests/benchmarks/micro_batches.py [--backbone timm/resnet50] [--size 224] [--pairs 32]
        [--micro-batch 8] [--steps 2] [--foreseen 256]

Each side runs in a process of its own, whose peak of resident memory above that before the first
step is read: gradients, what the optimiser remembers, views and activations.
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NAMES = ("derm", "clinic")


def variant_of(chosen, pairs, micro_batch):
    """Stage 1 with a backbone, on drawn pairs."""
    from sm3kit.core.stage_settings import MachineSettings, Stage1Settings
    from sm3kit.core.variant import Variant

    return Variant(
        data=(f"synthetic:{2 * pairs}",),
        backbone=chosen.backbone,
        weights="none",
        stage="mmssl",
        image_size=chosen.size,
        options={"synthetic": {"size": chosen.size}},
        stage1=Stage1Settings(
            epochs=1, batch_size=pairs, micro_batch=micro_batch, monitor_every=0, precision="32"
        ),
        machine=MachineSettings(workers=0),
    )


def measure(chosen):
    """Bytes that a step takes, and the seconds of the fastest one after a first."""
    import psutil
    import torch

    from sm3kit.data.batches import Batch
    from sm3kit.modalities.photo import Photo
    from sm3kit.networks.assemble import build_stage1
    from sm3kit.training.hardware import keep_freed_memory
    from sm3kit.training.stage1 import MultiModalSSL

    variant = variant_of(chosen, chosen.pairs, chosen.micro_batch)
    torch.manual_seed(0)
    parts = build_stage1(variant, {name: Photo(chosen.size) for name in NAMES})
    module = MultiModalSSL(parts, variant, chosen.steps + 1)
    keep_freed_memory()
    module.to(memory_format=torch.channels_last)
    optimiser = module.configure_optimizers()
    module.progress = lambda index: 0.5
    module.set_rate = lambda *_: None
    base = psutil.Process().memory_info().rss
    raw = torch.randint(0, 255, (chosen.pairs, chosen.size, chosen.size, 3), dtype=torch.uint8)
    view, rows = raw.permute(0, 3, 1, 2), torch.arange(chosen.pairs)
    batch = Batch(
        {name: [view, view.flip(3)] for name in NAMES},
        {name: torch.ones(chosen.pairs, dtype=torch.bool) for name in NAMES},
        torch.zeros(chosen.pairs, 0, dtype=torch.long),
        rows,
        rows,
    )
    times = []
    for _ in range(chosen.steps + 1):
        begin = time.perf_counter()
        module.training_step(batch, 0).backward()
        optimiser.step()
        optimiser.zero_grad()
        times.append(time.perf_counter() - begin)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"bytes": peak - base, "seconds": min(times[1:])}


def foresee(chosen, micro_batch):
    """Bytes that a larger batch is foreseen to take on top of the process."""
    from rich.console import Console

    from sm3kit.data.image_cache import ImageCache
    from sm3kit.data.progress import Reporter
    from sm3kit.training.pretrain import outline

    variant = variant_of(chosen, chosen.foreseen, micro_batch)
    reporter = Reporter(Console(file=io.StringIO()))
    with tempfile.TemporaryDirectory() as folder:
        return outline(variant, Path(folder) / "run", reporter, ImageCache(None)).memory.to_come


def main():
    """Prints both sides, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="timm/resnet50")
    for name, default in {"size": 224, "pairs": 32, "micro-batch": 8, "steps": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--foreseen", type=int, default=256, help="pairs; 0 leaves it out")
    parser.add_argument("--here", action="store_true", help="one side, in this process, as JSON")
    chosen = parser.parse_args()
    if chosen.here:
        print(json.dumps(measure(chosen)))
        return
    sides = []
    for micro_batch in (0, chosen.micro_batch):
        words = [sys.executable, __file__, "--here", "--backbone", chosen.backbone]
        words += ["--size", str(chosen.size), "--pairs", str(chosen.pairs)]
        words += ["--micro-batch", str(micro_batch), "--steps", str(chosen.steps)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        sides.append(json.loads(done.stdout.splitlines()[-1]))
        step = f"{sides[-1]['bytes'] / 1e9:.2f} GB, {sides[-1]['seconds']:.1f} s"
        print(f"{chosen.pairs} pairs, micro-batch {micro_batch or 'none'}: {step}", flush=True)
    plain, micro = sides
    memory, pace = (micro[key] / plain[key] for key in ("bytes", "seconds"))
    print(f"in micro-batches: {memory:.1%} of the memory, {pace:.2f} times the time")
    if chosen.foreseen:
        whole, parts = (foresee(chosen, size) for size in (0, chosen.micro_batch))
        told = f"{whole / 1e9:.1f} GB, and {parts / 1e9:.1f} GB in micro-batches"
        print(f"foreseen for {chosen.foreseen} pairs: {told}, {parts / whole:.1%}")


if __name__ == "__main__":
    main()

"""The memory that a pre-training is foreseen to take, beside what it takes.

Each training of one epoch runs in a process of its own, whose peak of resident memory is read.

Usage:
    python tests/benchmarks/memory_foreseen.py [--pairs 8] [--size 224] [--micro-batch 0] [NAME...]
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

BACKBONES = (
    "resnet18",
    "resnet50",
    "efficientnet_b0",
    "convnext_tiny",
    "vit_small_patch16_224",
)


def measure(name, pairs, size, micro_batch, checkpointing):
    """Bytes foreseen, and the peak of this process, for stage 1 with one backbone."""
    from rich.console import Console

    from sm3kit.core.stage_settings import MachineSettings, Stage1Settings
    from sm3kit.core.variant import Variant
    from sm3kit.data.image_cache import ImageCache
    from sm3kit.data.progress import Reporter
    from sm3kit.training.pretrain import outline, pretrain

    variant = Variant(
        data=(f"synthetic:{3 * pairs}",),
        backbone=f"timm/{name}",
        weights="none",
        stage="mmssl",
        image_size=size,
        options={"synthetic": {"size": size}, "timm": {"grad_checkpointing": checkpointing}},
        stage1=Stage1Settings(
            epochs=1, batch_size=pairs, micro_batch=micro_batch, monitor_every=0, lr=1e-4
        ),
        machine=MachineSettings(workers=0, too_little_memory="warn"),
    )
    with tempfile.TemporaryDirectory() as folder:
        words = (variant, Path(folder) / "run", Reporter(Console(file=io.StringIO())))
        need = outline(*words, ImageCache(None)).memory
        pretrain(*words, ImageCache(None))
    return {
        "foreseen": need.total,
        "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=BACKBONES)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--micro-batch", type=int, default=0)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--here", action="store_true", help="in this process; one name, as JSON")
    chosen = parser.parse_args()
    settings = (chosen.pairs, chosen.size, chosen.micro_batch, chosen.checkpointing)
    if chosen.here:
        print(json.dumps(measure(chosen.names[0], *settings)))
        return
    print(f"{'backbone':<26} {'foreseen':>9} {'peak':>9} {'error':>7}")
    for name in chosen.names:
        words = [sys.executable, __file__, name, "--here"]
        words += ["--pairs", str(chosen.pairs), "--size", str(chosen.size)]
        words += ["--micro-batch", str(chosen.micro_batch)]
        words += ["--checkpointing"] * chosen.checkpointing
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        bytes_of = json.loads(done.stdout.splitlines()[-1])
        foreseen, peak = bytes_of["foreseen"], bytes_of["peak"]
        error = foreseen / peak - 1
        print(
            f"{name:<26} {foreseen / 1e9:>6.2f} GB {peak / 1e9:>6.2f} GB {error:>+7.1%}", flush=True
        )


if __name__ == "__main__":
    main()

"""How fast backbones train here, and what a pair costs in memory: the numbers of docs/settings.md.

    python tests/benchmarks/backbone_speed.py

A step of sep_sep with SimCLR on two modalities of two views each, optimiser included, in the
precision that `auto` takes here. Each backbone runs in a process of its own.
"""

import subprocess
import sys
import time

CASES = [
    ("test_resnet", 48, 32),
    ("resnet18", 64, 32),
    ("resnet18", 128, 32),
    ("resnet18", 224, 16),
    ("tf_efficientnet_lite0", 128, 16),
    ("resnet50", 128, 16),
    ("resnet50", 224, 8),
    ("convnext_tiny", 224, 4),
    ("vit_small_patch16_224", 224, 8),
]
STEPS = 3


def measure(backbone: str, size: int, studies: int) -> str:
    """A row of the table: images per second of the fastest step, MB that a pair keeps."""
    import torch

    from sm3kit.core.variant import Variant
    from sm3kit.data.batches import Batch, Collate, Item
    from sm3kit.modalities.photo import Photo
    from sm3kit.networks.assemble import build_stage1
    from sm3kit.training.foreseeing.network_memory import network_memory
    from sm3kit.training.hardware import keep_freed_memory, resolved_precision
    from sm3kit.training.stage1 import MultiModalSSL

    keep_freed_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    variant = Variant(backbone=backbone, weights="none")
    names = ("derm", "clinic")
    torch.manual_seed(0)
    parts = build_stage1(variant, {name: Photo(size) for name in names})
    module = MultiModalSSL(parts, variant, 1).to(device)
    precision = resolved_precision("auto", module.networks, size)
    image = torch.randint(0, 255, (3, size, size), dtype=torch.uint8).numpy()
    items = [Item({name: [image, image] for name in names}, (), row, row) for row in range(studies)]
    batch: Batch = Collate(names)(items).to(device)
    optimiser = module.configure_optimizers()
    module.progress = lambda index: 0.5  # type: ignore[method-assign]
    half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        with torch.autocast(device, half, enabled=half is not None):
            loss = module.training_step(batch, 0)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        loss.item()
        times.append(time.perf_counter() - start)
    network = parts.branches.backbones["derm"]
    kept = 4 * network_memory(network, (3, size, size), half=half is not None).kept / 1e6
    speed = batch.count / min(times)
    return f"| {backbone} | {size} | {speed:.0f} | {kept:.0f} MB |"


def main() -> None:
    """Prints the table."""
    print("| backbone | pixels | images/s | memory per pair |\n| --- | --- | --- | --- |")
    for backbone, size, studies in CASES:
        words = [sys.executable, __file__, backbone, str(size), str(studies)]
        subprocess.run(words, check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), flush=True)
    else:
        main()

"""The training step of sm3kit against the same step in plain contiguous fp32, from one run.

    python tests/benchmarks/training_step.py [BACKBONE] [IMAGE_SIZE] [STUDIES]

Each side runs in a process of its own, in turn, because the memory allocator is set per process.
"""

import statistics
import subprocess
import sys
import time

ROUNDS, STEPS = 3, 3


def step_time(side: str, backbone: str, size: int, studies: int) -> float:
    """The fastest step of one side, in seconds, after a warm-up."""
    import torch

    from sm3kit.core.stage_settings import MachineSettings
    from sm3kit.core.variant import Variant
    from sm3kit.data.batches import Batch
    from sm3kit.modalities.photo import Photo
    from sm3kit.networks.assemble import build_stage1
    from sm3kit.training.hardware import keep_freed_memory
    from sm3kit.training.stage1 import MultiModalSSL

    device = "cuda" if torch.cuda.is_available() else "cpu"
    machine = MachineSettings(channels_last=side != "plain")
    variant = Variant(backbone=backbone, weights="none", machine=machine)
    names = ("derm", "clinic")
    modalities = {name: Photo(size) for name in names}
    torch.manual_seed(0)
    module = MultiModalSSL(build_stage1(variant, modalities), variant, 1).to(device)
    if side != "plain":
        keep_freed_memory()
        module.to(memory_format=torch.channels_last)
    raw = torch.randint(0, 255, (studies, size, size, 3), dtype=torch.uint8)
    view = raw.permute(0, 3, 1, 2).to(device)
    if side == "plain":
        view = view.contiguous()
    rows = torch.arange(studies, device=device)
    batch = Batch(
        {name: [view, view.flip(3)] for name in names},
        {name: torch.ones(studies, dtype=torch.bool, device=device) for name in names},
        torch.zeros(studies, 0, dtype=torch.long, device=device),
        rows,
        rows,
    )
    optimiser = module.configure_optimizers()
    module.progress = lambda index: 0.5
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=side == "bf16"):
            loss = module.training_step(batch, 0)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        loss.item()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def main() -> None:
    """Prints the table."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--side"]:
        side, backbone, size, studies = arguments[1:]
        print(step_time(side, backbone, int(size), int(studies)))
        return
    backbone, size, studies = (*arguments, *("timm/resnet50", "224", "8")[len(arguments) :])
    import torch

    from sm3kit.training.hardware import cpu_has_bf16

    sides = ["plain", "fp32"]
    if cpu_has_bf16() or torch.cuda.is_available():
        sides.append("bf16")
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(ROUNDS):
        for side in sides:
            command = [sys.executable, __file__, "--side", side, backbone, size, studies]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            times[side].append(float(done.stdout))
    print(f"{backbone}, {size} px, {studies} studies of 2 x 2 views, {ROUNDS} rounds in turn")
    for side in sides:
        ratios = [plain / own for plain, own in zip(times["plain"], times[side], strict=True)]
        print(
            f"  {side:6} {statistics.median(times[side]):7.3f} s a step, "
            f"{statistics.median(ratios):.2f} times as fast as plain"
        )
    if "bf16" not in sides:
        print("  bf16   left out: this machine does not compute in bf16")


if __name__ == "__main__":
    main()

"""The checks of `tests/gpu/run.sh`: each gives a line of the table in docs/gpu.md."""

import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from sm3kit.core.stage_settings import Stage1Settings
from sm3kit.core.variant import Variant
from sm3kit.data.batches import Batch
from sm3kit.modalities.photo import Photo
from sm3kit.networks.assemble import build_stage1
from sm3kit.training.stage1 import MultiModalSSL

ROOT = Path(__file__).parents[2]
PAGE, BEGIN, END = ROOT / "docs" / "gpu.md", "<!-- measured -->\n", "<!-- end -->\n"
NAMES = ("derm", "clinic")
CPU = "--cpu" in sys.argv
DEVICE = torch.device("cpu" if CPU else "cuda")
MODEL, SIZE, STUDIES = ("timm/test_resnet", 32, 16) if CPU else ("timm/resnet50", 224, 64)
MICRO, STEPS = 4 if CPU else 8, 3 if CPU else 10


def step_of(micro: int = 0, compiled: bool = False):
    """A whole step of stage 1 with its optimiser, as a function, and its batch."""
    variant = Variant(
        backbone=MODEL, weights="none", stage1=Stage1Settings(micro_batch=micro, precision="32")
    )
    torch.manual_seed(0)
    parts = build_stage1(variant, {name: Photo(SIZE) for name in NAMES})
    module = MultiModalSSL(parts, variant, 1).to(DEVICE)
    if compiled:
        module.compile_backbones()
    module.progress = lambda index: 0.5
    module.set_rate = lambda *more, **named: None
    optimiser = torch.optim.AdamW(module.parameters(), 1e-6)
    view = torch.randint(0, 255, (STUDIES, SIZE, SIZE, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    present = {name: torch.ones(STUDIES, dtype=torch.bool) for name in NAMES}
    present["clinic"][0] = False
    rows = torch.arange(STUDIES)
    labels = torch.zeros(STUDIES, 0, dtype=torch.long)
    views = {name: [view, view.flip(3)] for name in NAMES}
    batch = Batch(views, present, labels, rows, rows)
    batch = batch if CPU else batch.pin_memory()

    def step() -> torch.Tensor:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=not CPU):
            loss = module.training_step(batch.to(DEVICE), 0)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return loss.detach()

    return step, module


def plain_step():
    """The bare step in plain torch: two networks, two views each, and a contrastive loss."""
    import timm

    name = MODEL.partition("/")[2]
    torch.manual_seed(0)
    networks = [timm.create_model(name, num_classes=0).to(DEVICE) for _ in NAMES]
    networks = [network.to(memory_format=torch.channels_last) for network in networks]
    optimiser = torch.optim.AdamW([p for n in networks for p in n.parameters()], 1e-6)
    view = torch.rand(STUDIES, 3, SIZE, SIZE, device=DEVICE)
    view = view.contiguous(memory_format=torch.channels_last)
    target = torch.arange(STUDIES, device=DEVICE)

    def step() -> torch.Tensor:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=not CPU):
            rows = [[F.normalize(net(v).float(), dim=1) for v in (view, view)] for net in networks]
        loss = sum(F.cross_entropy(first @ second.T / 0.1, target) for first, second in rows)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return loss.detach()

    return step


def wait() -> None:
    """Waits for the GPU."""
    if not CPU:
        torch.cuda.synchronize()


def seconds(step) -> float:
    """Of a step, after three to warm up."""
    for _ in range(3):
        step()
    wait()
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    wait()
    return (time.perf_counter() - start) / STEPS


def peak(micro: int) -> float:
    """The most memory that steps held, in GB."""
    step, _ = step_of(micro)
    step()
    if CPU:
        return 0.0
    torch.cuda.reset_peak_memory_stats()
    step()
    wait()
    return torch.cuda.max_memory_allocated() / 1e9


def command(*words: str) -> str:
    """What a command says; it must succeed."""
    script = Path(sys.executable).with_name("sm3kit")
    done = subprocess.run([script, *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
    return done.stdout


def tests() -> str:
    """AMP in each precision, resuming, stage 2, FAISS."""
    words = ["-q", "-n", "0", "-p", "no:cacheprovider", "tests/training/test_gpu.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stdout.strip().splitlines()[-1])
    return done.stdout.strip().splitlines()[-1]


def no_waiting() -> str:
    """Whole steps in which the host may not wait, with a missing image and with micro-batches."""
    for micro in (0, MICRO):
        step, module = step_of(micro)
        step()
        if not CPU:
            torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(STEPS):
                step()
        finally:
            if not CPU:
                torch.cuda.set_sync_debug_mode("default")
        module.check_terms(wait=True)
    return "no step waits"


def throughput() -> str:
    """Images per second beside the bare step, each measured twice in turn."""
    own, bare = step_of()[0], plain_step()
    times = [(seconds(own), seconds(bare)) for _ in range(2)]
    best = [4 * STUDIES / min(column) for column in zip(*times, strict=True)]
    return f"{best[0]:.0f} images/s, bare step {best[1]:.0f}, ratio {best[0] / best[1]:.2f}"


def compiled() -> str:
    """Loss and time with compiled backbones."""
    (plain, _), (fast, _) = step_of(), step_of(compiled=True)
    first, second = float(plain()), float(fast())
    if abs(first - second) > 0.02 * abs(first):
        raise RuntimeError(f"the loss is {second}, not {first}")
    return f"same loss; a step takes {seconds(fast) / seconds(plain):.2f} of its time"


def memory() -> str:
    """Peak memory with and without micro-batches."""
    whole, parts = peak(0), peak(MICRO)
    if CPU:
        return "both kinds of steps run; only a GPU tells its peak"
    return f"{whole:.2f} GB, with --micro-batch {MICRO} {parts:.2f} GB"


def quick() -> str:
    """The quick recipe: both stages and the probe."""
    small = ("--data", "synthetic:40", "--epochs", "1", "--mlssl-epochs", "1") if CPU else ()
    with tempfile.TemporaryDirectory() as folder:
        start, run = time.perf_counter(), f"{folder}/run"
        command("pretrain", "--recipe", "quick", *small, "--out", run)
        told = json.loads(command("evaluate", run, "--json"))
        took = time.perf_counter() - start
    return f"mean AUC {told['mean']['auc']:.3f} in {took:.0f} s"


def views_on_gpu() -> str:
    """Stage 1 with views that are made in workers, and in batches on the GPU."""
    small = ("--data", "synthetic:40", "--epochs", "2", "--stage", "mmssl", "--batch-size", "8")
    losses = []
    with tempfile.TemporaryDirectory() as folder:
        for where in ("cpu", "gpu"):
            run = f"{folder}/{where}"
            command("pretrain", "--recipe", "quick", *small, "--views-on", where, "--out", run)
            losses.append(last_loss(run))
    return f"loss {losses[0]:.3f} with views of the CPU, {losses[1]:.3f} with views of the GPU"


def last_loss(run: str) -> float:
    """The loss of the last epoch of a run."""
    with (Path(run) / "metrics.csv").open(newline="") as file:
        return float(list(csv.DictReader(file))[-1]["loss"])


def two_processes() -> str:
    """Both stages in two processes that share negatives, and a matching by two and by one."""
    if not CPU and torch.cuda.device_count() < 2:
        return "not run: there is one GPU"
    small = ("--data", "synthetic:40", "--epochs", "1", "--mlssl-epochs", "2", "--batch-size", "8")
    options = ("-o", "simclr.gather=true", "-o", "crossmodal.gather=true", "--feature-views", "0")
    with tempfile.TemporaryDirectory() as folder:
        run, two = f"{folder}/run", ("--devices", "2")
        command("pretrain", "--recipe", "quick", *small, *options, *two, "--out", run)
        ranks = []
        for label, devices in (("one", ()), ("two", two)):
            words = ("--protocol", "match", "--label", label, "--no-cache", *devices)
            command("evaluate", run, *words)
            record = json.loads(Path(run, "eval", f"match-test-{label}.json").read_text("utf-8"))
            ranks += [way["mean_rank"] for way in record["space"]["backbone"].values()][:1]
        same = f"mean rank {ranks[1]:.2f} by two and {ranks[0]:.2f} by one"
        return f"train stage 2, loss {last_loss(run):.2f}; {same}"


def missing() -> str:
    """Every protocol that fills in, with studies that have lost a modality."""
    small = ("--data", "synthetic:40", "--epochs", "1", "--mlssl-epochs", "1")
    protocols = ("probe", "finetune", "knn", "clusters")
    with tempfile.TemporaryDirectory() as folder:
        run = f"{folder}/run"
        command("pretrain", "--recipe", "quick", *small, "--out", run)
        for protocol in protocols:
            words = ("--protocol", protocol, "--drop", "clinic", "--missing", "complete")
            command("evaluate", run, *words, *(("--epochs", "1") if protocol == "finetune" else ()))
    return f"{', '.join(protocols)} fill in"


CHECKS = {
    "AMP in each precision, resuming, stage 2, FAISS": tests,
    "a step without waiting": no_waiting,
    "throughput": throughput,
    "compiled backbones": compiled,
    "peak memory": memory,
    "the quick recipe and its probe": quick,
    "views on the GPU": views_on_gpu,
    "what stands in for a missing modality": missing,
    "two processes": two_processes,
}


def main() -> None:
    """Runs all checks, prints a line of each, and writes the table unless it is a trial."""
    if not CPU and not torch.cuda.is_available():
        sys.exit("There is no GPU here. tests/gpu/run.sh --cpu tries the checks themselves.")
    name = "CPU, a trial" if CPU else torch.cuda.get_device_name()
    rows, failed = [], False
    for title, check in CHECKS.items():
        start = time.perf_counter()
        try:
            said = check()
        except Exception as error:  # The other checks still run.
            said, failed = f"FAILED: {' '.join(str(error).split())[:200]}", True
        rows.append(f"| {title} | {said} | {time.perf_counter() - start:.0f} s |")
        print(rows[-1], flush=True)
    if not CPU:
        head = f"{name}, torch {torch.__version__}; {MODEL} at {SIZE} px, {STUDIES} studies a step."
        table = "\n".join([head, "", "| check | result | took |", "|---|---|---|", *rows, ""])
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + table + END + rest.partition(END)[2], encoding="utf-8")
    sys.exit(failed)


if __name__ == "__main__":
    main()

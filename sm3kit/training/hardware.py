"""What the machine can do, and how to make the best of it."""

from __future__ import annotations

import ast
import contextlib
import ctypes
import inspect
import multiprocessing
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import psutil
import torch
from torch import nn

from sm3kit.core.errors import VariantError
from sm3kit.modalities.base import Modality
from sm3kit.runs.recipes import Base, base_for

# Where Linux says what a process may use.
OWN_GROUPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def resolved_precision(wanted: str, network: nn.Module, image_size: int = 0) -> str:
    """The precision that "auto" means here, as Lightning names it.

    bf16 autocast on a GPU or CPU that computes in bf16, else fp32 on a CPU and fp16 on a GPU.
    Depthwise convolutions in bf16 are many times slower on a CPU, so networks with them stay fp32.
    So do strided convolutions with padding on images of 32 pixels or less: where a map is narrower
    than its stride, oneDNN (3.12) reads memory that nobody wrote, and the gradients are not finite.
    fp16 is for GPUs: a CPU takes "16-mixed", which a recipe may ask for, as "auto".

    Args:
        wanted: "auto", "32", "bf16-mixed" or "16-mixed".
        network: all that is computed in it.
        image_size: height and width of the smallest views, in pixels; 0 where it is not known.
    """
    if wanted == "16-mixed" and not torch.cuda.is_available():
        wanted = "auto"
    if wanted != "auto":
        return "32-true" if wanted == "32" else wanted
    if torch.cuda.is_available():
        return (
            "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
        )
    unsafe = 0 < image_size <= 32 and _strided(network)
    fast = cpu_has_bf16() and not _depthwise(network) and not unsafe
    return "bf16-mixed" if fast else "32-true"


def smallest_view(modalities: Mapping[str, Modality]) -> int:
    """The height of the smallest views, in pixels; vectors do not count, and 0 is none."""
    heights = [modality.shape[1] for modality in modalities.values()]
    heights += [modality.local_size for modality in modalities.values() if modality.local_views]
    return min((height for height in heights if height > 1), default=0)


def machine_record(precision: str) -> dict[str, str]:
    """What a run was computed on and in, for its record."""
    on_gpu = torch.cuda.is_available()
    threads = torch.get_num_threads()
    cpu = f"CPU, {threads} thread{'s' * (threads != 1)}"
    device = torch.cuda.get_device_name() if on_gpu else cpu
    return {"device": device, "precision": precision}


def base_for_own_data() -> Base:
    """The base recipe for own data on this machine; see `base_for`."""
    if not torch.cuda.is_available():
        return base_for("", 0)
    first = torch.cuda.get_device_properties(0)
    return base_for(first.name, first.total_memory)


def memory_of(device: str) -> tuple[int, int]:
    """Bytes of memory that are free, and that there are in all.

    Of main memory, a container or a job of a cluster may use no more than its control group says.

    Args:
        device: "cuda" for the first GPU, or "cpu".
    """
    if device == "cuda":
        free, whole = torch.cuda.mem_get_info(0)
        return free, whole
    memory = psutil.virtual_memory()
    limit = min([memory.total, *_control_group_limits()])
    return min(memory.available, limit), limit


def _control_group_limits() -> list[int]:
    """Bytes of memory that the control groups of this process and those above them allow."""
    limits = []
    with contextlib.suppress(OSError):
        for line in OWN_GROUPS.read_text(encoding="utf-8").splitlines():
            _, kind, group = line.split(":", 2)
            root, name = {"": (GROUPS, "memory.max")}.get(
                kind, (GROUPS / kind, "memory.limit_in_bytes")
            )
            place = root / group.lstrip("/")
            for folder in (place, *place.parents):
                with contextlib.suppress(OSError, ValueError):  # "max" is no limit.
                    limits.append(int((folder / name).read_text(encoding="utf-8")))
    return limits


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies in bf16; others only emulate it, ten times slower."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def _depthwise(network: nn.Module) -> bool:
    return any(
        isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1
        for layer in network.modules()
    )


def _strided(network: nn.Module) -> bool:
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return any(
        isinstance(layer, convolutions)
        and max(layer.stride) > 1
        and layer.padding not in ("valid", (0,) * len(layer.padding))
        for layer in network.modules()
    )


def keep_freed_memory() -> None:
    """Tells glibc to keep freed memory for the next step instead of giving it back.

    Activations are large and come again in every step; mapping and clearing their pages anew
    costs up to a third of a training step on a CPU. Does nothing elsewhere.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, mmap_threshold, largest = -1, -3, 2**31 - 1
    libc = ctypes.CDLL(None)
    libc.mallopt(trim_threshold, largest)
    libc.mallopt(mmap_threshold, largest)


def check_devices(devices: int) -> None:
    """Says so if more GPUs are asked for than there are.

    Raises:
        VariantError: the machine has fewer GPUs.
    """
    if torch.cuda.is_available() and devices > torch.cuda.device_count():
        raise VariantError(
            f"--devices {devices} needs {devices} GPUs, but this machine has "
            f"{torch.cuda.device_count()}. Lower it."
        )


def chosen_workers(wanted: int, studies: int) -> int:
    """How many processes prepare views.

    Raises:
        VariantError: more workers than studies, or a script that they would run anew.
    """
    if wanted > 0:
        check_main_guard()
    if wanted > studies:
        raise VariantError(
            f"--workers {wanted} is more than the {studies} studies to train on. "
            f"Give at most {studies}, or leave it out."
        )
    if wanted >= 0:
        return wanted
    cores = torch.get_num_threads()
    if torch.cuda.is_available():
        check_main_guard()
        return min(cores, 16, studies)
    # On a CPU the network wants the cores itself, and views take 2 % of its time.
    return 0


def check_main_guard() -> None:
    """Says so before any process is started that would run the user's script from its top again.

    Where processes are not forked (macOS, Windows, Python 3.14), each imports the script first.

    Raises:
        VariantError: what runs now stands at the top of the script, without a guard.
    """
    method = multiprocessing.get_start_method(allow_none=True)
    if (method or multiprocessing.get_all_start_methods()[0]) == "fork":
        return
    script = sys.modules["__main__"]
    line, file = _line_of(script), getattr(script, "__file__", None)
    # What was piped into Python has no file that another process could read.
    if line and file and not (Path(file).is_file() and _is_guarded(Path(file), line)):
        raise VariantError(
            f"{file}, line {line}: each process that prepares views would run this script from its "
            'top again. Put what it does under `if __name__ == "__main__":`, or set workers to 0.'
        )


def _line_of(script: ModuleType) -> int:
    """The line of a module's own code that runs now, 0 if none does."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals is script.__dict__:
            return frame.f_lineno
        frame = frame.f_back
    return 0


def _is_guarded(file: Path, line: int) -> bool:
    """Whether a line of a script stands under a condition on `__name__`."""
    guards = [node for node in ast.parse(file.read_bytes()).body if isinstance(node, ast.If)]
    return any(
        guard.lineno <= line <= (guard.end_lineno or 0) and "__name__" in ast.unparse(guard.test)
        for guard in guards
    )

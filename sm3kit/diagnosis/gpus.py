"""GPUs as PyTorch and FAISS see them, and the CUDA runtimes that both bring along."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from sm3kit.core.text import in_units
from sm3kit.diagnosis.finding import Finding, pip
from sm3kit.diagnosis.importing import Tried
from sm3kit.diagnosis.libraries import MODULES
from sm3kit.diagnosis.requirements import required, version

SECTION = "GPU"


def gpus(results: Mapping[str, Tried]) -> Iterator[Finding]:
    """What each library can compute on; hints where a GPU is there and is not used."""
    torch, faiss = results["torch"], results["faiss"]
    if torch.error:
        return
    yield _of_torch(torch.facts)
    if not faiss.error:
        yield _of_faiss(len(torch.facts["gpus"]), faiss.facts["gpus"])
    installed = [one for one in MODULES["faiss"] if version(one)]
    yield from _runtimes(torch.facts["cuda"], installed[0] if installed else "")


def _of_torch(facts: dict[str, Any]) -> Finding:
    found = [f"{name}, {in_units(memory)}" for name, memory in facts["gpus"]]
    if found:
        return Finding(SECTION, "torch", "ok", "; ".join(found))
    if facts["mps"]:
        return Finding(SECTION, "torch", "ok", "an Apple GPU, which sm3kit does not use: CPU")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    driver = shutil.which("nvidia-smi")
    if driver and hidden is not None and hidden.strip() in ("", "-1"):
        text = f"none, for CUDA_VISIBLE_DEVICES is {hidden!r}"
        return Finding(SECTION, "torch", "hint", text, "unset CUDA_VISIBLE_DEVICES")
    if driver and not (facts["cuda"] or facts["hip"]):
        text = "this machine has an NVIDIA driver, but PyTorch was built for the CPU alone"
        remedy = f"{pip()} install --force-reinstall torch torchvision"
        return Finding(SECTION, "torch", "hint", text, remedy)
    if driver:
        text = f"none found by PyTorch for CUDA {facts['cuda']}; is the driver too old for it?"
        return Finding(SECTION, "torch", "hint", text, "nvidia-smi")
    return Finding(SECTION, "torch", "ok", "none: everything runs on the CPU")


def _of_faiss(of_torch: int, count: int) -> Finding:
    if of_torch and not count:
        text = "FAISS sees no GPU; stage 2 clusters on the CPU"
        return Finding(SECTION, "faiss", "hint", text, "sm3kit pretrain --clusterer torch")
    return Finding(
        SECTION, "faiss", "ok", f"{count} GPU{'s' if count > 1 else ''}" if count else "none"
    )


def _runtimes(cuda: str | None, faiss: str) -> Iterator[Finding]:
    """The CUDA of PyTorch and that of FAISS, which live side by side, as NVIDIA's wheels."""
    there = {
        name: one.version
        for one in metadata.distributions()
        if (name := (one.metadata["Name"] or "").lower()).startswith("nvidia-")
    }
    wanted = {one.name for one in required(faiss)} if faiss else set()
    of_faiss = {name: there.pop(name) for name in sorted(wanted & there.keys())}
    if cuda:
        wheels = f", with {len(there)} wheels of NVIDIA" if there else ""
        yield Finding(SECTION, "torch CUDA", "ok", f"{cuda}{wheels}")
    if of_faiss:
        wheels = ", ".join(f"{name} {version}" for name, version in of_faiss.items())
        yield Finding(SECTION, "faiss CUDA", "ok", wheels)

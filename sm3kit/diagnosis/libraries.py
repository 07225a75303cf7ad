"""Libraries: their versions, whether they go together and can be imported, and the GPUs they see."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sm3kit import __version__
from sm3kit.core.text import in_units
from sm3kit.diagnosis.finding import Finding, ImportTrial, pip

SECTION = "libraries"
# What is imported, in this order, and the distributions that it may come from. FAISS after
# PyTorch: their OpenMP runtimes disagree the other way round.
MODULES = {
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "pytorch_lightning": ("pytorch_lightning",),
    "timm": ("timm",),
    "lightly.loss": ("lightly",),
    "faiss": ("faiss-gpu", "faiss-cpu", "faiss-gpu-cu12", "faiss"),
    "sklearn.cluster": ("scikit-learn",),
    "cv2": ("opencv-python-headless", "opencv-python", "opencv-contrib-python"),
    "PIL.Image": ("pillow",),
    "numpy": ("numpy",),
    "safetensors": ("safetensors",),
}
PAIR = ("torch", "torchvision")


def libraries(results: Mapping[str, ImportTrial]) -> Iterator[Finding]:
    """A line for Python and each library; the requirements that are not met come last."""
    yield Finding(
        SECTION,
        "python",
        "ok",
        f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.executable}",
    )
    yield Finding(SECTION, "sm3kit", "ok", __version__)
    paired = all(not results[name].error for name in PAIR)
    for module, distributions in MODULES.items():
        if paired or module in PAIR:
            yield _library(module, distributions, results[module])
    if not paired:
        text = "not checked until torch and torchvision can be imported"
        yield Finding(SECTION, "others", "hint", text)
    for requirement in unmet_requirements("sm3kit"):
        yield _requirement(requirement)


def _library(module: str, distributions: tuple[str, ...], result: ImportTrial) -> Finding:
    names = [name for name in distributions if version(name)]
    name = names[0] if names else distributions[0]
    if not result.error:
        several = f"; {' and '.join(names)} are both installed" if len(names) > 1 else ""
        there = version(name) or "of unknown version"
        return Finding(SECTION, name, "hint" if several else "ok", there + several)
    return Finding(
        SECTION,
        name,
        "broken",
        f"{version(name) or 'not installed'}: {result.error}",
        _remedy(name, result.error),
    )


def _remedy(name: str, error: str) -> str:
    if name in PAIR:
        # Both from one index: a build for the CPU beside one for CUDA is the usual reason.
        built = version("torch").partition("+")[2]
        index = f" --index-url https://download.pytorch.org/whl/{built}" if built else ""
        return f"{pip()} install --force-reinstall{index} torch torchvision"
    if "libGL" in error:
        return f"{pip()} install --force-reinstall opencv-python-headless"
    return f"{pip()} install --force-reinstall --no-deps {name}"


def _requirement(requirement: UnmetRequirement) -> Finding:
    there = (
        f"{requirement.installed} is installed" if requirement.installed else "it is not installed"
    )
    text = f"{requirement.by} needs {requirement.requirement}, and {there}"
    remedy = f'{pip()} install --upgrade "{requirement.requirement}"'
    if {requirement.by, requirement.project} == set(PAIR):
        remedy = f"{pip()} install --upgrade torch torchvision"
    return Finding(
        SECTION,
        requirement.project,
        "broken" if requirement.by == "sm3kit" else "hint",
        text,
        remedy,
    )


@dataclass(frozen=True)
class UnmetRequirement:
    """A requirement that what is installed does not meet; `installed` is empty where nothing is."""

    by: str
    requirement: str
    project: str
    installed: str


def unmet_requirements(root: str) -> list[UnmetRequirement]:
    """What a distribution requires, itself or through others, and does not find."""
    wrong: dict[tuple[str, str], UnmetRequirement] = {}
    left, seen = [(root, frozenset[str]())], set()
    while left:
        here = left.pop()
        if here in seen:
            continue
        seen.add(here)
        name, extras = here
        for requirement in requirements(name, extras):
            installed = version(requirement.name)
            if not installed or not requirement.specifier.contains(installed, prereleases=True):
                plain = f"{requirement.name}{requirement.specifier}"
                wrong[name, plain] = UnmetRequirement(name, plain, requirement.name, installed)
            if installed:
                left.append(
                    (str(canonicalize_name(requirement.name)), frozenset(requirement.extras))
                )
    return list(wrong.values())


def requirements(name: str, extras: frozenset[str] = frozenset()) -> list[Requirement]:
    """What an installed distribution asks for on this machine."""
    every = [Requirement(text) for text in metadata.requires(name) or ()]
    return [
        requirement
        for requirement in every
        if requirement.marker is None
        or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]


def version(name: str) -> str:
    """The installed version, or nothing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def gpus(results: Mapping[str, ImportTrial]) -> Iterator[Finding]:
    """What each library can compute on; hints where a GPU is there and is not used."""
    torch, faiss = results["torch"], results["faiss"]
    if torch.error:
        return
    yield _torch_gpus(torch.facts)
    if not faiss.error:
        yield _faiss_gpus(len(torch.facts["gpus"]), faiss.facts["gpus"])
    installed = [project for project in MODULES["faiss"] if version(project)]
    yield from _runtimes(torch.facts["cuda"], installed[0] if installed else "")


def _torch_gpus(facts: dict[str, Any]) -> Finding:
    devices = [f"{name}, {in_units(memory)}" for name, memory in facts["gpus"]]
    if devices:
        return Finding("GPU", "torch", "ok", "; ".join(devices))
    if facts["mps"]:
        return Finding("GPU", "torch", "ok", "an Apple GPU, which sm3kit does not use: CPU")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    driver = shutil.which("nvidia-smi")
    if driver and hidden is not None and hidden.strip() in ("", "-1"):
        text = f"none, because CUDA_VISIBLE_DEVICES is {hidden!r}"
        return Finding("GPU", "torch", "hint", text, "unset CUDA_VISIBLE_DEVICES")
    if driver and not (facts["cuda"] or facts["hip"]):
        text = "this machine has an NVIDIA driver, but PyTorch was built for the CPU only"
        remedy = f"{pip()} install --force-reinstall torch torchvision"
        return Finding("GPU", "torch", "hint", text, remedy)
    if driver:
        text = f"none found by PyTorch for CUDA {facts['cuda']}; is the driver too old for it?"
        return Finding("GPU", "torch", "hint", text, "nvidia-smi")
    return Finding("GPU", "torch", "ok", "none: everything runs on the CPU")


def _faiss_gpus(of_torch: int, count: int) -> Finding:
    if of_torch and not count:
        text = "FAISS sees no GPU; stage 2 clusters on the CPU"
        return Finding("GPU", "faiss", "hint", text, "sm3kit pretrain --clusterer torch")
    return Finding(
        "GPU", "faiss", "ok", f"{count} GPU{'s' if count > 1 else ''}" if count else "none"
    )


def _runtimes(cuda: str | None, faiss: str) -> Iterator[Finding]:
    """The CUDA of PyTorch and that of FAISS, which live side by side, as NVIDIA's wheels."""
    there = {
        name: distribution.version
        for distribution in metadata.distributions()
        if (name := (distribution.metadata["Name"] or "").lower()).startswith("nvidia-")
    }
    wanted = {distribution.name for distribution in requirements(faiss)} if faiss else set()
    of_faiss = {name: there.pop(name) for name in sorted(wanted & there.keys())}
    if cuda:
        wheels = f", with {len(there)} packages from NVIDIA" if there else ""
        yield Finding("GPU", "torch CUDA", "ok", f"{cuda}{wheels}")
    if of_faiss:
        wheels = ", ".join(f"{name} {version}" for name, version in of_faiss.items())
        yield Finding("GPU", "faiss CUDA", "ok", wheels)

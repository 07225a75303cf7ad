"""Versions of what matters, whether they go together, and whether they can be imported."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Mapping

from sm3kit import __version__
from sm3kit.diagnosis.finding import Finding, pip
from sm3kit.diagnosis.importing import Tried
from sm3kit.diagnosis.requirements import Unmet, unmet, version

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


def libraries(results: Mapping[str, Tried]) -> Iterator[Finding]:
    """A line for Python and each library; the requirements that are not met come last."""
    yield Finding(
        SECTION,
        "python",
        "ok",
        f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.executable}",
    )
    yield Finding(SECTION, "sm3kit", "ok", __version__)
    paired = all(not results[one].error for one in PAIR)
    for module, distributions in MODULES.items():
        if paired or module in PAIR:
            yield _library(module, distributions, results[module])
    if not paired:
        text = "not tried before torch and torchvision can be imported"
        yield Finding(SECTION, "others", "hint", text)
    for one in unmet("sm3kit"):
        yield _unmet(one)


def _library(module: str, distributions: tuple[str, ...], result: Tried) -> Finding:
    names = [one for one in distributions if version(one)]
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


def _unmet(one: Unmet) -> Finding:
    there = f"{one.installed} is installed" if one.installed else "it is not installed"
    text = f"{one.by} wants {one.requirement}, and {there}"
    remedy = f'{pip()} install --upgrade "{one.requirement}"'
    if {one.by, one.project} == set(PAIR):
        remedy = f"{pip()} install --upgrade torch torchvision"
    return Finding(SECTION, one.project, "broken" if one.by == "sm3kit" else "hint", text, remedy)

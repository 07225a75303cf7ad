"""Files of weights: the same tensors give the same bytes, whatever process writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

LENGTH = 8  # Bytes in front of the header that say how long it is.


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes a .safetensors file; the order of tensors and metadata does not matter.

    Args:
        path: of the file. For one that is whole or not there, give that of `whole_file`.
        tensors: {name: tensor}, on any device.
        metadata: {name: text}, beside `format`, which is always "pt".

    Raises:
        SafetensorError, OSError: the file cannot be written.
    """
    told = {"format": "pt", **(metadata or {})}
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    save_file(whole, path, metadata=told)
    _sort_metadata(path, told)


def _sort_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Writes the header anew, in its place: the library keeps metadata in a random order."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        header = {**json.loads(file.read(length)), "__metadata__": dict(sorted(metadata.items()))}
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        assert len(text) <= length
        file.seek(LENGTH)
        file.write(text.ljust(length))

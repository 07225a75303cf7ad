"""Files of weights: the same tensors give the same bytes, whatever process writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from sm3kit.core.files import whole_file

LENGTH = 8  # Bytes in front of the header that say how long it is.


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    remedy: str = "",
) -> None:
    """Writes a .safetensors file as a whole; the order of tensors and metadata does not matter.

    Args:
        path: of the file.
        tensors: {name: tensor}, on any device.
        metadata: {name: text}, beside `format`, which is always "pt".
        remedy: what a user can do if it cannot be written.

    Raises:
        SM3Error: the file cannot be written; nothing is left behind.
    """
    told = {"format": "pt", **(metadata or {})}
    whole: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, value in tensors.items():
        own = value.detach().cpu().contiguous()
        place = own.untyped_storage().data_ptr()
        # The library refuses tensors that share their memory, as members of an ensemble may.
        whole[name] = own.clone() if place in places else own
        places.add(place)
    with whole_file(path, remedy) as part:
        try:
            save_file(whole, part, metadata=told)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        _sort_metadata(part, told)


def _sort_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Writes the header anew, in its place: the library keeps metadata in a random order."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        header = {**json.loads(file.read(length)), "__metadata__": dict(sorted(metadata.items()))}
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        assert len(text) <= length
        file.seek(LENGTH)
        file.write(text.ljust(length))

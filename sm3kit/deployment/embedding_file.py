"""Embeddings on disk: .npz, which needs nothing, or .parquet."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from sm3kit.core.errors import SM3Error, VariantError
from sm3kit.core.files import whole_file
from sm3kit.deployment.embed import Embedded

SUFFIXES = (".npz", ".parquet")


def check_embedding_file(path: Path) -> None:
    """Says so before any work if a file of this name cannot be written.

    Raises:
        VariantError: another ending.
        SM3Error: pyarrow is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise VariantError(f"--out wants a name that ends in .npz or .parquet, not {path.name!r}.")
    if path.suffix == ".parquet":
        _arrow("pyarrow")


def write_embeddings(embedded: Embedded, path: Path) -> None:
    """Writes embeddings; whole or not at all.

    In an .npz: `about` (JSON), `ids`, `groups`, `splits`, `label/NAME`, `present/MODALITY`, and
    the arrays, (N, D) float32, zeros where an image is missing. In a .parquet: a row per study,
    lists of float32 that are null where an image is missing; `about` is in the metadata of the
    table and of every column of features.

    Raises:
        SM3Error: the file cannot be written, or pyarrow is not installed.
    """
    check_embedding_file(path)
    write = _write_parquet if path.suffix == ".parquet" else _write_npz
    with whole_file(path) as part:
        write(embedded, part)


def _write_npz(embedded: Embedded, part: Path) -> None:
    arrays = {
        "ids": embedded.ids,
        "groups": embedded.groups,
        "splits": embedded.splits,
        **embedded.arrays,
    }
    arrays |= {f"label/{name}": values for name, values in embedded.labels.items()}
    arrays |= {f"present/{name}": mask for name, mask in embedded.present.items()}
    about = np.array(json.dumps(embedded.about, ensure_ascii=False))
    with part.open("wb") as file:
        np.savez(file, allow_pickle=False, about=about, **arrays)


def _write_parquet(embedded: Embedded, part: Path) -> None:
    arrow = _arrow("pyarrow")
    about = {b"sm3kit": json.dumps(embedded.about, ensure_ascii=False).encode()}
    fields, columns = [], []
    texts = {"id": embedded.ids, "group": embedded.groups, "split": embedded.splits}
    texts |= {f"label/{name}": values for name, values in embedded.labels.items()}
    for name, values in texts.items():
        fields.append(arrow.field(name, arrow.string()))
        unknown = values == "" if name.startswith("label/") else None
        columns.append(arrow.array(values.tolist(), arrow.string(), mask=unknown))
    for name, rows in embedded.arrays.items():
        kind = arrow.list_(arrow.float32(), rows.shape[1])
        fields.append(arrow.field(name, kind, metadata=about))
        flat = arrow.array(rows.reshape(-1), arrow.float32())
        absent = arrow.array(~embedded.masks[name])
        columns.append(arrow.FixedSizeListArray.from_arrays(flat, rows.shape[1], mask=absent))
    table = arrow.Table.from_arrays(columns, schema=arrow.schema(fields, metadata=about))
    _arrow("pyarrow.parquet").write_table(table, part, compression="zstd")


def _arrow(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SM3Error(
            "A .parquet file wants pyarrow, which is not installed: pip install "
            "'sm3kit[parquet]'. Or take a name that ends in .npz."
        ) from error

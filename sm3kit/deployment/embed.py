"""Features of studies as plain arrays, and as a file: .npz, which needs nothing, or .parquet."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sm3kit import __version__
from sm3kit.core.errors import DataError, SM3Error, VariantError
from sm3kit.core.files import whole_file
from sm3kit.data.cases import Case
from sm3kit.data.pool import case_id
from sm3kit.datasets.base import SPLITS
from sm3kit.deployment import STATEMENT
from sm3kit.evaluation.evaluate import replaced_studies, seen_studies
from sm3kit.evaluation.subject import Subject
from sm3kit.nn.finite import check_features
from sm3kit.runs.record import versions

SUFFIXES = (".npz", ".parquet")
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Embeddings:
    """N studies in one or several spaces.

    Attributes:
        about: the run, its data, and the versions of what computed it; plain values.
        ids, groups, splits: (N,) text.
        labels: {label: (N,) class name}, empty text where unknown.
        present: {modality: (N,) bool}.
        arrays: {"backbone/derm": (N, D)} float32.
        masks: {array: (N,) bool}, rows that are real; all others are zeros.
    """

    about: dict[str, Any]
    ids: Array
    groups: Array
    splits: Array
    labels: dict[str, Array]
    present: dict[str, Array]
    arrays: dict[str, Array]
    masks: dict[str, Array]


def embed(subject: Subject, splits: Sequence[str], spaces: Sequence[str]) -> Embeddings:
    """The evaluation views of studies in the spaces of a run.

    Args:
        splits: of the data.
        spaces: "backbone" has an array per modality, "joint" one, "embedding" one per label
            (after stage 2), "projection" one per stream of the fusion.

    Raises:
        SM3Error: no studies, a space that the run does not have, or features that are not finite.
    """
    for space in spaces:
        _check_space(subject, space)
    cases = [case for split in SPLITS if split in splits for case in subject.pool.cases[split]]
    if not cases:
        raise DataError(
            f"{', '.join(subject.variant.data)} has no study in the split {', '.join(splits)}. "
            "Choose another --split."
        )
    features = subject.features(cases)
    rows, present = features.whole(), features.present
    every = torch.ones(len(cases), dtype=torch.bool)
    arrays: dict[str, tuple[Tensor, Tensor]] = {}
    if "backbone" in spaces:
        arrays |= {f"backbone/{name}": (values, present[name]) for name, values in rows.items()}
    branches = subject.branches
    if "projection" in spaces:
        real = branches.fusion.stream_present(present)
        streams = branches.embed(rows, present).streams
        arrays |= {f"projection/{name}": (values, real[name]) for name, values in streams.items()}
    with torch.no_grad():
        joint = branches.joint(rows, present)
        if "joint" in spaces:
            arrays["joint"] = joint.cpu(), every
        if "embedding" in spaces and subject.embedding is not None:
            embeddings = subject.embedding(joint).cpu()
            for number, label in enumerate(subject.pool.labels):
                arrays[f"embedding/{label.name}"] = embeddings[:, number], every
    return _plain(subject, cases, arrays, present)


def _check_space(subject: Subject, space: str) -> None:
    folder = subject.run.folder
    if space == "embedding" and subject.embedding is None:
        raise VariantError(
            f"--space embedding needs a run with stage 2 for the labels of the data, and {folder} "
            "has none. Use --space joint."
        )
    if space == "projection" and not subject.branches.fusion.default_objective:
        raise VariantError(
            f"--space projection needs a fusion with streams, and {folder} has the fusion "
            f"{subject.variant.fusion}. Use --space backbone."
        )


def _plain(
    subject: Subject,
    cases: Sequence[Case],
    arrays: dict[str, tuple[Tensor, Tensor]],
    present: dict[str, Tensor] | Any,
) -> Embeddings:
    trained = subject.trained
    about = {
        "program": f"sm3kit {__version__}",
        "statement": STATEMENT,
        **trained.record(),
        "embedded": list(subject.variant.data),
        "precision": subject.encoder.precision,
        "versions": versions(),
        "seen": _studies_seen(subject, cases),
        "replaced": replaced_studies(subject),
    }
    labels = {
        label.name: np.array(
            [label.classes[place] if place >= 0 else "" for place in _column(cases, number)],
            np.str_,
        )
        for number, label in enumerate(subject.pool.labels)
    }
    check_features({name: rows[mask] for name, (rows, mask) in arrays.items()}, "to be written")
    masks = {name: mask.numpy() for name, (_, mask) in arrays.items()}
    return Embeddings(
        about,
        np.array([case_id(subject.pool, case) for case in cases], np.str_),
        np.array([case.study.group for case in cases], np.str_),
        np.array([case.study.split for case in cases], np.str_),
        labels,
        {name: mask.numpy() for name, mask in present.items()},
        {
            name: np.where(masks[name][:, None], rows.float().numpy(), np.float32(0))
            for name, (rows, _) in arrays.items()
        },
        masks,
    )


def _studies_seen(subject: Subject, cases: Sequence[Case]) -> list[str]:
    splits = dict.fromkeys(case.study.split for case in cases)
    return [name for split in splits for name in seen_studies(subject, split) or ()]


def _column(cases: Sequence[Case], number: int) -> list[int]:
    return [case.labels[number] for case in cases]


def check_embedding_file(path: Path) -> None:
    """Says so before any work if a file of this name cannot be written.

    Raises:
        VariantError: another ending.
        SM3Error: pyarrow is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise VariantError(f"--out must end in .npz or .parquet, not {path.name!r}.")
    if path.suffix == ".parquet":
        _arrow("pyarrow")


def write_embeddings(embeddings: Embeddings, path: Path) -> None:
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
        write(embeddings, part)


def _write_npz(embeddings: Embeddings, part: Path) -> None:
    arrays = {
        "ids": embeddings.ids,
        "groups": embeddings.groups,
        "splits": embeddings.splits,
        **embeddings.arrays,
    }
    arrays |= {f"label/{name}": values for name, values in embeddings.labels.items()}
    arrays |= {f"present/{name}": mask for name, mask in embeddings.present.items()}
    about = np.array(json.dumps(embeddings.about, ensure_ascii=False))
    with part.open("wb") as file:
        np.savez(file, allow_pickle=False, about=about, **arrays)


def _write_parquet(embeddings: Embeddings, part: Path) -> None:
    arrow = _arrow("pyarrow")
    about = {b"sm3kit": json.dumps(embeddings.about, ensure_ascii=False).encode()}
    fields, columns = [], []
    texts = {"id": embeddings.ids, "group": embeddings.groups, "split": embeddings.splits}
    texts |= {f"label/{name}": values for name, values in embeddings.labels.items()}
    for name, values in texts.items():
        fields.append(arrow.field(name, arrow.string()))
        unknown = values == "" if name.startswith("label/") else None
        columns.append(arrow.array(values.tolist(), arrow.string(), mask=unknown))
    for name, rows in embeddings.arrays.items():
        kind = arrow.list_(arrow.float32(), rows.shape[1])
        fields.append(arrow.field(name, kind, metadata=about))
        flat = arrow.array(rows.reshape(-1), arrow.float32())
        absent = arrow.array(~embeddings.masks[name])
        columns.append(arrow.FixedSizeListArray.from_arrays(flat, rows.shape[1], mask=absent))
    table = arrow.Table.from_arrays(columns, schema=arrow.schema(fields, metadata=about))
    _arrow("pyarrow.parquet").write_table(table, part, compression="zstd")


def _arrow(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SM3Error(
            "A .parquet file needs pyarrow, which is not installed: pip install "
            "'sm3kit[parquet]'. Or use a name that ends in .npz."
        ) from error

"""Data sets as `--data` names them: `name` or `name:argument`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sm3kit.core.errors import BrokenPlugin, DataError, NameClash
from sm3kit.core.names import list_names
from sm3kit.core.options import bind
from sm3kit.core.registry import registry
from sm3kit.datasets.base import Dataset

Options = Mapping[str, Mapping[str, Any]]


def open_dataset(spec: str, options: Options | None = None) -> Dataset:
    """The data set behind `name` or `name:argument`.

    Raises:
        SM3Error: no such data set, unknown options, or data that cannot be listed.
    """
    name, _, argument = spec.partition(":")
    if name not in registry("datasets").names():
        _refuse_file(spec)
    component = registry("datasets").get(name)
    chosen = bind(component, f"dataset {name!r}", (options or {}).get(name, {}))
    dataset: Dataset = component(argument, **chosen)
    return dataset


def _refuse_file(spec: str) -> None:
    """Names the data sets that a file or folder may belong to, if it is one.

    Raises:
        DataError: it is a file or folder.
    """
    datasets, fitting = registry("datasets"), []
    for name in datasets.names():
        with suppress(BrokenPlugin, NameClash):  # It is not what the user asked for.
            # A data set made from another one may take other files.
            suffixes = vars(datasets.load(name)).get("suffixes", ())
            fitting += [f"{name}:{spec}"] if spec.lower().endswith(suffixes) else []
    if fitting:
        raise DataError(
            f"--data {spec} lacks the name of a data set. Did you mean "
            f"{' or '.join(map(repr, fitting))}?"
        )
    if Path(spec).exists():
        raise DataError(
            f"--data {spec} lacks the name of a data set. Write --data NAME:{spec}, NAME "
            f"being one of {list_names(datasets.names())}."
        )

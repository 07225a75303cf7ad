"""The record of a run, `variant.yaml`: every choice, and what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from sm3kit import __version__
from sm3kit.core.errors import CheckpointError, DataError, OptionError, VariantError
from sm3kit.core.files import whole_file
from sm3kit.core.plain_json import Shape, check_shape
from sm3kit.core.variant import Variant
from sm3kit.runs import plain_yaml

REMEDY = "Free some space, then go on with --resume, or choose another folder with --out."
NAMED = ("torch", "torchvision", "lightly", "timm", "pytorch_lightning", "numpy")


def fact(shape: Shape, **default: Any) -> Any:
    """A field of the record; one with a default is left out of the file where it is empty."""
    return field(metadata={"shape": shape}, **default)


def versions() -> dict[str, str]:
    """Versions of sm3kit and of what its numbers depend on."""
    return {"sm3kit": __version__, **{name: metadata.version(name) for name in NAMED}}


@dataclass(frozen=True)
class RunRecord:
    """What is known of a run before it is trained; a new fact is one field.

    Attributes:
        variant: every choice, resolved.
        data_hash: of the listing of its data.
        hardware: what it is trained on, in words.
        versions: see `versions`.
        started_from: what the run that this one starts from was trained on; empty if there is none.
        plugin_files: the single files that its plugins come from; see `files_of`.
    """

    variant: Variant
    data_hash: str = fact(str)
    hardware: Mapping[str, str] = fact({"*": str})
    versions: Mapping[str, str] = fact({"*": str})
    started_from: Mapping[str, Any] = fact(dict, default_factory=dict)
    plugin_files: Sequence[Mapping[str, Any]] = fact(
        [{"file": str, "content": str, "names": [str]}], default_factory=list
    )

    def write(self, file: Path) -> None:
        """Writes the record, whole or not at all."""
        facts = {name: getattr(self, name) for name in FACTS}
        kept = {name: value for name, value in facts.items() if value or not _optional(name)}
        content = {**self.variant.as_dict(), **kept}
        with whole_file(file, REMEDY) as part:
            part.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), "utf-8")

    @classmethod
    def read(cls, file: Path) -> RunRecord:
        """The record in a file.

        Raises:
            CheckpointError: it is damaged.
        """
        shape = {name + "?" * _optional(name): FACTS[name].metadata["shape"] for name in FACTS}
        largest = plain_yaml.LARGEST_RECORD
        try:
            content = plain_yaml.read(file, "record of a run", CheckpointError, largest)
            check_shape(content, shape)
            settings = {name: value for name, value in content.items() if name not in FACTS}
            variant = Variant().changed(settings, str(file))
        except (DataError, VariantError, OptionError) as error:
            raise CheckpointError(f"{file} is no record of a run: {error}") from error
        return cls(variant, **{name: content[name] for name in FACTS if name in content})


# All but the variant, whose settings stand beside them.
FACTS = {fact.name: fact for fact in fields(RunRecord) if fact.name != "variant"}


def _optional(name: str) -> bool:
    return FACTS[name].default_factory is not MISSING

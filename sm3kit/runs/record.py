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
from sm3kit.core.plugin_files import content_of, named_files
from sm3kit.core.registry import REGISTRIES, registered_from, registry
from sm3kit.core.variant import Variant
from sm3kit.networks.plugins_in_use import OPEN_LATER, plugins_in_use
from sm3kit.runs import plain_yaml

REMEDY = "Free some space, then continue with --resume, or choose another folder with --out."
NAMED = ("torch", "torchvision", "lightly", "timm", "pytorch_lightning", "numpy")


def fact(shape: Shape, **default: Any) -> Any:
    """A field that stands in a file; one with a default is left out of it where it is empty."""
    return field(metadata={"shape": shape}, **default)


def shape_of(kind: type) -> dict[str, Shape]:
    """The shape of a file with the facts of a class; see `check_shape`."""
    facts = [fact for fact in fields(kind) if "shape" in fact.metadata]
    return {
        fact.name + "?" * (fact.default_factory is not MISSING): fact.metadata["shape"]
        for fact in facts
    }


def names_of(kind: type) -> list[str]:
    """The names of the facts of a class, in the order of the file."""
    return [name.removesuffix("?") for name in shape_of(kind)]


def facts_of(record: Any) -> dict[str, Any]:
    """The facts that stand in the file of a record."""
    needed = shape_of(type(record)).keys()
    facts = {name: getattr(record, name) for name in names_of(type(record))}
    return {name: value for name, value in facts.items() if value or name in needed}


def versions() -> dict[str, str]:
    """Versions of sm3kit and of what its numbers depend on."""
    return {"sm3kit": __version__, **{name: metadata.version(name) for name in NAMED}}


def files_of(variant: Variant) -> list[dict[str, Any]]:
    """The single files behind the plugins of a variant: path, hash of the content, and names."""
    REGISTRIES["fusions"].names()  # Files are imported when all names are asked for.
    used = plugins_in_use(variant)
    files = []
    for file in named_files():
        names = registered_from(file)
        if any(family in OPEN_LATER or (family, name) in used for family, name in names):
            listed = [f"{family}/{name}" for family, name in names]
            files.append({"file": str(file), "content": content_of(file), "names": listed})
    return files


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

    variant: Variant  # Its settings stand in the file one by one, beside the facts.
    data_hash: str = fact(str)
    hardware: Mapping[str, str] = fact({"*": str})
    versions: Mapping[str, str] = fact({"*": str})
    started_from: Mapping[str, Any] = fact(dict, default_factory=dict)
    plugin_files: Sequence[Mapping[str, Any]] = fact(
        [{"file": str, "content": str, "names": [str]}], default_factory=list
    )

    def content(self) -> dict[str, Any]:
        """What stands in the file."""
        return {**self.variant.as_dict(), **facts_of(self)}

    def text(self) -> str:
        """The file, as YAML."""
        return yaml.safe_dump(self.content(), sort_keys=False, allow_unicode=True)

    def write(self, file: Path) -> None:
        """Writes the record, whole or not at all."""
        with whole_file(file, REMEDY) as part:
            part.write_text(self.text(), "utf-8")

    @classmethod
    def read(cls, file: Path) -> RunRecord:
        """The record in a file.

        Raises:
            CheckpointError: it is damaged.
        """
        names, largest = names_of(cls), plain_yaml.LARGEST_RECORD
        try:
            content = plain_yaml.read(file, "record of a run", CheckpointError, largest)
            check_shape(content, shape_of(cls))
            settings = {name: value for name, value in content.items() if name not in names}
            variant = Variant().changed(settings, str(file))
        except (DataError, VariantError, OptionError) as error:
            raise CheckpointError(f"{file} is not a valid record of a run: {error}") from error
        return cls(variant, **{name: content[name] for name in names if name in content})

    def changed_plugins(self, run: str) -> list[str]:
        """Sentences on the plugin files of the run that have changed since.

        Args:
            run: the run, for messages.

        Raises:
            VariantError: plugins of such a file are not known now.
        """
        notes = []
        contents = {content_of(file) for file in named_files()}
        for recorded in self.plugin_files:
            names = [text.partition("/") for text in recorded["names"]]
            unknown = [f"{f}/{n}" for f, _, n in names if n not in registry(f).names()]
            if unknown:
                raise VariantError(
                    f"{run} was trained with {', '.join(unknown)} from a plugin file that is not "
                    f"loaded. Add: --plugin {recorded['file']}"
                )
            if recorded["content"] not in contents:
                notes.append(
                    f"{', '.join(recorded['names'])} came from {recorded['file']} (content "
                    f"{recorded['content']}) when the run was trained, and the code has changed "
                    "since."
                )
        return notes

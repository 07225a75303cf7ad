"""A run is a folder that holds everything about one variant that was trained."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open

from sm3kit import __version__
from sm3kit.core import plain_json
from sm3kit.core.errors import CheckpointError, DataError, SM3Error, TrainingError, VariantError
from sm3kit.core.files import remove_unfinished, whole_file
from sm3kit.tables.spreadsheets import read_rows, write_rows
from sm3kit.core.variant import Variant
from sm3kit.runs import plain_yaml
from sm3kit.runs.plugin_origins import files_of

# What variant.yaml holds beside the settings of a variant.
FACTS: dict[str, plain_json.Shape] = {
    "data_hash": str,
    "hardware": {"*": str},
    "versions": {"*": str},
    "started_from?": dict,
    "plugin_files?": [{"file": str, "content": str, "names": [str]}],
}
REMEDY = "Free some space, then go on with --resume, or choose another folder with --out."


class Run:
    """The files of one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variant_file = folder / "variant.yaml"
        self.metrics_file = folder / "metrics.csv"
        self.last = folder / "checkpoints" / "last.ckpt"
        self.mmssl = folder / "checkpoints" / "mmssl.ckpt"
        self.mlssl = folder / "checkpoints" / "mlssl.ckpt"
        self.model = folder / "model.safetensors"
        self.studies = folder / "studies.json.gz"

    @property
    def exists(self) -> bool:
        """Whether the folder holds the record of a run, begun or finished or neither."""
        return self.variant_file.is_file()

    @property
    def resume_command(self) -> str:
        """What goes on with the run."""
        return f"sm3kit pretrain --resume --out {self.folder}"

    @property
    def has_begun(self) -> bool:
        """Whether something was trained: there are weights, or a row of metrics."""
        weights = (self.last, self.mmssl, self.mlssl, self.model)
        if any(file.is_file() for file in weights):
            return True
        return self.metrics_file.is_file() and self.metrics_file.read_bytes().count(b"\n") > 1

    @property
    def finished(self) -> bool:
        """Whether every stage ran to its end: the model is written last, and names its stage."""
        if not (self.exists and self.model.is_file()):
            return False
        wanted = "mmssl" if self.read_variant()[0].stage == "mmssl" else "mlssl"
        try:
            with safe_open(self.model, "pt") as file:
                facts = plain_json.parse(file.metadata()["sm3kit"])
                return bool(facts["stage"] == wanted)
        except (SafetensorError, OSError, TypeError, KeyError, DataError):
            return False

    def write_variant(
        self,
        variant: Variant,
        data_hash: str,
        hardware: Mapping[str, str],
        init: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes every choice, resolved, with the data's hash, the hardware and versions.

        Args:
            init: what the run that this one started from was trained on, for the record; empty
                if there is none, and None keeps what the record says of it.
        """
        init = self.read_record().get("started_from", {}) if init is None else init
        facts: dict[str, Any] = {"data_hash": data_hash}
        facts |= {"hardware": dict(hardware), "versions": versions()}
        facts |= {"started_from": dict(init)} if init else {}
        files = files_of(variant)
        facts |= {"plugin_files": files} if files else {}
        record = {**variant.as_dict(), **facts}
        with whole_file(self.variant_file, REMEDY) as part:
            part.write_text(yaml.safe_dump(record, sort_keys=False, allow_unicode=True), "utf-8")

    def read_variant(self) -> tuple[Variant, str]:
        """The variant of this run, and the hash of the data that it was trained on.

        Raises:
            CheckpointError: there is no run here, or its record is damaged.
        """
        if not self.exists:
            raise CheckpointError(f"{self.folder} holds no run: there is no variant.yaml in it.")
        record = self.read_record()
        known = {name.removesuffix("?") for name in FACTS}
        settings = {name: value for name, value in record.items() if name not in known}
        try:
            variant = Variant().changed(settings, str(self.variant_file))
        except SM3Error as error:
            raise CheckpointError(f"{self.variant_file} is no record of a run: {error}") from error
        return variant, str(record["data_hash"])

    def read_record(self) -> dict[str, Any]:
        """The content of variant.yaml; empty if there is none.

        Raises:
            CheckpointError: it is damaged.
        """
        if not self.exists:
            return {}
        file, largest = self.variant_file, plain_yaml.LARGEST_RECORD
        try:
            record: dict[str, Any] = plain_yaml.read(
                file, "record of a run", CheckpointError, largest
            )
            plain_json.check_shape(record, FACTS)
        except DataError as error:
            raise CheckpointError(f"{file} is no record of a run: {error}") from error
        return record

    def plugin_files(self) -> list[dict[str, Any]]:
        """The single files that plugins came from when the run was trained; see `files_of`."""
        return list(self.read_record().get("plugin_files", []))

    def read_metrics(self, stage: str, epochs: int) -> list[dict[str, Any]]:
        """The rows of other stages, and of the first epochs of this one; later ones were not kept."""
        rows = self.metrics()
        return [row for row in rows if row["stage"] != stage or int(row["epoch"]) <= epochs]

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.csv, as text; none if there is no such file.

        Raises:
            CheckpointError: it is damaged.
        """
        if not self.metrics_file.is_file():
            return []
        try:
            with self.metrics_file.open(newline="", encoding="utf-8") as file:
                rows = read_rows(file)
            whole = all(row["stage"] and int(row["epoch"]) >= 0 for row in rows)
        except (OSError, ValueError, KeyError, csv.Error):
            whole = False
        if not whole:
            raise CheckpointError(
                f"{self.metrics_file} is damaged. Delete it: only the curves need it."
            )
        return list(rows)

    def check_free(self) -> None:
        """Refuses to train over a run; a record alone, of a start that failed, is none.

        Raises:
            VariantError: the folder holds a run.
        """
        if self.has_begun:
            way = ", or go on with it by --resume" if self.exists else ""
            raise VariantError(f"{self.folder} holds a run already. Give another --out{way}.")

    def check_finished(self) -> None:
        """Refuses to call a training done that has left no model.

        Raises:
            TrainingError: there is no model of the last stage.
        """
        if not self.finished:
            raise TrainingError(
                f"The training of {self.folder} has ended without its {self.model.name}. Go on "
                f"with: {self.resume_command}"
            )

    def remove_unfinished(self) -> None:
        """Removes what a killed training left half-written; for who holds the folder."""
        weights = (self.last, self.mmssl, self.mlssl, self.model)
        for file in (self.variant_file, self.metrics_file, self.studies, *weights):
            remove_unfinished(file)

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes all rows; columns are in the order of their first appearance."""
        columns = list(dict.fromkeys(name for row in rows for name in row))
        with (
            whole_file(self.metrics_file, REMEDY) as part,
            part.open("w", newline="", encoding="utf-8") as file,
        ):
            write_rows(file, [columns, *([row.get(name, "") for name in columns] for row in rows)])


def versions() -> dict[str, str]:
    """Versions of sm3kit and of what its numbers depend on."""
    names = ("torch", "torchvision", "lightly", "timm", "pytorch_lightning", "numpy")
    return {"sm3kit": __version__, **{name: metadata.version(name) for name in names}}


def free_folder(variant: Variant) -> Path:
    """A folder under runs/ that does not exist yet, named after the variant."""
    objectives = "+".join(variant.objective)
    stage1 = [objectives, variant.fusion] if variant.stage != "mlssl" else []
    stage2 = [variant.relation] if variant.stage != "mmssl" else []
    parts = [*stage1, *stage2, *variant.modality, f"seed{variant.seed}"]
    name = "-".join(part for part in parts if part)
    folder, number = Path("runs") / name, 1
    while folder.exists():
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    return folder

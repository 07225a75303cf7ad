"""A run is a folder that holds everything about one variant that was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from sm3kit.core.errors import CheckpointError, TrainingError, VariantError
from sm3kit.core.files import remove_unfinished
from sm3kit.core.plain_json import check_shape, parse
from sm3kit.core.variant import Variant
from sm3kit.nn.finite import first_two, not_finite
from sm3kit.nn.named_modules import module_key
from sm3kit.runs.epoch_rows import read_epochs, write_epochs
from sm3kit.runs.model import DAMAGE, ModelFacts, TrainedModel, read_model
from sm3kit.runs.record import RunRecord
from sm3kit.runs.studies_record import SourceRecord, read_studies

BACKBONES = "extractor.backbones."  # How their weights begin in the file.


class RunFolder:
    """The files of one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variant_file = folder / "variant.yaml"
        self.start_file = folder / "start.csv"
        self.metrics_file = folder / "metrics.csv"
        self.last = folder / "checkpoints" / "last.ckpt"
        self.mmssl = folder / "checkpoints" / "mmssl.ckpt"
        self.mlssl = folder / "checkpoints" / "mlssl.ckpt"
        self.model = folder / "model.safetensors"
        self.studies_file = folder / "studies.json.gz"

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
        wanted = "mmssl" if self.record().variant.stage == "mmssl" else "mlssl"
        try:
            return ModelFacts.read(self.model).stage == wanted
        except DAMAGE:
            return False

    def record(self) -> RunRecord:
        """Every choice of this run, and what it was trained on.

        Raises:
            CheckpointError: there is no run here, or its record is damaged.
        """
        if not self.exists:
            raise CheckpointError(f"{self.folder} holds no run: there is no variant.yaml in it.")
        return RunRecord.read(self.variant_file)

    def trained(self) -> TrainedModel:
        """The model of this run.

        Raises:
            CheckpointError: there is none, it is damaged, or its training diverged.
        """
        if self.model.is_file():
            return read_model(self.model)
        if self.exists:
            raise CheckpointError(
                f"The run {self.folder} has no model yet. Finish it with: {self.resume_command}"
            )
        raise CheckpointError(
            f"{self.folder} holds no run: there is no model.safetensors in it. Give the folder "
            "that `sm3kit pretrain` wrote."
        )

    def studies(self) -> list[SourceRecord]:
        """The studies that this run was trained with; none if it keeps no record of them.

        Raises:
            CheckpointError: the record is damaged.
        """
        return read_studies(self.studies_file)

    def changed_plugins(self) -> list[str]:
        """A sentence on each plugin file that has changed since the run was trained.

        Raises:
            VariantError: plugins of such a file are not known now.
            CheckpointError: the record is damaged.
        """
        return self.record().changed_plugins(str(self.folder)) if self.exists else []

    def read_metrics(self, stage: str, epochs: int) -> list[dict[str, Any]]:
        """The rows of other stages, and of the first epochs of this one; later ones were not kept."""
        rows = self.metrics()
        return [row for row in rows if row["stage"] != stage or int(row["epoch"]) <= epochs]

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.csv, as text; none if there is no such file.

        Raises:
            CheckpointError: it is damaged.
        """
        return read_epochs(self.metrics_file)

    def history(self) -> list[dict[str, Any]]:
        """The row of start.csv, which is that of epoch 0, before those of metrics.csv.

        Raises:
            CheckpointError: one of them is damaged.
        """
        return [*read_epochs(self.start_file), *self.metrics()]

    def check_free(self) -> None:
        """Refuses to train over a run; a record alone, of a start that failed, is none.

        Raises:
            VariantError: the folder holds a run.
        """
        if self.has_begun:
            way = ", or resume it with --resume" if self.exists else ""
            raise VariantError(f"{self.folder} holds a run already. Give another --out{way}.")

    def check_finished(self) -> None:
        """Refuses to call a training done that has left no model.

        Raises:
            TrainingError: there is no model of the last stage.
        """
        if not self.finished:
            raise TrainingError(
                f"The training of {self.folder} ended without writing {self.model.name}. Continue "
                f"with: {self.resume_command}"
            )

    def remove_unfinished(self) -> None:
        """Removes what a killed training left half-written; for who holds the folder."""
        weights = (self.last, self.mmssl, self.mlssl, self.model)
        tables = (self.start_file, self.metrics_file)
        for file in (self.variant_file, *tables, self.studies_file, *weights):
            remove_unfinished(file)

    def write_start(self, row: Mapping[str, Any]) -> None:
        """Writes the row of epoch 0, of networks before their training; {} removes it."""
        if row:
            write_epochs(self.start_file, [row])
        else:
            self.start_file.unlink(missing_ok=True)

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes all rows; columns are in the order of their first appearance."""
        write_epochs(self.metrics_file, rows)


@dataclass(frozen=True)
class FineTuned:
    """What the file of a classifier tells of the networks in it.

    Attributes:
        file: the file, in the folder `eval` of its run.
        labels: {label: classes} that it was trained for.
        leaky: whether it was chosen on the split that it was measured on.
    """

    file: Path
    labels: Mapping[str, Sequence[str]]
    leaky: bool

    @classmethod
    def read(cls, file: Path) -> FineTuned | None:
        """What a file tells; None if it is none of a classifier."""
        if not file.is_file() or file.suffix != ".safetensors":
            return None
        try:
            with safe_open(file, "pt") as opened:
                facts = parse((opened.metadata() or {})["sm3kit"])
            check_shape(facts, {"protocol": str, "labels": [list], "leaky": bool})
            labels = {str(name): list(classes) for name, classes, _ in facts["labels"]}
            return cls(file, labels, facts["leaky"])
        except DAMAGE:  # Whoever reads its weights says what is wrong with them.
            return None

    def run(self) -> TrainedModel:
        """The run whose networks were fine-tuned; the file lies in its folder `eval`."""
        return RunFolder(self.file.absolute().parents[1]).trained()

    def backbone(self, modality: str) -> dict[str, Tensor]:
        """The fine-tuned weights of the backbone of one modality.

        Raises:
            CheckpointError: the file has none, or they are not finite.
        """
        start = f"{BACKBONES}{module_key(modality)}."
        with safe_open(self.file, "pt") as opened:
            names = [name for name in opened.keys() if name.startswith(start)]  # noqa: SIM118
            weights = {name[len(start) :]: opened.get_tensor(name) for name in names}
        if not weights:
            raise CheckpointError(
                f"The classifier {self.file} has no networks of its own: only --protocol finetune "
                f"trains them. Give the run {self.file.parent.parent} itself."
            )
        bad = not_finite(weights)
        if bad:
            raise CheckpointError(
                f"The classifier {self.file} comes from a training that diverged: "
                f"{first_two(bad)} are not finite. Evaluate the run again with a lower --lr."
            )
        return weights


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

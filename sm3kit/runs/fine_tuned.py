"""The networks in the file of a classifier, which `sm3kit evaluate --protocol finetune` leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from sm3kit.core.errors import CheckpointError
from sm3kit.core.plain_json import check_shape, parse
from sm3kit.nn.finite import first_two, not_finite
from sm3kit.nn.named_modules import module_key
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.model import DAMAGE, TrainedModel

BACKBONES = "extractor.backbones."  # How their weights begin in the file.


@dataclass(frozen=True)
class FineTuned:
    """What the file of a classifier tells of the networks in it.

    Attributes:
        file: the file, in the folder `eval` of its run.
        labels: {label: classes} that it was trained for.
    """

    file: Path
    labels: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, file: Path) -> FineTuned | None:
        """What a file tells; None if it is none of a classifier."""
        if not file.is_file() or file.suffix != ".safetensors":
            return None
        try:
            with safe_open(file, "pt") as opened:
                facts = parse((opened.metadata() or {})["sm3kit"])
            check_shape(facts, {"protocol": str, "labels": [list]})
            return cls(file, {str(name): list(classes) for name, classes, _ in facts["labels"]})
        except DAMAGE:  # Whoever reads its weights says what is wrong with them.
            return None

    def run(self) -> TrainedModel:
        """The run whose networks were fine-tuned.

        Raises:
            CheckpointError: the file does not lie in the folder of a run.
        """
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

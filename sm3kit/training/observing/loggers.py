"""Logs of a training for other programs: TensorBoard, Weights & Biases, MLflow, CSV."""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger

from sm3kit.core.errors import VariantError
from sm3kit.core.libraries import hush, pip_line
from sm3kit.core.settings import by_address
from sm3kit.core.variant import Variant
from sm3kit.training.base import EpochRow

LIBRARY = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}
PROJECT = "sm3kit"


def check_loggers(names: Sequence[str]) -> None:
    """Refuses loggers whose library is not installed.

    Raises:
        VariantError: one is missing.
    """
    for name in names:
        library = LIBRARY.get(name)
        if library and importlib.util.find_spec(library) is None:
            raise VariantError(
                f"--logger {name} needs {library}, which is not installed: {pip_line(library)}"
            )


class Logs:
    """What other programs show of a run, in its folder `logs`; for the first process alone.

    A new log is given all rows so far, and one that is there already goes on. Nothing is sent
    anywhere unless the environment asks for it: WANDB_MODE=online, MLFLOW_TRACKING_URI.

    Args:
        folder: of the run.
        variant: its settings.
    """

    def __init__(self, folder: Path, variant: Variant) -> None:
        self.run, self.variant = folder, variant
        self.folder = folder / "logs"
        self.loggers: dict[str, Any] = {}

    def __enter__(self) -> Logs:
        return self

    def begin(self, rows: Sequence[EpochRow]) -> None:
        """Opens what was asked for, once, with the rows of the epochs before."""
        if self.loggers:
            return
        for name in dict.fromkeys(self.variant.logger):
            logger, new = OPENERS[name](self.folder, self.run.resolve().name)
            self.loggers[name] = logger
            if new:
                logger.log_hyperparams(settings_of(self.variant))
            for row in rows if new else ():
                logger.log_metrics(*self._numbers(row))

    def row(self, row: EpochRow) -> None:
        """Logs an epoch."""
        metrics, step = self._numbers(row)
        for logger in self.loggers.values():
            logger.log_metrics(metrics, step)

    def pictures(self, files: Sequence[Path]) -> None:
        """Logs figures, PNG files in the folder."""
        for name, logger in self.loggers.items():
            for file in files:
                if name == "tensorboard":
                    pixels = np.asarray(Image.open(file).convert("RGB"))
                    logger.experiment.add_image(file.stem, pixels, 0, dataformats="HWC")
                elif name == "wandb":
                    logger.log_image(file.stem, [str(file)])
                elif name == "mlflow":
                    logger.experiment.log_artifact(logger.run_id, str(file), "figures")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name, logger in self.loggers.items():
            logger.finalize("failed" if error else "success")
            if name == "wandb":
                logger.experiment.finish(exit_code=int(error is not None))

    def _numbers(self, row: Mapping[str, Any]) -> tuple[dict[str, float], int]:
        """The numbers of a row by names that all loggers take, and the epoch over both stages."""
        metrics = {}
        for column, value in row.items():
            if column in ("stage", "epoch") or value in ("", None):
                continue
            if column.startswith("sizes/"):
                continue  # That of one cluster alone would be a number.
            try:
                number = float(value)
            except ValueError:
                continue
            name = column.replace("->", " to ").replace("*", " projection")
            metrics[re.sub(r"[^\w/. -]", "_", f"{row['stage']}/{name}", flags=re.ASCII)] = number
        after = self.variant.stage1.epochs if self.variant.stage == "both" else 0
        step = int(row["epoch"]) + (after if row["stage"] == "mlssl" else 0)
        return {name: value for name, value in metrics.items() if math.isfinite(value)}, step


def settings_of(variant: Variant) -> dict[str, Any]:
    """All settings by address, options one by one."""
    values = by_address(variant)
    flat = {name: str(value) for name, value in values.items() if name != "options"}
    for plugin, options in variant.options.items():
        flat |= {f"{plugin}.{option}": str(value) for option, value in options.items()}
    return flat


def _tensorboard(folder: Path, run: str) -> tuple[Any, bool]:
    own = folder / "tensorboard"
    new = not own.is_dir() or not any(own.iterdir())
    return TensorBoardLogger(folder, "tensorboard", "", default_hp_metric=False), new


def _wandb(folder: Path, run: str) -> tuple[Any, bool]:
    wandb = importlib.import_module("wandb")
    number, new = _number(folder, "wandb", lambda: secrets.token_hex(4))
    # Its own log; else in the home of the user.
    os.environ.setdefault("WANDB_CACHE_DIR", str((folder / "wandb" / "cache").resolve()))
    quiet = wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True)
    logger = WandbLogger(
        run, folder, id=number, project=os.environ.get("WANDB_PROJECT", PROJECT), resume="allow",
        mode=os.environ.get("WANDB_MODE", "offline"), settings=quiet,
    )  # fmt: skip
    return logger, new


def _mlflow(folder: Path, run: str) -> tuple[Any, bool]:
    hush("mlflow")
    folder.mkdir(parents=True, exist_ok=True)
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        # Newer versions keep runs in files only for who asks.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        uri = (folder / "mlflow").resolve().as_uri()
    file = folder / "mlflow-run.txt"
    number = file.read_text(encoding="utf-8").strip() if file.is_file() else None
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    logger = MLFlowLogger(name, run, uri, run_id=number)
    if number is None:
        file.write_text(f"{logger.run_id}\n", encoding="utf-8")
    return logger, number is None


def _csv(folder: Path, run: str) -> tuple[Any, bool]:
    # Lightning begins its file anew.
    return CSVLogger(folder, "csv", "", flush_logs_every_n_steps=1), True


def _number(folder: Path, name: str, draw: Callable[[], str]) -> tuple[str, bool]:
    """The number under which a log goes on, and whether it is new."""
    file = folder / f"{name}-run.txt"
    new = not file.is_file()
    if new:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{draw()}\n", encoding="utf-8")
    return file.read_text(encoding="utf-8").strip(), new


OPENERS: dict[str, Callable[[Path, str], tuple[Any, bool]]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
    "csv": _csv,
}

"""Checkpoints: the last whole epoch to go on from, and the weights that downstream needs."""

from __future__ import annotations

import time
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from sm3kit.core.errors import CheckpointError, SM3Error, TrainingError
from sm3kit.core.files import whole_file
from sm3kit.core.plain_json import check_shape
from sm3kit.core.variant import Variant
from sm3kit.networks.assemble import fill_in
from sm3kit.nn.finite import first_two, not_finite
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.model import FORMAT, ModelFacts
from sm3kit.runs.record import REMEDY
from sm3kit.runs.resumption import with_stage2_of
from sm3kit.training.base import TITLES, Learner

SHAPE = {
    "format": int,
    "stage": str,
    "epochs_done": int,
    "data_hash": str,
    "variant": dict,
    "model": dict,
    "optimiser?": dict,
}


class KeepLast(pl.Callback):
    """Writes `last.ckpt` after an epoch, as often as costs at most a fiftieth of the time.

    The first and the last epoch are always kept, also where a training ends early.
    """

    def __init__(self, run: RunFolder, data_hash: str, share: float = 0.02) -> None:
        self.run, self.data_hash, self.share = run, data_hash, share
        self.last_written = -float("inf")
        self.cost = 0.0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the checkpoint if it is due."""
        module = cast(Learner, pl_module)
        start = time.monotonic()
        final = module.epoch + 1 >= module.epochs or trainer.should_stop
        due = (start - self.last_written) * self.share >= self.cost
        if not (final or due) or not trainer.is_global_zero:
            return
        write_checkpoint(self.run.last, checkpoint(trainer, module, self.data_hash))
        self.last_written = time.monotonic()
        self.cost = self.last_written - start


def checkpoint(trainer: pl.Trainer, module: Learner, data_hash: str) -> dict[str, Any]:
    """Everything to go on with: tensors and plain values only."""
    return {
        "format": FORMAT,
        "stage": module.stage,
        "epochs_done": module.epoch + 1,
        "variant": module.variant.as_dict(),
        "data_hash": data_hash,
        "model": module.state_dict(),
        "optimiser": trainer.optimizers[0].state_dict(),
        "precision": trainer.precision_plugin.state_dict(),
        **module.extra,
    }


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes a checkpoint that is whole or not there; equal contents are equal bytes."""
    content = _without_ties(content, {})
    with whole_file(path, REMEDY) as part, part.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # torch hides the reason of a failed write; a plain write brings it out.
            file.write(b"\0" * 1_048_576)
            file.flush()
            raise CheckpointError(f"Cannot write {path}: {error}") from error


def _without_ties(value: Any, words: dict[str, str]) -> Any:
    """A copy with one object for equal texts and one of its own for each table and list.

    Pickle says where two things are one object, which differs when a run has gone on.
    """
    if isinstance(value, str):
        # A copy, which is no object of torch either, such as its name of a device.
        return words.setdefault(value, "".join(list(value)))
    if isinstance(value, dict):
        inner = {_without_ties(k, words): _without_ties(v, words) for k, v in value.items()}
        if not isinstance(value, OrderedDict):
            return inner
        state = OrderedDict(inner)
        if hasattr(value, "_metadata"):  # Versions of the modules, which load_state_dict reads.
            vars(state)["_metadata"] = _without_ties(value._metadata, words)
        return state
    if isinstance(value, list | tuple):
        return type(value)([_without_ties(item, words) for item in value])
    return value


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint.

    Raises:
        CheckpointError: it is damaged, no checkpoint of sm3kit, or of a training that diverged.
    """
    try:
        content = _load(path)
        check_shape(content, SHAPE)
        bad = not_finite(_flatten(content))
    except Exception as error:  # What a damaged or hostile file raises has no common base.
        # What torch says is for programmers, and how to run the code in a file is part of it.
        reason = (
            str(error) if isinstance(error, SM3Error) else "it is truncated, or not a checkpoint."
        )
        raise CheckpointError(
            f"The checkpoint {path} cannot be read: {reason} Delete it to start over."
        ) from error
    if content["format"] != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint written by this version of sm3kit.")
    if bad:
        raise CheckpointError(
            f"The checkpoint {path} comes from a training that diverged: {first_two(bad)} are not "
            "finite. Delete it, and train again with a lower --lr."
        )
    return content


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():  # A pipe would be waited for without end.
        raise CheckpointError("it is not there, or not a regular file.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of pickles, which are refused if they are no tensors.
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content


def _flatten(table: Mapping[Any, Any]) -> dict[str, Tensor]:
    """All tensors of nested tables, by their place."""
    tensors: dict[str, Tensor] = {}
    for name, value in table.items():
        if isinstance(value, Tensor):
            tensors[str(name)] = value
        elif isinstance(value, Mapping):
            tensors |= {f"{name}.{place}": tensor for place, tensor in _flatten(value).items()}
    return tensors


def read_last(run: RunFolder, variant: Variant, data_hash: str) -> dict[str, Any] | None:
    """The last checkpoint of a run if it has one and fits the variant and the data.

    Raises:
        CheckpointError: it is damaged, of another variant or of other data.
    """
    if not run.last.is_file():
        return None
    content = read_checkpoint(run.last)
    stored = fill_in(Variant().changed(content["variant"], str(run.last)))
    if content["stage"] == "mmssl":
        stored = with_stage2_of(stored, variant)
    said = stored.contradiction(variant)
    if said:
        raise CheckpointError(
            f"The checkpoint {run.last} belongs to a run with other settings: {said}. "
            "Delete it to start over, or use its own run folder."
        )
    if content["data_hash"] != data_hash:
        raise CheckpointError(
            f"The data of {run.folder} have changed since its training began (listing "
            f"{content['data_hash']}, now {data_hash}). Restore them, or start a new "
            "run with another --out."
        )
    return content


def load_weights(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Puts the weights of a checkpoint into a module.

    Raises:
        CheckpointError: they are of another network.
    """
    try:
        module.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"The checkpoint {path} is of another network: {reason}") from error


def resume(module: Learner, content: Mapping[str, Any], path: Path) -> None:
    """Puts a training where its checkpoint left it; see `checkpoint`.

    Raises:
        CheckpointError: the weights are of another network.
    """
    load_weights(module, content["model"], path)
    module.first_epoch = content["epochs_done"]
    module.optimiser_state, module.scaler_state = content["optimiser"], content["precision"]
    module.extra = {name: content[name] for name in module.extra}


def write_stage(
    run: RunFolder,
    path: Path,
    networks: Mapping[str, Tensor],
    facts: ModelFacts,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Writes a finished stage: its checkpoint, then `model.safetensors`.

    Args:
        run: the run folder.
        path: of the checkpoint, `mmssl.ckpt` or `mlssl.ckpt`.
        networks: all weights by name.
        facts: what both files say of the model.
        more: tensors that the checkpoint alone keeps.

    Raises:
        TrainingError: some weights are not finite; nothing is written.
    """
    bad = not_finite(networks)
    if bad:
        raise TrainingError(
            f"{len(bad)} of {len(networks)} tensors ({first_two(bad)}) are not finite at the end "
            f"of {TITLES[facts.stage]}, and no model is written. Lower --lr, or use --precision "
            "32."
        )
    weights = {name: value.detach().cpu() for name, value in networks.items()}
    write_checkpoint(path, {**facts.as_dict(), "model": weights, **(more or {})})
    facts.write(run.model, weights)

"""What exactly the result of a stage depends on: the key under which its work is shared."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from sm3kit.core.settings import by_address, plain
from sm3kit.core.variant import Variant
from sm3kit.grids.hashing import hashed
from sm3kit.networks.assemble import resolved
from sm3kit.networks.plugins_in_use import unused_plugins
from sm3kit.runs.plugin_origins import files_of

# How to compute or to watch, and what is in a key by its content: data, init and weights.
NOT_IN_A_KEY = (
    *("recipe", "data", "init", "weights", "stage"),
    *("machine.workers", "stage1.monitor_every"),
)
DEFAULTS = Variant()


def for_stage1(variant: Variant) -> Variant:
    """What stage 1 of a variant trains: nothing that only later stages read."""
    return with_used_options(_untested(variant).of_stage1())


def for_stage2(variant: Variant) -> Variant:
    """What stage 2 of a variant trains, on networks of stage 1: nothing of its evaluation."""
    return with_used_options(dataclasses.replace(_untested(variant), stage="mlssl"))


def with_used_options(variant: Variant) -> Variant:
    """Every option of the plugins in use, spelt out, and none of the others."""
    whole = resolved(variant)
    unused = unused_plugins(variant)
    kept = {owner: values for owner, values in whole.options.items() if owner not in unused}
    return dataclasses.replace(whole, options=dict(sorted(kept.items())))


def _untested(variant: Variant) -> Variant:
    """The variant without what only says how it is evaluated, and where its settings are from."""
    said = {name: getattr(DEFAULTS, name) for name in ("recipe", "protocol", "evaluate")}
    return dataclasses.replace(variant, **said)


def key_of_training(variant: Variant, listing: str, parent: str = "") -> str:
    """The key of a stage that trains.

    Args:
        variant: as `for_stage1` or `for_stage2` gives it.
        listing: the hash of the data.
        parent: the key of the stage that it starts from.
    """
    values = plain(by_address(variant))
    facts = {address: value for address, value in values.items() if address not in NOT_IN_A_KEY}
    facts["per_modality"] = variant.without_weights().as_dict()["per_modality"]
    return hashed(
        {
            "stage": variant.stage,
            "parent": parent,
            "variant": facts,
            "data": listing,
            "weights": _content(variant.weights),
            "weights_of": {
                name: _content(str(one["weights"]))
                for name, one in variant.per_modality.items()
                if "weights" in one
            },
            "init": _content(variant.init),
            **_plugin_files(variant),
        }
    )


def _plugin_files(variant: Variant) -> dict[str, object]:
    """The code of plugins that are single files; installed ones count by their names alone."""
    contents = [one["content"] for one in files_of(variant)]
    return {"plugin_files": contents} if contents else {}


def _content(path: str) -> str:
    """The hash of a file or of a run's model; other words stand for themselves."""
    for file in (Path(path), Path(path) / "model.safetensors"):
        if path and file.is_file():
            return hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest()
    return path

"""From rows to a plan: which tasks each replicate needs, and which of them are the same.

A task is shared under its key: a hash of exactly what its result depends on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sm3kit.core.errors import VariantError
from sm3kit.core.names import quote
from sm3kit.core.settings import by_address, plain
from sm3kit.core.variant import OF_LOOKS, Variant
from sm3kit.data.dropping import drops_of
from sm3kit.evaluation.missing.dropped import measure_name, protocol_and_drop
from sm3kit.evaluation.settings import UNUSED, settings_of
from sm3kit.grids.grid import Grid
from sm3kit.grids.plan import Plan, Replicate, Task, hash_of
from sm3kit.grids.teaching import PROTOCOL, teacher_of
from sm3kit.networks.assemble import fill_in
from sm3kit.networks.plugins_in_use import unused_plugins
from sm3kit.runs.record import files_of

if TYPE_CHECKING:
    from sm3kit.grids.rows import GridRow

# How to compute or to watch, and what is in a key by its content: data, init and weights.
NOT_IN_A_KEY = (
    *("recipe", "data", "init", "weights", "stage"),
    *("machine.workers", "machine.max_time", "logger"),
)
DEFAULTS = Variant()


def plan_of(grid: Grid, rows: Sequence[GridRow]) -> Plan:
    """The plan of a grid: rows in order, the seeds of each together, one replicate after another."""
    replicates: list[Replicate] = []
    tasks: dict[str, Task] = {}
    for row in rows:
        for seed in grid.seeds:
            teacher = teacher_of(row, rows)
            taught = _work(grid, teacher, seed, (PROTOCOL,)) if teacher else []
            work = _work(grid, row, seed, row.protocols, taught[-1].key if taught else "")
            for task in [*taught, *work]:
                tasks.setdefault(task.key, task)
            measuring = [task for task in work if not task.trains]
            keys = [task.key for task in measuring]
            results = dict(zip(row.protocols, keys, strict=True))
            replicates.append(Replicate(row.name, seed, results))
    return Plan(replicates, tasks)


def _work(
    grid: Grid, row: GridRow, seed: int, protocols: Sequence[str], teacher: str = ""
) -> list[Task]:
    """The tasks of one seed of a row, the evaluations last; `teacher` is the key of one."""
    variant = dataclasses.replace(row.variant, seed=seed)
    name = f"{row.name}, seed {seed}"
    training = _training(variant, row.listing.hash, name, teacher)
    run = training[-1].key
    return [*training, *(_evaluation(grid, variant, word, run, name) for word in protocols)]


def _training(variant: Variant, listing: str, name: str, teacher: str) -> list[Task]:
    """The tasks that train one replicate."""
    chain: list[Task] = []
    parent = ""
    if variant.stage != "mlssl":
        first = for_stage1(variant)
        parent = key_of_training(first, listing, teacher)
        chain.append(Task(parent, "mmssl", teacher, _plain(first.as_dict()), name))
    if variant.stage != "mmssl":
        second = for_stage2(variant)
        if parent:
            # Its networks come from stage 1, whose key tells where these came from.
            second = dataclasses.replace(second, init="")
        key = key_of_training(second, listing, parent)
        chain.append(Task(key, "mlssl", parent, _plain(second.as_dict()), name))
    return chain


def _evaluation(grid: Grid, variant: Variant, measure: str, run: str, name: str) -> Task:
    protocol, drop = protocol_and_drop(measure)
    flags: dict[str, Any] = {"split": grid.split} | ({"drop": drop} if drop else {})
    if "select" not in UNUSED[protocol]:
        flags["select"] = grid.select
    relation = variant.stage != "mmssl" and not variant.stage2.pseudo_labels
    settings = settings_of(variant, protocol, flags, relation=relation)  # type: ignore[arg-type]
    table = _plain(dataclasses.asdict(settings))
    name = measure_name(name, drop[0]) if drop else name
    return Task(hash_of({"run": run, "settings": table}), protocol, run, table, name)


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """As it is read again from JSON."""
    table: dict[str, Any] = json.loads(json.dumps(settings))
    return table


def for_stage1(variant: Variant) -> Variant:
    """What stage 1 of a variant trains: nothing that only later stages read."""
    return with_used_options(_without_evaluation(variant).of_stage1())


def for_stage2(variant: Variant) -> Variant:
    """What stage 2 of a variant trains, on networks of stage 1: nothing of its evaluation."""
    return with_used_options(dataclasses.replace(_without_evaluation(variant), stage="mlssl"))


def with_used_options(variant: Variant) -> Variant:
    """Every option of the plugins in use, spelt out, and none of the others."""
    whole = fill_in(variant)
    unused = unused_plugins(variant)
    options = {owner: values for owner, values in whole.options.items() if owner not in unused}
    return dataclasses.replace(whole, options=dict(sorted(options.items())))


def with_subject(
    protocols: Sequence[str], variant: Variant, modalities: Sequence[str], source: str
) -> tuple[str, ...]:
    """Those protocols that have something to measure in the run of a row.

    Args:
        protocols: that are wanted.
        variant: of the row.
        modalities: of its pool.
        source: the row, for messages.

    Raises:
        VariantError: none of them has.
    """
    reasons = {}
    if len(modalities) < 2:
        # One image alone has no partner to be matched with.
        reasons["match"] = "has one modality, and match needs two"
    if variant.stage == "mmssl":
        reasons["clusters"] = "ends with stage 1, and clusters needs stage 2"
    elif variant.stage2.pseudo_labels:
        reasons["clusters"] = (
            "names no label for its pseudo-labels, and clusters needs one for each"
        )
    kept = tuple(name for name in protocols if name not in reasons)
    if not kept:
        whole = ", and it ".join(reasons[name] for name in protocols)
        raise VariantError(f"{source} {whole}. Leave it out.")
    return kept


def with_drops(rows: Sequence[GridRow], grid: Grid) -> list[GridRow]:
    """The rows, with each of their protocols also on studies that lose a modality.

    A row loses what it has: a modality of other rows is nothing to it, and neither is its only
    one. A matching needs both images, so it is not repeated.

    Args:
        rows: with the protocols that measure all images.
        grid: its `drop` names what is lost in turn; "each" stands for each modality.

    Raises:
        VariantError: a modality that no row can lose, one that is lost twice, or a wrong share.
    """
    if not grid.drop:
        return list(rows)
    source = f"grid {grid.name!r}"
    several = [row.modalities for row in rows if len(row.modalities) > 1]
    known = list(dict.fromkeys(name for names in several for name in names))
    if not known:
        raise VariantError(
            f"{source}: every row has one modality, and nothing is left without it. Leave out drop."
        )
    words = [word for own in grid.drop for word in (known if own == "each" else [own])]
    lost = {}
    for word in words:
        if word in lost:
            raise VariantError(f"{source}: drop names {quote(word)} twice. Name it once.")
        try:
            lost[word] = drops_of([word], known)[0].modality
        except VariantError as error:
            raise VariantError(f"{source}: {error}") from error
    return [_with_drops(row, lost) for row in rows]


def _with_drops(row: GridRow, lost: Mapping[str, str]) -> GridRow:
    """A row with its drops; `lost` is {word: modality}."""
    if len(row.modalities) < 2:
        return row
    words = [word for word, modality in lost.items() if modality in row.modalities]
    measured = [protocol for protocol in row.protocols if protocol != "match"]
    without = [measure_name(protocol, word) for protocol in measured for word in words]
    return dataclasses.replace(row, protocols=(*row.protocols, *without))


def _without_evaluation(variant: Variant) -> Variant:
    """The variant without what only says how it is evaluated, and where its settings are from."""
    neutral = {name: getattr(DEFAULTS, name) for name in ("recipe", "protocol", "evaluate")}
    return dataclasses.replace(variant, **neutral)


def key_of_training(variant: Variant, listing: str, parent: str = "") -> str:
    """The key of a task that trains.

    Args:
        variant: as `for_stage1` or `for_stage2` gives it.
        listing: the hash of the data.
        parent: the key of the task that it starts from.
    """
    values = plain(by_address(variant))
    facts = {address: value for address, value in values.items() if address not in NOT_IN_A_KEY}
    if variant.stage1.stop_on == "none":
        facts.pop(OF_LOOKS)
    for address in ("stage2.teacher", "stage2.weak"):
        facts[address] = _content(variant.at(address))
    facts["per_modality"] = variant.without_weights().as_dict()["per_modality"]
    # The code of plugins that are single files; installed ones count by their names alone.
    code = [file["content"] for file in files_of(variant)]
    return hash_of(
        {
            "stage": variant.stage,
            "parent": parent,
            "variant": facts,
            "data": listing,
            "weights": _content(variant.weights),
            "weights_of": {
                name: _content(str(settings["weights"]))
                for name, settings in variant.per_modality.items()
                if "weights" in settings
            },
            "init": _content(variant.init),
            **({"plugin_files": code} if code else {}),
        }
    )


def _content(path: str) -> str:
    """The hash of a file or of a run's model; other words stand for themselves."""
    for file in (Path(path), Path(path) / "model.safetensors"):
        if path and file.is_file():
            return hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest()
    return path

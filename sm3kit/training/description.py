"""What a pre-training will do, in lines for people."""

from __future__ import annotations

from sm3kit import __version__
from sm3kit.core.options import options_of
from sm3kit.core.variant import Variant
from sm3kit.data.batches import shares
from sm3kit.data.check_report import spelled_twice
from sm3kit.data.pool import Pool
from sm3kit.datasets.base import SPLITS, Dataset
from sm3kit.networks.assemble import Stage1
from sm3kit.training import stage1
from sm3kit.training.hardware import machine_record
from sm3kit.training.start import Start


def description(start: Start, origin: str = "") -> list[str]:
    """What will be trained: studies, networks, losses, and on what.

    Args:
        start: the pre-training.
        origin: where its settings come from, for the first line; empty leaves that line out.
    """
    setup, parts, variant = start.setup, start.parts, start.setup.variant
    pool = setup.pool
    counts = ", ".join(f"{split} {len(cases)}" for split, cases in pool.cases.items())
    have = ", ".join(f"{n} {c}" for n, c in shares(setup.cases, list(pool.modalities)).items())
    losses = " + ".join([*parts.objectives, *parts.crossings])
    lines = [f"sm3kit {__version__}, {origin}", f"run      {setup.run.folder}"] if origin else []
    lines += [f"note     {note}" for note in _notes(start)]
    lines += [
        f"data     {', '.join(variant.data)}: {counts} studies",
        f"train    {len(setup.cases)} studies of {'+'.join(variant.splits)}: {have}",
        *(f"model    {line}" for line in _networks(pool, parts, variant)),
        *(f"weights  imagenet, {source}" for source in dict.fromkeys(start.fetched.values())),
        f"loss     {losses}, fusion {variant.fusion}",
    ]
    if start.init:
        lines.append(
            f"init     {start.init.folder}, trained on {', '.join(start.init.variant.data)}"
        )
    machine = machine_record(stage1.precision(setup, parts))
    return [*lines, f"machine  {', '.join(machine.values())}"]


def _notes(start: Start) -> list[str]:
    """What the settings, the data sets and the modalities say of themselves."""
    pool = start.setup.pool
    notes = [note for source in pool.sources for note in _notes_of(source.dataset)]
    notes += [note for modality in pool.modalities.values() for note in modality.notes]
    return list(dict.fromkeys([*start.notes, *notes]))


def _notes_of(dataset: Dataset) -> list[str]:
    """What a data set says of itself, and what its spelling may have split in two."""
    studies = [study for split in SPLITS for study in dataset.studies(split)]
    return [*dataset.notes, *spelled_twice(dataset.labels, studies)]


def _networks(pool: Pool, parts: Stage1, variant: Variant) -> list[str]:
    """One line for all backbones that are alike."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for name, modality in pool.modalities.items():
        with_weights = "weights" in options_of(type(parts.branches.backbones[name]))
        weights = str(variant.of(name, "weights")) if with_weights else "none"
        _, height, width = modality.shape
        shown = f", {height} px" if height == width > 1 else ""
        alike.setdefault((variant.of(name, "backbone"), weights, shown), []).append(name)
    lines = []
    for (backbone, weights, shown), names in alike.items():
        networks = (parts.branches.backbones[name] for name in names)
        count = sum(p.numel() for network in networks for p in network.parameters())
        of = f"{', '.join(names)}: " if len(alike) > 1 else ""
        lines.append(
            f"{of}{len(names)} x {backbone} ({count / 1e6:.1f} M weights, {weights}){shown}"
        )
    return lines

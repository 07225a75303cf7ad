"""What a pre-training says of itself before it begins."""

from __future__ import annotations

from sm3kit.core.options import options_of
from sm3kit.core.variant import Variant
from sm3kit.data.batches import shares
from sm3kit.data.cases import Case
from sm3kit.data.pool import Pool
from sm3kit.data.progress import Reporter
from sm3kit.data.spellings import spelled_twice
from sm3kit.datasets.base import SPLITS, Dataset
from sm3kit.networks.assemble import Stage1


def name_sources(parts: Stage1, variant: Variant, reporter: Reporter) -> None:
    """Says where ImageNet weights come from that may take a while to fetch."""
    sources = [
        backbone.imagenet_weights
        for name, backbone in parts.backbones.items()
        if variant.of(name, "weights") == "imagenet" and backbone.imagenet_weights
    ]
    for source in dict.fromkeys(sources):
        reporter.say(f"weights  imagenet, {source}")


def describe(
    pool: Pool, cases: list[Case], parts: Stage1, variant: Variant, reporter: Reporter
) -> None:
    """Says what will be trained: studies, networks, losses."""
    counts = ", ".join(f"{split} {len(found)}" for split, found in pool.cases.items())
    have = ", ".join(f"{n} {c}" for n, c in shares(cases, list(pool.modalities)).items())
    losses = " + ".join([*parts.objectives, *parts.crossings])
    notes = [note for source in pool.sources for note in _notes(source.dataset)]
    for note in dict.fromkeys(notes + [n for m in pool.modalities.values() for n in m.notes]):
        reporter.say(f"note     {note}")
    reporter.say(f"data     {', '.join(variant.data)}: {counts} studies")
    reporter.say(f"train    {len(cases)} studies of {'+'.join(variant.splits)}: {have}")
    for line in _networks(pool, parts, variant):
        reporter.say(f"model    {line}")
    reporter.say(f"loss     {losses}, fusion {variant.fusion}")


def _notes(dataset: Dataset) -> list[str]:
    """What a data set says of itself, and what its spelling may have split in two."""
    studies = [study for split in SPLITS for study in dataset.studies(split)]
    return [*dataset.notes, *spelled_twice(dataset.labels, studies)]


def _networks(pool: Pool, parts: Stage1, variant: Variant) -> list[str]:
    """One line for all backbones that are alike."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for name, modality in pool.modalities.items():
        with_weights = "weights" in options_of(type(parts.backbones[name]))
        weights = str(variant.of(name, "weights")) if with_weights else "none"
        _, height, width = modality.shape
        shown = f", {height} px" if height == width > 1 else ""
        alike.setdefault((variant.of(name, "backbone"), weights, shown), []).append(name)
    lines = []
    for (backbone, weights, shown), names in alike.items():
        count = sum(p.numel() for name in names for p in parts.backbones[name].parameters())
        of = f"{', '.join(names)}: " if len(alike) > 1 else ""
        lines.append(
            f"{of}{len(names)} x {backbone} ({count / 1e6:.1f} M weights, {weights}){shown}"
        )
    return lines

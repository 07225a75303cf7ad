"""What a pre-training will do, before it does it: in lines for people, and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from torch import nn

from sm3kit import __version__
from sm3kit.core.errors import TrainingError
from sm3kit.core.options import options_of
from sm3kit.core.variant import Variant
from sm3kit.data.cases import shares
from sm3kit.data.check_report import spelled_twice
from sm3kit.data.pool import Pool
from sm3kit.datasets.base import SPLITS, Dataset
from sm3kit.networks.assemble import Stage1
from sm3kit.networks.plugins_in_use import other_sampler
from sm3kit.runs.record import RunRecord, files_of, versions
from sm3kit.training import stage1, stage2
from sm3kit.training.base import TITLES
from sm3kit.training.foreseeing.remedies import memory_remedies
from sm3kit.training.hardware import machine_record
from sm3kit.training.memory import MemoryNeed, memory_need
from sm3kit.training.start import Start


class Steps(NamedTuple):
    """How long a stage is: its epochs, and the steps of each."""

    epochs: int
    per_epoch: int


@dataclass(frozen=True)
class Outline:
    """What a pre-training will do.

    Attributes:
        start: where it starts.
        origin: where its settings come from, for the first line; empty leaves that line out.
        steps: {stage: its steps}, for the stages that are trained.
        memory: what it will take; None where that cannot be told.
    """

    start: Start
    origin: str
    steps: dict[str, Steps]
    memory: MemoryNeed | None

    @classmethod
    def of(cls, start: Start, origin: str = "") -> Outline:
        """The outline of a pre-training; see the attributes."""
        setup, variant = start.setup, start.setup.variant
        steps: dict[str, Steps] = {}
        if variant.stage != "mlssl":
            steps["mmssl"] = Steps(variant.stage1.epochs, stage1.steps_per_epoch(setup))
        if variant.stage != "mmssl":
            steps["mlssl"] = Steps(variant.stage2.epochs, stage2.steps_per_epoch(setup))
        return cls(start, origin, steps, memory_need(start))

    @property
    def machine(self) -> dict[str, str]:
        """What it will be computed on, and in what precision."""
        return machine_record(stage1.precision(self.start.setup, self.start.parts))

    def record(self) -> RunRecord:
        """What is known of the run before it is trained."""
        setup, init, kept = self.start.setup, self.start.init, self.start.kept
        before = setup.run.record() if kept and setup.run.exists else None
        started_from = before.started_from if before else init.record() if init else {}
        facts = (setup.data_hash, self.machine, versions(), started_from, files_of(setup.variant))
        return RunRecord(setup.variant, *facts)

    def lines(self) -> list[str]:
        """What will be trained: studies, networks, losses, how long, and on what."""
        setup, parts, variant = self.start.setup, self.start.parts, self.start.setup.variant
        pool, init = setup.pool, self.start.init
        counts = ", ".join(f"{split} {len(cases)}" for split, cases in pool.cases.items())
        have = ", ".join(f"{n} {c}" for n, c in shares(setup.cases, list(pool.modalities)).items())
        losses = " + ".join([*parts.objectives, *parts.crossings]) or "none"
        clusters = variant.stage != "mmssl" and variant.stage2.features != "own"
        fetched = [*self.start.to_fetch.values(), *self.start.teachers_to_fetch]
        sources = dict.fromkeys(fetched)
        head = [f"sm3kit {__version__}, {self.origin}", f"run      {setup.run.folder}"]
        return [
            *(head if self.origin else []),
            *(f"note     {note}" for note in _notes(self.start)),
            f"data     {', '.join(variant.data)}: {counts} studies",
            f"train    {len(setup.cases)} studies of {'+'.join(variant.splits)}: {have}",
            *(f"model    {line}" for line in _networks(pool, parts, variant)),
            *(f"weights  imagenet, {source}" for source in sources),
            f"loss     {losses}, fusion {variant.fusion}{other_sampler(variant)}",
            *(f"teacher  {variant.options[name]['teacher']}" for name in parts.teachers),
            *([f"teacher  of stage 2: {variant.stage2.teacher}"] if clusters else []),
            *(
                [f"init     {init.folder}, trained on {', '.join(init.variant.data)}"]
                if init
                else []
            ),
            f"steps    {_length(self.steps)}",
            *([f"memory   {self.memory.text()}"] if self.memory else []),
            f"machine  {', '.join(self.machine.values())}",
        ]

    def warnings(self) -> list[str]:
        """What an earlier run lacks, and a machine with too little memory."""
        lack = self.lack_of_memory
        return [*self.start.warnings, *([lack] if lack else [])]

    @cached_property
    def lack_of_memory(self) -> str:
        """How much is too little, and what to do; empty where there is enough memory."""
        if self.memory is None or self.memory.fits:
            return ""
        plain = stage1.memory_remedy(self.start.setup.variant, self.start.parts)
        return self.memory.warning(memory_remedies(self.start) or plain)

    def check_memory(self) -> None:
        """Refuses a training that would be killed, unless `machine.too_little_memory` is "warn".

        Raises:
            TrainingError: it needs more memory than is free, however the estimate errs.
        """
        careless = self.start.setup.variant.machine.too_little_memory == "warn"
        if self.memory and self.memory.fits_never and not careless:
            raise TrainingError(
                f"{self.lack_of_memory} To try it all the same: -o machine.too_little_memory=warn."
            )

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        setup, backbones = self.start.setup, self.start.parts.branches.backbones
        return {
            "run": str(setup.run.folder),
            "recipe": self.origin,
            "notes": _notes(self.start),
            "warnings": self.warnings(),
            "studies": {split: len(cases) for split, cases in setup.pool.cases.items()},
            "train": dict(shares(setup.cases, list(setup.pool.modalities))),
            "weights": {name: _count(network) for name, network in backbones.items()},
            "steps": {stage: steps._asdict() for stage, steps in self.steps.items()},
            "memory": self.memory.document() if self.memory else None,
            "machine": self.machine,
            "variant": self.record().content(),
        }


def _length(steps: Mapping[str, Steps]) -> str:
    """How long the stages are: "520 in stage 1 (26 epochs of 20)"."""
    parts = [
        f"{epochs * per_epoch:,} in {TITLES[stage]} ({epochs} epochs of {per_epoch})"
        for stage, (epochs, per_epoch) in steps.items()
    ]
    return ", ".join(parts)


def _notes(start: Start) -> list[str]:
    """What the settings, the data sets and the modalities say of themselves."""
    pool = start.setup.pool
    notes = [note for source in pool.sources for note in _notes_of(source.dataset)]
    notes += [note for modality in pool.modalities.values() for note in modality.notes]
    objectives = [one for own in start.parts.objectives.values() for one in own.values()]
    notes += [note for objective in objectives for note in objective.notes]
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
        if modality.local_views:
            shown += f", {modality.local_views} x {modality.local_size} px local"
        alike.setdefault((variant.of(name, "backbone"), weights, shown), []).append(name)
    lines = []
    for (backbone, weights, shown), names in alike.items():
        count = sum(_count(parts.branches.backbones[name]) for name in names)
        of = f"{', '.join(names)}: " if len(alike) > 1 else ""
        lines.append(
            f"{of}{len(names)} x {backbone} ({count / 1e6:.1f} M weights, {weights}){shown}"
        )
    return lines


def _count(network: nn.Module) -> int:
    """The number of weights of a network."""
    return sum(weight.numel() for weight in network.parameters())

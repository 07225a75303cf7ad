"""Stage 1, multi-modality self-supervised learning: from studies to backbones and fusion."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sm3kit.core.options import options_of
from sm3kit.core.variant import Variant
from sm3kit.data.batches import Batch, eval_loader, train_loader
from sm3kit.data.epoch_batches import EpochBatches
from sm3kit.networks.assemble import Stage1, Teachers, build_stage1, modules
from sm3kit.networks.backbone import provider_and_model
from sm3kit.networks.view_encoding import ViewEncoder
from sm3kit.nn.host.values import host_values
from sm3kit.nn.named_modules import NamedModules
from sm3kit.nn.present_rows import (
    among_zeros,
    at_least,
    count_present,
    in_all,
    rows_of,
)
from sm3kit.runs.measures import mean_rank
from sm3kit.training import checkpoints
from sm3kit.training.base import EpochRow, Learner
from sm3kit.training.fitting import fit
from sm3kit.training.hardware import resolved_precision, smallest_view
from sm3kit.training.monitoring import collapse, discrimination
from sm3kit.training.observing.validation import validation
from sm3kit.training.optimising.chosen_weights import (
    WeightAverage,
    has_stopped,
    keep_if_best,
    no_look_yet,
    unchanged,
)
from sm3kit.training.optimising.optimisers import optimiser
from sm3kit.training.optimising.rates import weight_groups
from sm3kit.training.preparation import Setup
from sm3kit.training.pseudo_labels.clusters import StudyClusters, draw_of
from sm3kit.training.seeds import seed_for
from sm3kit.training.teachers import prepare_teachers


class MultiModalSSL(Learner):
    """Encodes each modality, asks each objective, and adds the terms.

    Source: Wang et al. 2025, section 3.2, equation 5.

    Args:
        parts: networks and losses.
        variant: optimiser settings and seed.
        steps_per_epoch: optimiser steps in an epoch.
        validate: looks at the validation studies, now and then; None has no such studies.
        teach: brings the teachers to a device and fits their heads, before the first step.
    """

    def __init__(
        self,
        parts: Stage1,
        variant: Variant,
        steps_per_epoch: int,
        validate: Callable[[], EpochRow] | None = None,
        teach: Callable[[torch.device], None] | None = None,
    ) -> None:
        super().__init__("mmssl", variant, variant.stage1, variant.seed, steps_per_epoch)
        self.parts, self.validate, self.teach = parts, validate, teach
        self.networks = modules(parts)
        settings = variant.stage1
        self.clip, self.stops_early = settings.clip, settings.stop_on != "none"
        self.extra = no_look_yet() if self.stops_early else {}
        self.average = WeightAverage(self.networks, settings.ema) if settings.ema else None
        # What early stopping takes the loss of.
        self.held_out: Iterable[Batch] = ()
        self.encoder = ViewEncoder(parts.branches, settings.join_views, settings.micro_batch)
        # Modalities whose last maps a teacher compares with its own.
        self.mapped = {m for own in parts.teachers.values() for m in own if parts.shows_maps(m)}
        self.targets = NamedModules(
            {
                name: NamedModules(
                    {m: copy.deepcopy(parts.branches.backbones[m]) for m in by_modality}
                )
                for name, by_modality in parts.objectives.items()
                if next(iter(by_modality.values())).wants_target
            }
        ).requires_grad_(False)
        # What the monitors look at, (modality or stream) -> views of the last steps.
        self.seen: dict[str, list[list[Tensor]]] = {}

    @property
    def remedy(self) -> str:
        """What to lower where it diverges, as a sentence."""
        instead = "" if self.variant.stage1.precision == "32" else ", or use --precision 32"
        return f"Lower --lr, now {self.variant.stage1.lr:g}{instead}."

    @property
    def memory_remedy(self) -> str:
        """What to lower where the memory of a GPU is too small, as a sentence."""
        return memory_remedy(self.variant, self.parts)

    def look_before(self) -> EpochRow:
        """What the validation studies tell of the networks before the first step."""
        every = self.variant.stage1.monitor_every
        return self.validate() if self.validate and every else {}

    def look(self) -> EpochRow:
        """The collapse monitors, and when they are due LiDAR and the validation studies."""
        row = collapse(self.seen)
        every, epoch = self.variant.stage1.monitor_every, self.epoch + 1
        if every and (epoch % every == 0 or epoch == self.epochs):
            row |= discrimination(self.seen, list(self.parts.branches.widths))
            with self._as_kept():
                row |= self.validate() if self.validate else {}
                row |= self._judge(row) if self.stops_early else {}
        return row

    def _as_kept(self) -> AbstractContextManager[None]:
        """The networks as the average of their weights, where there is one."""
        return self.average.shown_in(self.networks) if self.average else nullcontext()

    def _judge(self, row: EpochRow) -> EpochRow:
        """Whether this look is the best one, as columns of metrics.csv."""
        rank = self.variant.stage1.stop_on == "rank"
        judged = {} if rank else {"val_loss": self.validation_loss()}
        value = mean_rank(row) if rank else judged["val_loss"]
        keep_if_best(self.extra, value, self.epoch + 1, self.networks)
        return {**judged, "best_epoch": self.extra["best_epoch"]}

    @torch.no_grad()
    def validation_loss(self) -> float:
        """The mean loss of the validation studies, in eval mode, always on the same random views.

        What objectives remember of batches stays as it was.
        """
        total, count, seen = 0.0, 0, self.seen
        devices = [self.device] if self.device.type == "cuda" else []
        self.eval()
        try:
            with unchanged(self.networks), torch.random.fork_rng(devices):
                torch.manual_seed(seed_for("validation", self.seed))
                for batch in self.held_out:
                    self.seen = {}
                    terms = self.terms(batch.to(self.device))
                    if terms:
                        total += len(batch.index) * float(sum(terms.values()))
                        count += len(batch.index)
        finally:
            self.train()
            self.seen = seen
        return total / count if count else math.nan

    @property
    def ended(self) -> bool:
        """Whether no epoch is left, or the looks have not become better for too long."""
        return super().ended or has_stopped(self.extra, self.variant.stage1)

    def keep_chosen(self) -> int:
        """Puts the weights of the best look, or the average, into the networks.

        Returns:
            The number of the epoch that they are from, from 1.
        """
        if self.extra.get("best_epoch"):
            self.networks.load_state_dict(self.extra["best_state"])
            return int(self.extra["best_epoch"])
        if self.average:
            self.average.put_into(self.networks)
        return self.epochs

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Moves the average of the weights."""
        if self.average:
            self.average.update(self.networks, self.step(batch_idx))

    @torch.no_grad()
    def _told(
        self,
        views: Mapping[str, list[Tensor]],
        labels: Mapping[str, Tensor],
        maps: Mapping[str, list[Tensor]],
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """What EMA encoders and teachers say of views, {objective: {modality: keywords}}."""
        told: dict[str, dict[str, dict[str, Any]]] = {}
        for name in self.targets:
            slow = self.encoder.encode(views, self._slow_encoders(name)).features
            told[name] = {modality: {"targets": rows} for modality, rows in slow.items()}
        micro = self.variant.stage1.micro_batch
        for name, teachers in self.parts.teachers.items():
            for modality, own in views.items():
                teacher = teachers[modality]
                lesson = teacher.tell(own, labels[modality], micro)
                lesson |= {"maps": maps.get(modality, [])} if teacher.shows_maps else {}
                told.setdefault(name, {})[modality] = lesson
        return told

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """The batch with the views that are made on this device; see `--views-on`."""
        return batch.make_views(self.parts.branches.modalities)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The weighted sum of all terms.

        Raises:
            TrainingError: a term is not finite; it is named.
        """
        progress = self.progress(batch_idx)
        self._before_step(progress)
        settings = self.variant.stage1
        self.set_rate(settings.schedule, self.step(batch_idx), settings.warmup_epochs)
        terms = self.terms(batch)
        self.keep_terms(terms, f" (studies at {host_values(batch.index)[:8].tolist()}…)")
        if not terms:
            # No two studies share a modality: a zero with gradient keeps the optimiser content.
            return 0 * next(p for p in self.networks.parameters() if p.requires_grad).sum()
        return torch.stack(list(terms.values())).sum()

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted loss terms of a batch by name; none where no two studies share a modality."""
        # A modality that fewer than two studies have cannot be contrasted in this batch.
        present = {n: at_least(mask, 2) for n, mask in batch.present.items()}
        views = {
            n: [rows_of(view, mask) for view in batch.views[n]]
            for n, mask in present.items()
            if count_present(mask)
        }
        encoded = self.encoder.encode(views, self.parts.branches.backbones, self.mapped)
        features, whole = encoded.features, self._global(views)
        labels = {name: rows_of(batch.labels, present[name]) for name in views}
        told = self._told(whole, labels, self._global(encoded.maps))
        with torch.autocast(self.device.type, enabled=False):
            groups = {name: rows_of(batch.group, present[name]) for name in features}
            terms = self._terms_within(features, told, groups)
            terms |= self._terms_across(self._global(features), present, batch)
        return terms

    def _global(self, views: Mapping[str, list[Tensor]]) -> dict[str, list[Tensor]]:
        """The views, or their features, without the local ones, which come last."""
        modalities = self.parts.branches.modalities
        return {name: modalities[name].global_views(own) for name, own in views.items()}

    def _terms_within(
        self,
        features: Mapping[str, list[Tensor]],
        told: Mapping[str, Mapping[str, Mapping[str, Any]]],
        groups: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for name, by_modality in self.parts.objectives.items():
            for modality, objective in by_modality.items():
                if modality not in features:
                    continue
                keywords = told.get(name, {}).get(modality, {})
                rows = features if objective.wants_local else self._global(features)
                losses = objective(rows[modality], group=groups[modality], **keywords)
                terms |= {_term(name, modality, term): value for term, value in losses.items()}
        for modality, views in features.items():
            self._remember(modality, views)
        return terms

    def _terms_across(
        self,
        features: Mapping[str, list[Tensor]],
        present: Mapping[str, Tensor],
        batch: Batch,
    ) -> dict[str, Tensor]:
        if not self.parts.crossings or not features:
            return {}
        count = len(next(iter(features.values())))
        whole = {
            name: _among_all(features[name], present[name])
            if name in features
            else self._zeros(name, present[name], count)
            for name in present
        }
        streams = self.parts.branches.streams(whole, present)
        real = self.parts.branches.fusion.stream_present(present)
        everywhere = in_all(list(real.values()))
        for name, views in streams.items():
            self._remember(f"{name}*", [rows_of(view, everywhere) for view in views])
        terms: dict[str, Tensor] = {}
        for name, objective in self.parts.crossings.items():
            losses = objective(streams, present=real, group=batch.group)
            terms |= {_term(name, term, "loss"): value for term, value in losses.items()}
        return terms

    def _zeros(self, modality: str, present: Tensor, views: int) -> list[Tensor]:
        width = self.parts.branches.widths[modality]
        return [torch.zeros(len(present), width, device=self.device) for _ in range(views)]

    def compile_backbones(self, backend: str = "inductor") -> None:
        """Runs the backbones and their EMA encoders through torch.compile from now on.

        In place: the names of their weights stay, and so do checkpoints.
        """
        slow = [self._slow_encoders(name) for name in self.targets]
        for networks in (self.parts.branches.backbones, *slow):
            for _, network in networks.items():
                network.compile(backend=backend)

    def _slow_encoders(self, objective: str) -> NamedModules:
        """The EMA encoders of an objective by modality."""
        encoders = self.targets[objective]
        assert isinstance(encoders, NamedModules)
        return encoders

    def _before_step(self, progress: float) -> None:
        for name, by_modality in self.parts.objectives.items():
            for modality, objective in by_modality.items():
                objective.before_step(progress)
                if name in self.targets and progress > 0:
                    online = self.parts.branches.backbones[modality]
                    objective.update_target(online, self._slow_encoders(name)[modality], progress)
        for objective in self.parts.crossings.values():
            objective.before_step(progress)

    def _remember(self, name: str, views: list[Tensor], limit: int = 256) -> None:
        """Keeps the newest rows for the monitors, at most about `limit`."""
        kept = self.seen.setdefault(name, [])
        kept.append([view.detach() for view in views[:2]])
        while len(kept) > 1 and sum(len(views[0]) for views in kept[1:]) >= limit:
            kept.pop(0)

    def on_fit_start(self) -> None:
        """Prepares the teachers, which are no part of the module and of its checkpoints."""
        if self.teach and self.parts.teachers:
            self.teach(self.device)

    def on_train_epoch_start(self) -> None:
        """Seeds this epoch, and forgets what was seen in the one before."""
        super().on_train_epoch_start()
        self.seen = {}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser over everything that learns, in groups; see `weight_groups`."""
        settings = self.variant.stage1
        return optimiser(
            settings.optimiser,
            weight_groups(self.parameters(), self.parts.branches.backbones, settings),
            settings.betas,
            settings.eps,
            settings.weight_decay,
            self.optimiser_state,
        )


def _among_all(views: list[Tensor], present: Tensor) -> list[Tensor]:
    """Rows of the present studies put back among zeros, (B, D) each."""
    if count_present(present) == len(present):
        return views
    return [among_zeros(view, present) for view in views]


def _term(objective: str, owner: str, term: str) -> str:
    return f"{objective}/{owner}" if term == "loss" else f"{objective}/{owner}/{term}"


def memory_remedy(variant: Variant, parts: Stage1) -> str:
    """What to lower where the memory is too small for stage 1, as a sentence."""
    size, batch = variant.image_size, variant.stage1.batch_size
    micro = variant.stage1.micro_batch or batch
    lower = f"Set --micro-batch below {micro}" if micro > 2 else ""
    lower += f"{', or lower' if lower else 'Lower'} --batch-size, now {batch}, or --image-size, now {size}"
    saving = [f"-o {option}=true" for option in checkpointing_options(variant, parts)]
    return f"{lower}{''.join(f', or set {option}' for option in saving)}."


def checkpointing_options(variant: Variant, parts: Stage1) -> list[str]:
    """The options of backbones by which they keep less for their gradients, "timm.NAME"."""
    providers = [
        provider_and_model(variant, name)[0]
        for name, backbone in parts.branches.backbones.items()
        if "grad_checkpointing" in options_of(type(backbone))
    ]
    return [f"{provider}.grad_checkpointing" for provider in dict.fromkeys(providers)]


def steps_per_epoch(setup: Setup) -> int:
    """The optimiser steps of an epoch, in each process."""
    machine = setup.variant.machine
    return len(_batches(setup, 0, machine.devices * machine.num_nodes, 0))


def build(setup: Setup, variant: Variant, teachers: Teachers) -> Stage1:
    """Networks and losses of stage 1 at their start.

    Args:
        setup: for its modalities.
        variant: that of the setup, or the same without weights that come from elsewhere.
        teachers: of the objectives that want one.
    """
    # Weights depend on the seed alone, whatever ran before in this process.
    torch.manual_seed(seed_for("networks", variant.seed))
    return build_stage1(variant, setup.pool.modalities, teachers)


def train(setup: Setup, parts: Stage1, resumed: dict[str, Any] | None) -> int:
    """Trains what is left of stage 1.

    Returns:
        The number of the epoch that the networks are from, from 1.

    Raises:
        Interrupted, TrainingError: as `fit` does.
    """
    variant, views, names = setup.variant, setup.views_of_stage1, list(setup.pool.modalities)
    first = resumed["epochs_done"] if resumed else 0
    steps = steps_per_epoch(setup)
    validate = validation(setup, parts.branches)
    teach = partial(prepare_teachers, setup, parts.teachers)
    module = MultiModalSSL(parts, variant, steps, validate, teach)
    if variant.stage1.stop_on == "loss":
        shown = dataclasses.replace(setup, cases=list(setup.pool.cases["val"])).views
        module.held_out = eval_loader(shown, variant.stage1.batch_size, names, epoch=0)
    renew = StudyClusters(setup, parts.branches, module) if variant.samples_clusters else None
    if resumed:
        checkpoints.resume(module, resumed, setup.run.last)
        setup.reporter.say(f"resume   after epoch {first} of {variant.stage1.epochs}")
    if variant.machine.compile and torch.cuda.is_available():
        module.compile_backbones()
    elif variant.machine.compile:
        setup.reporter.say("note     --compile is for GPUs, and changes nothing here")

    def loader(rank: int, world: int) -> Any:
        batches = _batches(setup, rank, world, first, renew)
        return train_loader(views, batches, names, setup.workers)

    fit(module, setup.training(precision(setup, parts)), loader)
    epoch = module.keep_chosen()
    if module.stops_early:
        best = f"{variant.stage1.stop_on} {module.extra['best']:.4g}, the best look"
        setup.reporter.say(f"keep     the networks after epoch {epoch}: {best}")
    return epoch


def write(setup: Setup, parts: Stage1, epochs: int) -> None:
    """Writes `mmssl.ckpt` and the model of stage 1 after so many epochs."""
    networks = modules(parts).state_dict()
    facts = setup.facts("mmssl", epochs)
    checkpoints.write_stage(setup.run, setup.run.mmssl, networks, facts)


def precision(setup: Setup, parts: Stage1) -> str:
    """The precision of stage 1, as Lightning names it."""
    size = smallest_view(setup.pool.modalities)
    return resolved_precision(setup.variant.stage1.precision, modules(parts), size)


def _batches(
    setup: Setup, rank: int, world: int, first: int, renew: StudyClusters | None = None
) -> EpochBatches:
    """The order of the batches of one process."""
    variant = setup.variant
    return EpochBatches(
        len(setup.cases),
        variant.stage1.batch_size,
        variant.seed,
        draw=draw_of(setup, renew),
        last=variant.stage1.last_batch,
        pad_to=variant.stage1.pad_to,
        rank=rank,
        world=world,
        first_epoch=first,
    )

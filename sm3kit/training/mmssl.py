"""Stage 1, multi-modality self-supervised learning: one LightningModule for every row."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from sm3kit.core.variant import Variant
from sm3kit.data.batches import Batch
from sm3kit.modalities.base import Modality
from sm3kit.networks.assemble import Stage1, modules
from sm3kit.nn.finite import listed, not_finite
from sm3kit.nn.named_modules import NamedModules
from sm3kit.nn.precision import full_precision
from sm3kit.training.divergence import diverged
from sm3kit.training.optimiser import adamw


class MultiModalSSL(pl.LightningModule):
    """Encodes each modality, asks each objective, and adds the terms.

    Source: Wang et al. 2025, section 3.2, equation 5.

    Args:
        parts: networks and losses.
        variant: optimiser settings and seed.
        modalities: {modality: how raw views are normalised}.
        steps_per_epoch: optimiser steps in an epoch.
        first_epoch: the epoch that a resumed training begins with.
        optimiser_state: what the optimiser remembers of the epochs before.
    """

    stage = "mmssl"

    def __init__(
        self,
        parts: Stage1,
        variant: Variant,
        modalities: Mapping[str, Modality],
        steps_per_epoch: int,
        first_epoch: int = 0,
        optimiser_state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.parts, self.variant, self.modalities = parts, variant, modalities
        self.steps_per_epoch, self.first_epoch = steps_per_epoch, first_epoch
        self.optimiser_state = optimiser_state
        self.rate = variant.lr
        self.networks = modules(parts)
        self.targets = NamedModules(
            {
                name: NamedModules({m: _frozen_copy(parts.backbones[m]) for m in each})
                for name, each in parts.objectives.items()
                if next(iter(each.values())).wants_target
            }
        )
        # What the monitors look at, (modality or stream) -> views of the last steps.
        self.seen: dict[str, list[list[Tensor]]] = {}
        self.last_terms: dict[str, Tensor] = {}
        self.extra: dict[str, Any] = {}

    @property
    def epoch(self) -> int:
        """The epoch since the very beginning, from 0."""
        return self.first_epoch + self.current_epoch

    @property
    def epochs(self) -> int:
        """How many epochs there are in all."""
        return self.variant.epochs

    @property
    def remedy(self) -> str:
        """What to lower where it diverges, as a sentence."""
        instead = "" if self.variant.precision == "32" else ", or take --precision 32"
        return f"Lower --lr, now {self.variant.lr:g}{instead}."

    def total(self, terms: dict[str, float]) -> float:
        """The loss that the mean terms of an epoch add up to."""
        return sum(terms.values())

    def encode(
        self, views: Mapping[str, list[Tensor]], networks: Mapping[str, nn.Module]
    ) -> dict[str, list[Tensor]]:
        """Features {modality: [(B, D)] * V} in float32.

        As in the released code, each view is a batch of B rows for the batch norm of the backbone,
        unless `join_views` makes one of V * B rows.
        """
        if self.variant.join_views:
            joined = {
                name: self._features(name, torch.cat(each), networks[name])
                for name, each in views.items()
            }
            return {name: list(rows.chunk(len(views[name]))) for name, rows in joined.items()}
        return {
            name: [self._features(name, view, networks[name]) for view in each]
            for name, each in views.items()
        }

    def _features(self, modality: str, raw: Tensor, network: nn.Module) -> Tensor:
        images = self.modalities[modality].normalise(raw)
        if self.variant.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return full_precision(network(images))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The weighted sum of all terms.

        Raises:
            TrainingError: a term is not finite; it is named.
        """
        progress = self._progress(batch_idx)
        self._before_step(progress)
        self._set_rate(progress)
        # A modality that fewer than two studies have cannot be contrasted in this batch.
        present = {n: p & (p.sum() > 1) for n, p in batch.present.items()}
        views = {n: [v[present[n]] for v in batch.views[n]] for n in present if present[n].any()}
        features = self.encode(views, self.parts.backbones)
        with torch.no_grad():
            slow = {name: self.encode(views, self._slow(name)) for name in self.targets}
        with torch.autocast(self.device.type, enabled=False):
            groups = {name: batch.group[present[name]] for name in features}
            terms = self._terms_within(features, slow, groups)
            terms |= self._terms_across(features, present, batch)
        self._check_finite(terms, batch)
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        if not terms:
            # No two studies share a modality: a zero with gradient keeps the optimiser content.
            return 0 * self._anything()
        return torch.stack(list(terms.values())).sum()

    def _terms_within(
        self,
        features: Mapping[str, list[Tensor]],
        slow: Mapping[str, Mapping[str, list[Tensor]]],
        groups: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for name, each in self.parts.objectives.items():
            for modality, objective in each.items():
                if modality not in features:
                    continue
                targets = slow[name][modality] if name in slow else None
                found = objective(features[modality], targets, group=groups[modality])
                terms |= {_term(name, modality, t): value for t, value in found.items()}
        for modality, each_view in features.items():
            self._remember(modality, each_view)
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
            name: _scattered(features[name], present[name])
            if name in features
            else self._absent(name, present[name], count)
            for name in present
        }
        streams = self.parts.fusion(whole, present)
        real = self.parts.fusion.stream_present(present)
        everywhere = torch.stack(list(real.values())).all(dim=0)
        for name, views in streams.items():
            self._remember(f"{name}*", [view[everywhere] for view in views])
        terms: dict[str, Tensor] = {}
        for name, objective in self.parts.crossings.items():
            found = objective(streams, present=real, group=batch.group)
            terms |= {_term(name, t, "loss"): value for t, value in found.items()}
        return terms

    def _absent(self, modality: str, present: Tensor, views: int) -> list[Tensor]:
        width = self.parts.fusion.widths[modality]
        return [torch.zeros(len(present), width, device=self.device) for _ in range(views)]

    def _slow(self, objective: str) -> dict[str, nn.Module]:
        """The EMA encoders of an objective by modality."""
        encoders = self.targets[objective]
        assert isinstance(encoders, NamedModules)
        return dict(encoders.items())

    def _anything(self) -> Tensor:
        """A number with gradient, for a batch in which nothing could be compared."""
        return next(p for p in self.networks.parameters() if p.requires_grad).sum()

    def _check_finite(self, terms: Mapping[str, Tensor], batch: Batch) -> None:
        bad = not_finite(terms)
        if bad:
            where = f"(studies at {batch.index[:8].tolist()}…)"
            raise diverged(self, f"The loss term {listed(bad)} {where} is")

    def _before_step(self, progress: float) -> None:
        for name, each in self.parts.objectives.items():
            for modality, objective in each.items():
                objective.before_step(progress)
                if name in self.targets and progress > 0:
                    online = self.parts.backbones[modality]
                    objective.update_target(online, self._slow(name)[modality], progress)
        for objective in self.parts.crossings.values():
            objective.before_step(progress)

    def _set_rate(self, progress: float) -> None:
        """The learning rate follows from the progress alone, so a resumed run needs no scheduler."""
        if self.variant.schedule == "constant":
            return
        share = (1 + math.cos(math.pi * progress)) / 2
        self.rate = self.variant.lr * share
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["initial_lr"] * share

    def _progress(self, batch_idx: int) -> float:
        total = max(self.variant.epochs * self.steps_per_epoch - 1, 1)
        return min((self.epoch * self.steps_per_epoch + batch_idx) / total, 1.0)

    def _remember(self, name: str, views: list[Tensor], limit: int = 256) -> None:
        """Keeps the newest rows for the monitors, at most about `limit`."""
        kept = self.seen.setdefault(name, [])
        kept.append([view.detach() for view in views[:2]])
        while len(kept) > 1 and sum(len(views[0]) for views in kept[1:]) >= limit:
            kept.pop(0)

    def on_train_epoch_start(self) -> None:
        """Seeds this epoch by its number, so that a resumed one sees the same random numbers."""
        seed = self.variant.seed * 1_000_003 + self.epoch
        torch.manual_seed(seed + 500_000_003 * self.global_rank)
        self.seen = {}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over everything that learns, the backbones and the rest each at its own rate."""
        v = self.variant
        of_backbones = {id(p) for p in self.networks["backbones"].parameters()}
        learning: dict[float, list[nn.Parameter]] = {}
        for weight in self.parameters():
            if weight.requires_grad:
                rate = v.lr if id(weight) in of_backbones else v.head_lr or v.lr
                learning.setdefault(rate, []).append(weight)
        return adamw(learning, v.betas, v.eps, v.weight_decay, self.optimiser_state)


def _frozen_copy(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).requires_grad_(False)


def _scattered(views: list[Tensor], present: Tensor) -> list[Tensor]:
    """Rows of the present studies put back among zeros, (B, D) each."""
    if bool(present.all()):
        return views
    rows = present.nonzero(as_tuple=True)
    return [view.new_zeros(len(present), view.shape[1]).index_put(rows, view) for view in views]


def _term(objective: str, owner: str, term: str) -> str:
    return f"{objective}/{owner}" if term == "loss" else f"{objective}/{owner}/{term}"

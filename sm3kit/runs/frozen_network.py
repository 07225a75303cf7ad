"""A network that is there already, by one word: a run, a classifier, a model, or a weight file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sm3kit.backbones.base import Backbone
from sm3kit.core.errors import SM3Error, UnknownName, VariantError
from sm3kit.core.names import unknown
from sm3kit.core.options import options_of
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.data.pool import Pool, build_modality
from sm3kit.data.viewing import spec_of
from sm3kit.modalities.base import Modality
from sm3kit.networks.backbone import (
    DEFAULT_PROVIDER,
    provider_and_model,
    tried_backbone,
    try_view,
)
from sm3kit.runs.folder import FineTuned, RunFolder
from sm3kit.runs.model import TrainedModel

WORDS = "RUN, RUN/eval/finetune-test.safetensors, timm/resnet50, or a weight file"


@dataclass(frozen=True)
class Source:
    """Where a frozen network comes from; what it names is read once.

    Attributes:
        word: a run, the file of a fine-tuned classifier, `provider/model`, or a weight file.
        backbone: the model of a weight file; empty takes that of the modality.
        where: the option that says so, for messages.
    """

    word: str
    backbone: str
    where: str

    @property
    def is_model(self) -> bool:
        """Whether it is a model of a provider; a folder or a file of that name goes first."""
        provider = provider_of(self.word)
        return not os.path.lexists(self.word) and provider in registry("backbones").names()

    @cached_property
    def tuned(self) -> FineTuned | None:
        """The fine-tuned classifier that it is, if it is one."""
        return FineTuned.read(Path(self.word))

    @cached_property
    def run(self) -> TrainedModel | None:
        """The run that it is, or that its classifier belongs to.

        Raises:
            SM3Error: there is none in the folder.
        """
        tuned = self.tuned
        if tuned:
            return tuned.run()
        return RunFolder(Path(self.word)).trained() if Path(self.word).is_dir() else None


@dataclass(frozen=True)
class FrozenNetwork:
    """A network that is not trained, for the images of one modality.

    Attributes:
        backbone: the network.
        modality: how views are made and normalised for it.
        described: the variant, of which the backbone, the options of its provider and those of the
            modality are the network's.
    """

    backbone: Backbone
    modality: Modality
    described: Variant


def open_network(
    source: Source, variant: Variant, pool: Pool, name: str, *, fetch: bool
) -> FrozenNetwork:
    """The network of a source for one modality, which has taken a view of it.

    Args:
        source: where it comes from.
        variant: of the run that wants it; its sizes hold.
        pool: the data.
        name: of the modality.
        fetch: load ImageNet weights, which may have to be fetched.

    Raises:
        SM3Error: there is no such network, or it does not fit the data.
    """
    word, where = source.word, source.where
    trained = source.run
    if trained:
        backbone = _of_run(trained, name, pool, where, source.tuned)
        return _described(backbone, trained.variant, variant, pool, name)
    if not os.path.lexists(word) and not source.is_model:
        known = registry("backbones").names()
        said = unknown("backbone provider", provider_of(word), known)
        raise VariantError(f"{where}: there is no such run or file. {said}")
    model, weights = source.backbone or variant.of(name, "backbone"), word
    if source.is_model:
        model, weights = word, "imagenet" if fetch else "none"
    changes = {"per_modality": {name: {"backbone": model, "weights": weights}}}
    changed = _without_student_options(variant.changed(changes, where), name)
    try:
        backbone = tried_backbone(changed, name, pool.modalities[name], local_views=False)
    except UnknownName as error:
        raise VariantError(f"{where}: there is no such run or file. {error}") from error
    provider, own = provider_and_model(changed, name)
    wanted = registry("backbones").get(provider).normalisation(own, weights)
    if wanted is None:
        return FrozenNetwork(backbone, pool.modalities[name], changed)
    norm = {name: {"mean": list(wanted[0]), "std": list(wanted[1])}}
    options = {provider: changed.options.get(provider, {}), **norm}
    return _described(backbone, dataclasses.replace(changed, options=options), variant, pool, name)


def weights_to_fetch(sources: Iterable[Source]) -> list[str]:
    """Where the ImageNet weights come from, of those sources that may have to be fetched."""
    providers = [registry("backbones").get(provider_of(s.word)) for s in sources if s.is_model]
    return [provider.imagenet_weights for provider in providers if provider.imagenet_weights]


def provider_of(word: str) -> str:
    """The provider of a model."""
    return word.rpartition("/")[0] or DEFAULT_PROVIDER


def _described(
    backbone: Backbone, own: Variant, variant: Variant, pool: Pool, name: str
) -> FrozenNetwork:
    """A network whose views are normalised as a variant of its own says."""
    spec, provider = spec_of(pool, name), provider_and_model(own, name)[0]
    known = options_of(registry("modalities").get(spec.plugin))
    said = {**own.options.get(spec.plugin, {}), **own.options.get(name, {})}
    views: dict[str, Any] = {option: value for option, value in said.items() if option in known}
    modality = build_modality(name, spec, pool.modalities[name].image_size, {name: views})
    settings = {"backbone": own.of(name, "backbone"), "weights": "none"}
    settings |= {"image_size": variant.of(name, "image_size")}
    described = dataclasses.replace(
        variant,
        per_modality={name: settings},
        options={provider: own.options.get(provider, {}), name: views},
    )
    return FrozenNetwork(backbone, modality, described)


def _without_student_options(variant: Variant, name: str) -> Variant:
    """The variant without what the backbone of a modality is told of how a student learns."""
    provider, _ = provider_and_model(variant, name)
    left_out = registry("backbones").get(provider).student_options
    own = variant.options.get(provider, {})
    kept = {option: value for option, value in own.items() if option not in left_out}
    return dataclasses.replace(variant, options={**variant.options, provider: kept})


def _of_run(
    trained: TrainedModel, name: str, pool: Pool, where: str, tuned: FineTuned | None
) -> Backbone:
    """The backbone of a modality in a run, with its fine-tuned weights if there are some."""
    modality = pool.modalities[name]
    if name not in trained.channels:
        raise VariantError(
            f"{where}: that run has networks for {', '.join(trained.channels)}, and the data have "
            f"{', '.join(pool.modalities)}. Choose among them with --modality, or rename one with "
            "--map."
        )
    if trained.channels[name] != modality.channels:
        raise VariantError(
            f"{where}: its images of {name} have {trained.channels[name]} channels, and those of "
            f"the data {modality.channels}. Give another teacher."
        )
    backbone = trained.network(name)
    if tuned:
        trained.load(backbone, tuned.backbone(name), f"{name} in {tuned.file.name}")
    try:
        try_view(backbone, modality.shape)
    except Exception as error:  # Each network stumbles over a wrong size in its own way.
        if isinstance(error, SM3Error):
            raise
        _, height, width = modality.shape
        raise VariantError(
            f"{where} does not accept the views of {name}, {height} x {width} pixels. Give its "
            f"--image-size, {trained.variant.of(name, 'image_size')}, or another teacher."
        ) from error
    return backbone

"""Who teaches the objectives of a run: a run, a fine-tuned classifier, a model, or a weight file."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import torch

from sm3kit.backbones.base import Backbone
from sm3kit.core.errors import SM3Error, UnknownName, VariantError
from sm3kit.core.names import unknown
from sm3kit.core.options import options_of
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.data.batches import StudyViews
from sm3kit.data.pool import Pool, build_modality
from sm3kit.data.viewing import spec_of
from sm3kit.modalities.base import Modality
from sm3kit.networks.assemble import Teachers
from sm3kit.networks.backbone import (
    DEFAULT_PROVIDER,
    provider_and_model,
    tried_backbone,
    try_view,
)
from sm3kit.networks.teacher import Teacher, fit_heads, labels_to_teach
from sm3kit.runs.folder import FineTuned, RunFolder
from sm3kit.runs.model import TrainedModel
from sm3kit.training.preparation import Setup


def open_teachers(setup: Setup, *, fetch: bool) -> Teachers:
    """The teacher of each objective that wants one, for each modality; their heads are not fitted.

    Args:
        setup: names and studies; without a stage 1 to train there is nothing to teach.
        fetch: load ImageNet weights, which may have to be fetched.

    Raises:
        SM3Error: there is no such teacher, or it does not fit the data.
    """
    variant = setup.variant
    if variant.stage == "mlssl" or not variant.stage1.epochs:
        return {}
    names = [n for n in variant.objective if registry("objectives").get(n).wants_teacher]
    for name in names:
        if registry("objectives").get(name).wants_labels:
            _check_splits(setup, name)
    modalities = list(setup.pool.modalities)
    return {name: {m: _open(setup, name, m, fetch=fetch) for m in modalities} for name in names}


def teacher_sources(variant: Variant, teachers: Teachers) -> list[str]:
    """Where the ImageNet weights of teachers come from, of those that may have to be fetched."""
    words = [str(variant.options[name]["teacher"]) for name in teachers]
    providers = [registry("backbones").get(_provider(word)) for word in words if _is_model(word)]
    return [provider.imagenet_weights for provider in providers if provider.imagenet_weights]


def prepare_teachers(setup: Setup, teachers: Teachers, device: torch.device) -> None:
    """Brings teachers to a device, and fits their heads to the training studies."""
    every = [pair for own in teachers.values() for pair in own.items()]
    shown = StudyViews(setup.pool, setup.cases, setup.images, setup.variant.seed)
    fit_heads(shown, every, device, setup.variant.stage1.batch_size, setup.workers)


def teacher_caveats(variant: Variant, teachers: Teachers) -> list[str]:
    """What a user should know of what teachers saw in their own training, a sentence each."""
    caveats = []
    for word in dict.fromkeys(str(variant.options[name]["teacher"]) for name in teachers):
        tuned = FineTuned.read(Path(word))
        if tuned and tuned.leaky:
            caveats.append(
                f"{word} was chosen on the split that it was measured on; so is its student"
            )
        if tuned or Path(word).is_dir():
            trained = tuned.run() if tuned else RunFolder(Path(word)).trained()
            others = [split for split in trained.variant.splits if split != "train"]
            if others:
                caveats.append(
                    f"{word} was trained on the split {', '.join(others)}, too, of "
                    f"{', '.join(trained.variant.data)}; where these are your data, its student "
                    "knows of them"
                )
    return caveats


def _check_splits(setup: Setup, objective: str) -> None:
    splits = setup.variant.splits
    if splits != ("train",) and any(max(case.labels, default=-1) >= 0 for case in setup.cases):
        raise VariantError(
            f"The objective {objective!r} learns from labels, and splits={','.join(splits)} would "
            "show it those that results are chosen by or measured on. Use the split train alone."
        )


def _open(setup: Setup, objective: str, name: str, *, fetch: bool) -> Teacher:
    variant, pool, options = setup.variant, setup.pool, setup.variant.options[objective]
    component = registry("objectives").get(objective)
    word = str(options["teacher"])
    own = str(options["teacher_backbone"]) or variant.of(name, "backbone")
    where = f"-o {objective}.teacher={word}"
    if not word:
        raise VariantError(
            f"The objective {objective!r} learns from a teacher. Give one: -o {objective}.teacher="
            "RUN, RUN/eval/finetune-test.safetensors, timm/resnet50, or a weight file."
        )
    tuned = FineTuned.read(Path(word))
    if tuned or Path(word).is_dir():
        trained = tuned.run() if tuned else RunFolder(Path(word)).trained()
        if tuned and component.wants_labels:
            _check_classes(tuned, pool, where)
        backbone = _of_run(trained, name, pool, where, tuned)
        modality = _normalised_as(trained.variant, pool, name)
    elif os.path.lexists(word) or _is_model(word):
        model, weights = (word, "imagenet" if fetch else "none") if _is_model(word) else (own, word)
        changes = {"per_modality": {name: {"backbone": model, "weights": weights}}}
        changed = _without_student_options(variant.changed(changes, where), name)
        try:
            backbone = tried_backbone(changed, name, pool.modalities[name], local_views=False)
        except UnknownName as error:
            raise VariantError(f"{where}: there is no such run or file. {error}") from error
        modality = _normalised_by_weights(changed, pool, name, weights)
    else:
        known = registry("backbones").names()
        said = unknown("backbone provider", _provider(word), known)
        raise VariantError(f"{where}: there is no such run or file. {said}")
    if not component.wants_labels:
        return Teacher(backbone, modality, shows_maps=component.wants_maps)
    taught = labels_to_teach(pool, setup.cases, name)
    return Teacher(backbone, modality, *taught, shows_maps=component.wants_maps)


def _without_student_options(variant: Variant, name: str) -> Variant:
    """The variant without what the backbone of a modality is told of how a student learns."""
    provider, _ = provider_and_model(variant, name)
    left_out = registry("backbones").get(provider).student_options
    own = variant.options.get(provider, {})
    kept = {option: value for option, value in own.items() if option not in left_out}
    return dataclasses.replace(variant, options={**variant.options, provider: kept})


def _is_model(word: str) -> bool:
    """Whether a teacher is a model of a provider; a folder or a file of that name goes first."""
    return not os.path.lexists(word) and _provider(word) in registry("backbones").names()


def _provider(word: str) -> str:
    return word.rpartition("/")[0] or DEFAULT_PROVIDER


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


def _check_classes(tuned: FineTuned, pool: Pool, where: str) -> None:
    """Refuses a classifier of other labels than the data have, or of other classes."""
    taught = tuned.labels
    known = {label.name: list(label.classes) for label in pool.labels}
    for name in known:
        if name in taught and list(taught[name]) != known[name]:
            raise VariantError(
                f"{where} knows the label {name!r} with the classes {', '.join(taught[name])}, and "
                f"the data have {', '.join(known[name])}. Give a teacher of the same classes."
            )
    if known and not taught.keys() & known.keys():
        raise VariantError(
            f"{where} knows the labels {', '.join(taught)}, and the data have {', '.join(known)}. "
            "Give a teacher of the same labels."
        )


def _normalised_as(variant: Variant, pool: Pool, name: str) -> Modality:
    """The modality as another run set it."""
    spec = spec_of(pool, name)
    known = options_of(registry("modalities").get(spec.plugin))
    said = {**variant.options.get(spec.plugin, {}), **variant.options.get(name, {})}
    own = {option: value for option, value in said.items() if option in known}
    return build_modality(name, spec, pool.modalities[name].image_size, {name: own})


def _normalised_by_weights(variant: Variant, pool: Pool, name: str, weights: str) -> Modality:
    """The modality as the weights of a model want it; else as the student's."""
    provider, model = provider_and_model(variant, name)
    wanted = registry("backbones").get(provider).normalisation(model, weights)
    if wanted is None:
        return pool.modalities[name]
    changes = {"mean": list(wanted[0]), "std": list(wanted[1])}
    other = dataclasses.replace(variant, options={name: changes})
    return _normalised_as(other, pool, name)

"""Who teaches the objectives of a run: a run, a fine-tuned classifier, a model, or a weight file."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from sm3kit.core.errors import VariantError
from sm3kit.core.registry import registry
from sm3kit.core.variant import Variant
from sm3kit.data.batches import StudyViews
from sm3kit.data.pool import Pool
from sm3kit.networks.assemble import Teachers
from sm3kit.networks.teacher import Teacher, fit_heads, labels_to_teach
from sm3kit.runs.folder import FineTuned
from sm3kit.runs.frozen_network import WORDS, Source, open_network
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


def source_of(variant: Variant, objective: str) -> Source:
    """Where the teacher of an objective comes from."""
    word, backbone = (
        str(variant.options[objective][option]) for option in ("teacher", "teacher_backbone")
    )
    return Source(word, backbone, f"-o {objective}.teacher={word}")


def prepare_teachers(setup: Setup, teachers: Teachers, device: torch.device) -> None:
    """Brings teachers to a device, and fits their heads to the training studies."""
    every = [pair for own in teachers.values() for pair in own.items()]
    shown = StudyViews(setup.pool, setup.cases, setup.images, setup.variant.seed)
    fit_heads(shown, every, device, setup.variant.stage1.batch_size, setup.workers)


def teacher_caveats(sources: Iterable[Source], student: str) -> list[str]:
    """What a user should know of what teachers saw in their own training, a sentence each.

    Args:
        sources: where they come from.
        student: who learns from them, for the sentences.
    """
    caveats = []
    for word, source in {source.word: source for source in sources}.items():
        tuned, trained = source.tuned, source.run
        if tuned and tuned.leaky:
            caveats.append(
                f"{word} was chosen on the split that it was measured on; so is {student}"
            )
        others = [] if trained is None else [s for s in trained.variant.splits if s != "train"]
        if trained and others:
            caveats.append(
                f"{word} was trained on the split {', '.join(others)}, too, of "
                f"{', '.join(trained.variant.data)}; where these are your data, {student} knows of "
                "them"
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
    pool, component = setup.pool, registry("objectives").get(objective)
    source = source_of(setup.variant, objective)
    if not source.word:
        raise VariantError(
            f"The objective {objective!r} learns from a teacher. Give one: -o {objective}.teacher="
            f"{WORDS}."
        )
    tuned = source.tuned
    if tuned and component.wants_labels:
        _check_classes(tuned, pool, source.where)
    network = open_network(source, setup.variant, pool, name, fetch=fetch)
    frozen = (network.backbone, network.modality)
    if not component.wants_labels:
        return Teacher(*frozen, shows_maps=component.wants_maps)
    taught = labels_to_teach(pool, setup.cases, name)
    return Teacher(*frozen, *taught, shows_maps=component.wants_maps)


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

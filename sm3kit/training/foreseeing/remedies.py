"""What makes a training fit into the memory, and how much it takes then."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from sm3kit.core.errors import SM3Error
from sm3kit.core.text import in_units
from sm3kit.core.variant import Variant
from sm3kit.data.viewing import change_views
from sm3kit.training import stage1
from sm3kit.training.memory import MemoryNeed, memory_need
from sm3kit.training.start import Start

MICRO_BATCHES = (64, 32, 16, 8, 4, 2)
SIZES = (0.75, 0.5, 0.375, 0.25)  # Of the size of an image.
SMALLEST = 64  # Pixels.


def memory_remedies(start: Start) -> str:
    """What each change would take that makes stage 1 fit, as a sentence.

    Where none does alone, the least that each can take; empty where nothing helps.
    """
    plain = memory_need(start)
    if plain is None:
        return ""
    offers = []
    for changes in _changes(start):
        needs = [(text, need) for text, variant in changes if (need := _need(start, variant))]
        fitting = [offer for offer in needs if offer[1].fits]
        offers += fitting[:1] or needs[-1:]
    helpful = [(text, need) for text, need in offers if need.to_come < 0.9 * plain.to_come]
    enough = [(text, need) for text, need in helpful if need.fits]
    said = [f"{text} about {in_units(need.to_come)}" for text, need in enough or helpful]
    if not said:
        return ""
    said[0] = said[0].replace(" about", " would take about", 1)
    together = "" if enough else "; none is enough alone"
    return f"{', '.join(said)}{together}."


def _changes(start: Start) -> Iterator[Sequence[tuple[str, Variant]]]:
    """For each setting that saves memory, what it may become: the word to add, and the variant."""
    variant = start.setup.variant
    settings = variant.stage1
    studies = settings.micro_batch or min(settings.batch_size, len(start.setup.cases))
    yield [
        (
            f"--micro-batch {size}",
            dataclasses.replace(variant, stage1=dataclasses.replace(settings, micro_batch=size)),
        )
        for size in MICRO_BATCHES
        if size < studies
    ]
    sizes = dict.fromkeys(round(variant.image_size * share / 16) * 16 for share in SIZES)
    yield [
        (f"--image-size {size}", dataclasses.replace(variant, image_size=size))
        for size in sizes
        if SMALLEST <= size < variant.image_size
    ]
    for option in stage1.checkpointing_options(variant, start.parts):
        provider, _, name = option.partition(".")
        options = {**variant.options, provider: {**variant.options.get(provider, {}), name: True}}
        yield [(f"-o {option}=true", dataclasses.replace(variant, options=options))]


def _need(start: Start, variant: Variant) -> MemoryNeed | None:
    """What stage 1 of a changed variant takes; None where it cannot be."""
    setup, parts = start.setup, start.parts
    try:
        if (variant.image_size, variant.options) != (
            setup.variant.image_size,
            setup.variant.options,
        ):
            pool = change_views(setup.pool, variant, {})
            setup = dataclasses.replace(setup, pool=pool)
            parts = stage1.build(setup, variant.without_weights(), parts.teachers)
    except SM3Error:
        return None
    setup = dataclasses.replace(setup, variant=variant)
    return memory_need(dataclasses.replace(start, setup=setup, parts=parts))

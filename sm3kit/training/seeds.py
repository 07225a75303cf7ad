"""Where a training takes its random numbers from: the seed of its run, and what they are for."""

from __future__ import annotations

import numpy as np

# What is added to the seed of a run before something is drawn once.
ONCE = {
    "networks": 0,  # Stage 1: new layers of backbones, objectives and the fusion.
    "statistics": 0,  # Stage 2: the first pass in train mode, as the release has it.
    "relation": 1,
    "bank": 2,  # Stage 2: the first embeddings.
    "validation": 3,  # Stage 1: what losses draw in the validation loss.
}
# What is added to the number of an epoch: no two stages of one seed share the numbers of a step,
# but for the two that learn from labels.
EPOCHS = {"mmssl": 0, "mlssl": 250_000_001, "probe": 750_000_001, "finetune": 750_000_001}
PER_SEED, PER_PROCESS = 1_000_003, 500_000_003


def seed_for(purpose: str, seed: int) -> int:
    """The seed of what is drawn once, by its name in `ONCE`."""
    return seed + ONCE[purpose]


def seed_of_epoch(stage: str, seed: int, epoch: int, rank: int = 0) -> int:
    """The seed of an epoch of a stage, from 0, in a process.

    It depends on nothing that was drawn before, so that a resumed epoch sees the same numbers.
    """
    return seed * PER_SEED + epoch + EPOCHS[stage] + PER_PROCESS * rank


def seed_of_clustering(seed: int, epoch: int, label: int) -> int:
    """The seed of the clusters of the label at a position, in an epoch of a stage."""
    return int(np.random.SeedSequence([seed, epoch, label]).generate_state(1)[0] >> 1)

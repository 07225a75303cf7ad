"""Which variant a run goes on with."""

from __future__ import annotations

import dataclasses

from sm3kit.core.errors import VariantError
from sm3kit.core.variant import Variant
from sm3kit.networks.assemble import fill_in
from sm3kit.runs.folder import RunFolder
from sm3kit.runs.recipes import Layer, laid_over


def variant_to_resume(run: RunFolder, asked: Layer, alone: Variant) -> Variant:
    """The variant to go on with: the run's own, with what may differ taken from the command.

    Args:
        run: an existing run.
        asked: the settings that the command line named.
        alone: the whole variant that the command line alone would give.

    Raises:
        VariantError: the command line asks for another variant than the run's.
    """
    record = run.record()
    record.changed_plugins(str(run.folder))
    stored = fill_in(record.variant)
    wanted = laid_over(stored, [asked])
    if asked.recipes:
        epochs = {
            stage: {"epochs": getattr(wanted, stage).epochs} for stage in ("stage1", "stage2")
        }
        per_modality = {**stored.per_modality, **alone.per_modality}
        wanted = dataclasses.replace(
            alone.changed(epochs, "command line"), stage=wanted.stage, per_modality=per_modality
        )
    wanted = fill_in(wanted)
    if stored.stage == "mmssl":
        stored = with_stage2_of(stored, wanted)
    said = stored.contradiction(wanted)
    if said:
        raise VariantError(
            f"{run.folder} is a run with other settings: {said}. Leave these options out to resume "
            "it, or start a new run with another --out."
        )
    return wanted


def with_stage2_of(stored: Variant, wanted: Variant) -> Variant:
    """A variant that has not come to stage 2, with the stage 2 of another, and its options."""
    owners = {wanted.relation, wanted.clusterer} & wanted.options.keys()
    if stored.samples_clusters:  # Stage 1 has used its clusterer.
        owners -= {stored.clusterer}
    options = {**stored.options, **{owner: wanted.options[owner] for owner in owners}}
    stored = stored.with_stage2_of(wanted)
    return fill_in(dataclasses.replace(stored, stage=wanted.stage, options=options))

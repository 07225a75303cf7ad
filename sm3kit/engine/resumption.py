"""Which variant a run goes on with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sm3kit.core.errors import VariantError
from sm3kit.core.variant import Variant
from sm3kit.engine.assemble import resolved
from sm3kit.engine.run import Run


def resumable(run: Run, asked: Mapping[str, Any], alone: Variant) -> Variant:
    """The variant to go on with: the run's own, with what may differ taken from the command.

    Args:
        run: an existing run.
        asked: the settings that the command line named.
        alone: the whole variant that the command line alone would give.

    Raises:
        VariantError: the command line asks for another variant than the run's.
    """
    stored = resolved(run.read_variant()[0])
    wanted = stored.changed({k: v for k, v in asked.items() if k != "options"}, "command line")
    if asked.get("options"):
        wanted = wanted.changed({"options": asked["options"]}, "command line")
    if asked.get("recipe"):
        wanted = dataclasses.replace(alone, epochs=wanted.epochs)
    wanted = resolved(wanted)
    said = stored.contradiction(wanted)
    if said:
        raise VariantError(
            f"{run.folder} is a run of another variant: {said}. Leave these options out to go "
            "on with it, or train anew with another --out."
        )
    return wanted

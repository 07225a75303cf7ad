"""Libraries that warn of what no user can act on."""

from __future__ import annotations

import functools
import logging
import re
import warnings


@functools.cache
def hush(library: str) -> None:
    """Keeps the warnings and the log of a library from the terminal; once in a process.

    What it warns of is either of no matter, or refused in words of our own.
    """
    warnings.filterwarnings("ignore", module=rf"{re.escape(library)}(\.|$)")
    logging.getLogger(library).setLevel(logging.CRITICAL)

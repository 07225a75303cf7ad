"""Environment variables that hold numbers: libraries read them when they are imported."""

from __future__ import annotations

import os

from sm3kit.core.errors import VariantError

RANKS = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE"),
    *("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS"),
    *("JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE"),
    *("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
)
THREADS = "OMP_NUM_THREADS"


def settle_numbers() -> None:
    """Makes sure that numbers are numbers, before a library reads them; what is empty is unset.

    Raises:
        VariantError: one is something else.
    """
    for name in (*RANKS, THREADS):
        if not os.environ.get(name, "unset").strip():
            del os.environ[name]
        if name in RANKS:
            number(name)
    counts = os.environ.get(THREADS, "1").split(",")  # One for each level of nesting.
    if not all(count.strip().isdecimal() and int(count) for count in counts):
        raise _refusal(THREADS)


def number(name: str, default: int = 0) -> int:
    """A whole number in the environment; the default where there is none.

    Raises:
        VariantError: it is something else.
    """
    text = os.environ.get(name, "")
    try:
        return int(text) if text else default
    except ValueError:
        raise _refusal(name) from None


def looks_launched() -> bool:
    """Whether a launcher seems to have started several processes."""
    return any((os.environ.get(name) or "1") != "1" for name in ("WORLD_SIZE", "SLURM_NTASKS"))


def _refusal(name: str) -> VariantError:
    return VariantError(
        f"The environment variable {name} wants a number, not {os.environ[name]!r}. Run "
        f"`unset {name}` first."
    )

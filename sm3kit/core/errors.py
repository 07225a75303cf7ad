"""The mistakes that a user can make, each answered in one clear line."""

import errno

LONGEST_NAME = 300  # Characters of a path that a message repeats.
ADVICE = {
    errno.ENAMETOOLONG: "A name may have 255 bytes, and a path 4,096. Give a shorter one.",
    errno.ENOSPC: "Free some space, or choose another place.",
    errno.EDQUOT: "Free some space, or choose another place.",
    errno.EROFS: "Choose another place.",
    errno.EACCES: "Choose another place, or ask for the permission.",
    errno.EPERM: "Choose another place, or ask for the permission.",
}


class SM3Error(Exception):
    """Says what was wanted, what came, and what to do next; shown without a traceback."""


class UnknownName(SM3Error):
    """A name that nothing is registered under."""


class NameClash(SM3Error):
    """A name that two distributions, or two registrations, claim."""


class BrokenPlugin(SM3Error):
    """A plugin that is declared but cannot be imported."""


class OptionError(SM3Error):
    """An option that a plugin does not have, or a value of another type."""


class VariantError(SM3Error):
    """Choices that do not go together, or that contradict an existing run."""


class DataError(SM3Error):
    """Data that cannot be read or used as it is."""


class CheckpointError(SM3Error):
    """A checkpoint or weight file that is missing, damaged or of another network."""


class TrainingError(SM3Error):
    """A training that cannot go on."""


class Interrupted(BaseException):
    """The user, or the machine, asked a run to stop; it can go on later.

    No mistake, so no SM3Error, and no Exception either: whoever does without a part that failed
    must not do without the answer to Ctrl-C.
    """


class ContractError(SM3Error):
    """A plugin that breaks a law of its contract."""


def of_system(error: Exception) -> str:
    """What is wrong with a file, as the system says it, and what to do; empty if it is not that."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        name = str(error.filename)
        shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
        return f"Cannot use {shown}: {error.strerror}. {ADVICE.get(error.errno, 'Check the path.')}"
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return "No file can have a NUL in its name. Check the paths that were given."
    return ""

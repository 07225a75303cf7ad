"""The mistakes that a user can make, each answered in one clear line."""


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

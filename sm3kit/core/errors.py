"""The mistakes that a user can make, each answered in one clear line."""

import errno
import re
import unicodedata

SPACE = "Free some disk space, or choose another folder."
PERMISSION = "Choose another folder, or ask for permission."
ADVICE = {
    errno.ENAMETOOLONG: "A file name may have at most 255 bytes, and a path 4,096. Choose a shorter one.",
    errno.ENOSPC: SPACE,
    errno.EDQUOT: SPACE,
    errno.EROFS: "Choose another folder.",
    errno.EACCES: PERMISSION,
    errno.EPERM: PERMISSION,
}
LONGEST_WORD = 300  # Characters without a blank; a cell of a table may be endless.
# Of letters that steer a terminal, break its line, or turn its direction.
STEERING = ("Cc", "Cs", "Zl", "Zp")
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


class SM3Error(Exception):
    """Says what was wanted, what came, and what to do next; shown without a traceback."""

    def __str__(self) -> str:
        """The message in one line that a terminal shows as it is."""
        return one_line(super().__str__())


class UnknownName(SM3Error):
    """A name that nothing is registered under."""


class UnknownKeyword(SM3Error, TypeError):
    """A keyword that a function does not have."""


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


class TimeUp(Interrupted):
    """A run stopped because the time that it was given is up; it can go on later."""


class ContractError(SM3Error):
    """A plugin that breaks a law of its contract."""


def one_line(text: str) -> str:
    """A text in one line: line breaks are blanks, what steers a terminal is written out.

    Words, paths and values that are endless keep their start and their end.
    """
    text = re.sub(r"[\r\n]+", " ", text)
    if any(map(_steers, text)):
        text = "".join(
            letter.encode("unicode_escape").decode() if _steers(letter) else letter
            for letter in text
        )
    return re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: _shorten(word[0]), text)


def _steers(letter: str) -> bool:
    return unicodedata.category(letter) in STEERING or letter in TURNING


def _shorten(word: str) -> str:
    return f"{word[: LONGEST_WORD // 2]}…{word[-LONGEST_WORD // 3 :]}"


def of_system(error: Exception) -> str:
    """What is wrong with a file, as the system says it, and what to do; empty if it is not that."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        advice = ADVICE.get(error.errno or 0, "Check the path.")
        return one_line(f"Cannot use {error.filename}: {error.strerror}. {advice}")
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return "A file name cannot contain a NUL character. Check the paths."
    return ""

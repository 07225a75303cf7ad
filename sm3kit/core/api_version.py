"""The version of what plugin authors import."""

from __future__ import annotations

# Counts changes of a contract that a plugin written for the version before would not survive.
API_VERSION = 1
# The entry-point group in which a distribution says what it was written for: `1 = my_package`.
API_GROUP = "sm3kit.api"
# The constant in which a single file says it: `SM3KIT_API = 1`.
API_CONSTANT = "SM3KIT_API"


def api_mismatch(declared: tuple[str, ...], owner: str) -> str:
    """A sentence on plugins that were written for another version; nothing if they say none.

    Args:
        declared: the versions that they were written for.
        owner: the distribution, or the file.
    """
    if not declared or str(API_VERSION) in declared:
        return ""
    numbers = [int(one) for one in declared if one.isdecimal()]
    newer = bool(numbers) and min(numbers) > API_VERSION
    return (
        f"{owner} was written for version {' and '.join(declared)} of the plugin API, and this "
        f"sm3kit has version {API_VERSION}: it may not work. Upgrade {'sm3kit' if newer else owner}."
    )

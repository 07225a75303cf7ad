"""Distributions that `sm3kit plugins new` writes."""

from sm3kit.authoring.scaffold import LONGEST, plan, write
from sm3kit.core.kinds import KINDS

NOUNS = {kind.noun: family for family, kind in KINDS.items()}


def write_with_longest_names(home):
    """{name: folder} of a new distribution for every family, with the longest of names."""
    folders = {}
    for noun in NOUNS:
        name = f"{noun}_{'x' * (LONGEST - len(noun) - 1)}"
        folders[name] = home / noun
        write(plan(name, noun, folders[name]))
    return folders

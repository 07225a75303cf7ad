"""How a run is begun and evaluated here: without a word, and up to its first step."""

import io

from rich.console import Console
from row_settings import recipe

from sm3kit.data.progress import Reporter
from sm3kit.evaluation.settings import settings_of


class Begun(Exception):
    """A training has come to its first step, which is all that a test wants of it."""


def quiet():
    return Reporter(Console(file=io.StringIO()))


def settings(name="sm3", protocol="probe", after=True, **flags):
    """How a recipe evaluates a run, of stage 2 or not."""
    return settings_of(recipe(name), protocol, flags, relation=after)

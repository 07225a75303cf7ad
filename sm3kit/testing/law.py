"""What a law of a contract is, and how plugins are held to it."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from sm3kit.core.errors import ContractError

T = TypeVar("T")
Plugin = Callable[..., Any]


class Fault(Exception):
    """How a plugin breaks a law, to be read behind its name: "gives no term"."""


class NotTried(Exception):
    """Why a law cannot be tried on a plugin."""


@dataclass(frozen=True)
class Verdict:
    """What came out of one law.

    Attributes:
        law: its name.
        outcome: "ok", "FAILED" or "not tried".
        sentence: the law; the fault of a plugin that breaks it; or why it was not tried.
    """

    law: str
    outcome: Literal["ok", "FAILED", "not tried"]
    sentence: str


@dataclass(frozen=True)
class Law(Generic[T]):
    """One law: its name, its sentence, and what finds out whether it holds.

    Attributes:
        name: a word or two.
        sentence: what holds.
        try_on: raises Fault where it does not.
        first: without it, no other law can be tried.
    """

    name: str
    sentence: str
    try_on: Callable[[T], None]
    first: bool = False


class Laws(Generic[T]):
    """The laws of one contract, in the order in which they are written down."""

    def __init__(self) -> None:
        self.all: list[Law[T]] = []

    def law(self, name: str, *, first: bool = False) -> Callable[[Callable[[T], None]], Any]:
        """A decorator that makes a function a law; its docstring is the sentence."""

        def keep(function: Callable[[T], None]) -> Callable[[T], None]:
            sentence = (inspect.getdoc(function) or "").splitlines()[0]
            self.all.append(Law(name, sentence, function, first))
            return function

        return keep

    def enforce(self, trial: T, plugin: Any, leave_out: Iterable[str] = ()) -> None:
        """Stops at the first law that does not hold; other errors of the plugin go through.

        Args:
            trial: what the laws look at.
            plugin: for its name.
            leave_out: names of laws.

        Raises:
            ContractError: a law does not hold.
        """
        for law in self.all:
            if law.name in leave_out:
                continue
            try:
                law.try_on(trial)
            except Fault as fault:
                raise ContractError(f"{_class_name(plugin)} {fault}.") from None
            except NotTried:
                continue

    def judge(self, trial: T) -> list[Verdict]:
        """Tries every law; whatever a plugin raises is a fault of it."""
        verdicts: list[Verdict] = []
        reason = ""
        for law in self.all:
            verdict = Verdict(law.name, "not tried", reason) if reason else judge(law, trial)
            verdicts.append(verdict)
            if law.first and verdict.outcome == "FAILED":
                reason = f"the law '{law.name}' does not hold"
        return verdicts


def judge(law: Law[T], trial: T) -> Verdict:
    """Tries one law."""
    try:
        law.try_on(trial)
    except Fault as fault:
        return Verdict(law.name, "FAILED", f"It {fault}.")
    except NotTried as reason:
        return Verdict(law.name, "not tried", str(reason))
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        place = _place(error, getattr(trial, "plugin", None))
        return Verdict(law.name, "FAILED", f"It raises {type(error).__name__}: {said}{place}")
    return Verdict(law.name, "ok", law.sentence)


def require(holds: bool, fault: str) -> None:
    """Goes on if something holds.

    Raises:
        Fault: it does not.
    """
    if not holds:
        raise Fault(fault)


def require_attributes(instance: Any, names: Iterable[str], remedy: str) -> None:
    """Goes on if a plugin that has just been built has what others read from it.

    Args:
        instance: the plugin.
        names: attributes of its contract.
        remedy: what to write in its `__init__`.

    Raises:
        Fault: an attribute is missing; the line of `__init__` is named.
    """
    missing = [name for name in names if not hasattr(instance, name)]
    if missing:
        code = getattr(type(instance).__init__, "__code__", None)
        place = f" (in {Path(code.co_filename).name}, line {code.co_firstlineno})" if code else ""
        raise Fault(f"sets no `{missing[0]}` in its __init__{place}; {remedy}")


def _place(error: Exception, plugin: Any) -> str:
    """Where in the plugin's own code an error came up, in brackets, if it did there."""
    package = str(getattr(plugin, "__module__", "")).partition(".")[0]
    places = [
        f" (in {Path(frame.f_code.co_filename).name}, line {line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _is_of(frame.f_globals.get("__name__", ""), package)
    ]
    return places[-1] if places else ""


def _is_of(module: str, package: str) -> bool:
    return module.partition(".")[0] == package and not module.startswith("sm3kit.testing")


def _class_name(plugin: Any) -> str:
    return str(getattr(plugin, "__name__", plugin))

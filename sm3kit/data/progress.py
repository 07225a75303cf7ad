"""What people are told while they wait: a bar on a terminal or in a notebook, and plain lines."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from sm3kit.core.text import duration, fold_lines
from sm3kit.data.notebook import NotebookBar, in_notebook

# Seconds without a line before the next one says how long it will take, twice as many each time.
SHORTEST_SILENCE, LONGEST_SILENCE = 60, 960
STEPS_TO_KNOW, SECONDS_TO_KNOW = 3, 20  # Whichever comes first.
WORTH_SAYING = 60  # Seconds.


@dataclass
class Wait:
    """How far something is that takes long.

    Attributes:
        description: what it is.
        total: its steps.
        start: when it began.
        done: steps that are done.
        first: when the first of them was done, which may take longer than others.
        silence: seconds without a line after which the next one is due; 0 until the first line.
    """

    description: str
    total: int
    start: float
    done: int = 0
    first: float = 0.0
    silence: float = 0.0

    def advance(self, now: float, steps: int = 1) -> None:
        """Notes that steps are done."""
        self.done += steps
        self.first = self.first or now

    def left(self, now: float) -> float:
        """Seconds that the steps to come will take, as those before did; 0 before the first."""
        if self.done < 2:
            return (now - self.start) * (self.total - self.done) if self.done else 0.0
        return (now - self.first) / (self.done - 1) * (self.total - self.done)

    def due(self, now: float, last_line: float) -> bool:
        """Whether it is time for a line."""
        if self.left(now) < WORTH_SAYING:
            return False
        if not self.silence:
            return self.done >= STEPS_TO_KNOW or now - self.start >= SECONDS_TO_KNOW
        return now - last_line >= self.silence


def open_console(*, stderr: bool = False, quiet: bool = False, **settings: Any) -> Console:
    """Where people read: lines are wrapped by words on a terminal, and never elsewhere.

    Every text is shown as it is: none of it is markup, an emoji or a value to be coloured. In a
    notebook lines are plain text of the cell's output, as from `print`.

    Args:
        stderr: write to the standard error.
        quiet: write nothing.
        settings: others of `rich.console.Console`, such as its width.
    """
    if in_notebook():
        # Its kernel may ask for colours, which rich takes for a terminal.
        settings = {"force_jupyter": False, "force_terminal": False, **settings}
    console = Console(
        stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False, **settings
    )
    console.soft_wrap = not console.is_terminal
    return console


class Reporter:
    """Says things to a person; a context around everything that takes long.

    Args:
        console: where it is said.
        quiet: only warnings are said.
    """

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self.console = console
        self.quiet = quiet
        self.bar: Progress | NotebookBar | None = None
        self.notebook: NotebookBar | None = None
        self.waits: dict[int, Wait] = {}
        self.last_line = time.monotonic()

    def say(self, text: str) -> None:
        """A line of plain text."""
        if self.quiet:
            return
        self._print(text)

    def warn(self, text: str) -> None:
        """A line that stands out."""
        self._print(f"warning: {text}", style="yellow")

    def _print(self, text: str, style: str | None = None) -> None:
        self.last_line = time.monotonic()
        target = self.bar.console if self.bar else self.console
        if target.is_terminal:
            text = fold_lines(text, target.width)
        target.print(text, style=style, soft_wrap=True)

    def __enter__(self) -> Reporter:
        if self.console.is_terminal and not self.quiet:
            self.bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[status]}", markup=False),
                TextColumn("{task.fields[left]}", markup=False),
                console=self.console,
                transient=True,
            )
            self.bar.start()
        elif in_notebook() and not self.quiet:
            self.notebook = self.notebook or NotebookBar(self.console)
            self.bar = self.notebook
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar:
            self.bar.stop()
            self.bar = None
        self.waits.clear()

    def task(self, description: str, total: int) -> int:
        """Starts something that takes long, with a bar on a terminal; gives its number."""
        number = max(self.waits, default=-1) + 1
        if self.bar:
            number = int(self.bar.add_task(description, total=total, status="", left=""))
        self.waits[number] = Wait(description, total, time.monotonic())
        return number

    def reach(self, task: int, done: int, total: int) -> None:
        """Notes how many steps are done by now, and how many there turn out to be; see `advance`."""
        self.waits[task].total = total
        self.advance(task, done - self.waits[task].done, total=total)

    def advance(self, task: int, steps: int = 1, **fields: Any) -> None:
        """Notes that steps are done; where there is no bar, a line says now and then how far it is.

        Args:
            task: its number.
            steps: how many.
            fields: of the bar; `description` is that of the line, too.
        """
        wait, now = self.waits[task], time.monotonic()
        wait.advance(now, steps)
        wait.description = fields.get("description", wait.description)
        if self.bar:
            self.bar.update(task, advance=steps, left=self.left(task), **fields)  # type: ignore[arg-type]
        elif wait.due(now, self.last_line):
            wait.silence = min(max(2 * wait.silence, SHORTEST_SILENCE), LONGEST_SILENCE)
            self.say(f"time     about {duration(wait.left(now))} left: {wait.description}")

    def left(self, task: int) -> str:
        """How long something will take: "about 3 min left"; nothing in a line that is not worth it."""
        wait = self.waits.get(task)
        seconds = wait.left(time.monotonic()) if wait else 0.0
        short = seconds < WORTH_SAYING and not self.bar
        return "" if short or not seconds else f"about {duration(seconds)} left"

    def done(self, task: int) -> None:
        """Removes a bar."""
        self.waits.pop(task, None)
        if self.bar:
            self.bar.remove_task(task)  # type: ignore[arg-type]

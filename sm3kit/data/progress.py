"""What people are told while they wait: a bar on a terminal or in a notebook, and plain lines."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sm3kit.core.text import fold_lines
from sm3kit.data.notebook import NotebookBar, in_notebook


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

    def say(self, text: str) -> None:
        """A line of plain text."""
        if self.quiet:
            return
        self._print(text)

    def warn(self, text: str) -> None:
        """A line that stands out."""
        self._print(f"warning: {text}", style="yellow")

    def _print(self, text: str, style: str | None = None) -> None:
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
                TimeRemainingColumn(compact=True),
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

    def task(self, description: str, total: int) -> int | None:
        """Starts a bar; None where there is no terminal."""
        return self.bar.add_task(description, total=total, status="") if self.bar else None

    def advance(self, task: int | None, **fields: Any) -> None:
        """Moves a bar by one."""
        if self.bar and task is not None:
            self.bar.update(task, advance=1, **fields)  # type: ignore[arg-type]

    def done(self, task: int | None) -> None:
        """Removes a bar."""
        if self.bar and task is not None:
            self.bar.remove_task(task)  # type: ignore[arg-type]

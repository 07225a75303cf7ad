"""A bar below the cell of a notebook, updated in place."""

from __future__ import annotations

import sys
import time
from html import escape
from importlib import import_module
from typing import Any

SHORTEST = 0.2  # Seconds between two updates.


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class NotebookBar:
    """The bars of one piece of work as one line, with the methods of rich's `Progress` that we use.

    Args:
        console: where lines of text go, which appear below the bar.
    """

    def __init__(self, console: Any) -> None:
        self.console = console
        self.tasks: dict[int, dict[str, Any]] = {}
        self._handle: Any = None
        self._last = 0.0

    def start(self) -> None:
        """Shows an empty line where the cell's output ends now."""
        if self._handle is None:
            display = import_module("IPython.display").display
            self._handle = display({"text/plain": ""}, raw=True, display_id=True)

    def stop(self) -> None:
        """Leaves an empty line."""
        self.tasks.clear()
        self._show()

    def add_task(self, description: str, total: int, **fields: Any) -> int:
        """Starts a bar; gives its number."""
        number = max(self.tasks, default=-1) + 1
        self.tasks[number] = {"description": description, "total": total, "done": 0, **fields}
        self._show()
        return number

    def update(self, number: int, advance: int = 0, **fields: Any) -> None:
        """Moves a bar."""
        task = self.tasks[number]
        task |= {"done": task["done"] + advance, **fields}
        if time.monotonic() - self._last >= SHORTEST:
            self._show()

    def remove_task(self, number: int) -> None:
        """Takes a bar away."""
        self.tasks.pop(number, None)
        self._show()

    def _show(self) -> None:
        self._last = time.monotonic()
        if self._handle is None:
            return
        texts = [self._text(task) for task in self.tasks.values()]
        bars = [
            f'<progress value="{task["done"]}" max="{task["total"]}"></progress> {escape(text)}'
            for task, text in zip(self.tasks.values(), texts, strict=True)
        ]
        content = {"text/plain": "\n".join(texts), "text/html": "<br>".join(bars)}
        self._handle.update(content, raw=True)

    def _text(self, task: dict[str, Any]) -> str:
        parts = (
            task["description"],
            f"{task['done']}/{task['total']}",
            task.get("status"),
            task.get("left"),
        )
        return "  ".join(str(part) for part in parts if part)

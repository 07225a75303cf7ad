"""Processes that draw figures while this one computes."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, cast

from sm3kit.core.cores import usable_cores
from sm3kit.results.picture import Picture, Rendering

MOST = 4  # Processes; each takes half a second to start.
START = "import sys; sys.path[:] = {path!r}; from sm3kit.report.artists import serve; serve()"


@dataclass(frozen=True)
class Commission:
    """A figure that is being drawn.

    Attributes:
        draw: gives the picture, or None if there is nothing to draw.
        arguments: of it.
        png: whether it is wanted as PNG as well.
        answer: of the process that draws: (whether it could, what it drew).
    """

    draw: Callable[..., Picture | None]
    arguments: tuple[Any, ...]
    png: bool
    answer: Future[tuple[bool, Rendering | None]] | None

    def result(self) -> Rendering | None:
        """The figure, once it is drawn; here and now if no other process could."""
        if self.answer:
            drawn, rendering = self.answer.result()
            if drawn:
                return rendering
        return _render(self.draw, self.arguments, png=self.png)


class Artists:
    """As many processes as the machine has cores to spare; without any, this one draws.

    They are programs of their own rather than those of multiprocessing, which would run the
    script of a user again who calls this without a main guard.

    Args:
        png: whether figures are wanted as PNG as well.
        count: processes; None takes all cores but one.
    """

    def __init__(self, *, png: bool = False, count: int | None = None) -> None:
        count = min(MOST, usable_cores() - 1) if count is None else count
        self.png = png
        self.own = threading.local()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.pool = ThreadPoolExecutor(count) if count and sys.executable else None

    def __enter__(self) -> Artists:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.pool:
            self.pool.shutdown(cancel_futures=True)
        for process in self.processes:
            cast(IO[bytes], process.stdin).close()
            process.wait()
            cast(IO[bytes], process.stdout).close()

    def commission(self, draw: Callable[..., Picture | None], *arguments: Any) -> Commission:
        """Has a figure drawn.

        Args:
            draw: a function of a module that imports quickly.
            arguments: that can be pickled.
        """
        answer = self.pool.submit(self._ask, draw, arguments) if self.pool else None
        return Commission(draw, arguments, self.png, answer)

    def _ask(
        self, draw: Callable[..., Picture | None], arguments: Any
    ) -> tuple[bool, Rendering | None]:
        """Waits for the process of this thread to draw."""
        try:
            process = self._process()
            pickle.dump((draw, arguments, self.png), cast(IO[bytes], process.stdin))
            cast(IO[bytes], process.stdin).flush()
            stream = cast(IO[bytes], process.stdout)
            answer: tuple[bool, Rendering | None] = pickle.load(stream)  # noqa: S301  our own
        except (OSError, EOFError, pickle.PickleError, AttributeError, TypeError):
            return False, None
        return answer

    def _process(self) -> subprocess.Popen[bytes]:
        if not hasattr(self.own, "process"):
            self.own.process = subprocess.Popen(
                [sys.executable, "-c", START.format(path=sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the one that asks.
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            self.processes.append(self.own.process)
        return cast("subprocess.Popen[bytes]", self.own.process)


def serve() -> None:
    """Draws what comes in at the standard input, until it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # Whatever prints does not get in between.
    while True:
        try:
            draw, arguments, png = pickle.load(sys.stdin.buffer)  # noqa: S301  who started it
        except EOFError:
            return
        try:
            answer = True, _render(draw, arguments, png=png)
        except Exception:
            answer = False, None  # The one that asks draws it and hears why not.
        pickle.dump(answer, answers)
        answers.flush()


def _render(
    draw: Callable[..., Picture | None], arguments: tuple[Any, ...], *, png: bool
) -> Rendering | None:
    picture = draw(*arguments)
    return picture.render(png=png) if picture else None

"""What is printed where the terminal has few letters, is full, or has gone."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

PLAIN = "plain_ascii"
SIZES = range(10, 10_000)  # Columns or lines.


class Output:
    """A stream that remembers why it could not be written."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Writes a text, and gives its length."""
        with self._watch():
            return int(self.stream.write(text))

    def flush(self) -> None:
        """Hands over what was written."""
        with self._watch():
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @contextmanager
    def _watch(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = error
            raise


def prepare_streams() -> None:
    """Lets every letter be printed: what a terminal does not have becomes a question mark.

    A size of the terminal that none can have is taken out of the environment.
    """
    for name in ("COLUMNS", "LINES"):
        size = os.environ.get(name, "")
        if size and not (size.isdecimal() and len(size) < 5 and int(size) in SIZES):
            del os.environ[name]
    codecs.register(_plain_ascii)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            ascii_only = codecs.lookup(stream.encoding).name == "ascii"
            encoding = PLAIN if ascii_only else None  # None keeps what it is.
            stream.reconfigure(errors="replace", encoding=encoding)
            setattr(sys, name, Output(stream))


def _only_ascii() -> bool:
    """Whether stdout takes no other letters."""
    return getattr(sys.stdout, "encoding", "") == PLAIN


def print_json(document: Any) -> None:
    """Prints a JSON document, in letters that stdout takes."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=_only_ascii()))


def check_stdout() -> None:
    """Makes sure that all that was printed has arrived.

    Raises:
        OSError: the device is full, or nobody reads any more.
    """
    failure = getattr(sys.stdout, "failure", None)
    if failure:
        raise failure
    if sys.stdout:
        sys.stdout.flush()


def end_streams(code: int) -> int:
    """The exit code of a command once all of its output was handed over; never raises.

    Args:
        code: of the command itself.
    """
    try:
        check_stdout()
    except OSError as error:
        _let_go(sys.stdout)
        code = 1
        if not isinstance(error, BrokenPipeError):  # Whoever reads `| head` has what it wanted.
            with suppress(OSError):
                said = f"Error: Cannot write to standard output: {error.strerror}."
                click.echo(f"{said} Free some disk space, or redirect it elsewhere.", err=True)
    if getattr(sys.stderr, "failure", None):
        _let_go(sys.stderr)
    return code


def _let_go(stream: Any) -> None:
    """Sends the rest of the output nowhere, which Python would try to write once more."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _plain_ascii(name: str) -> codecs.CodecInfo | None:
    """ASCII by another name: click writes UTF-8 wherever it finds ASCII by its own."""
    ascii_: Any = codecs.lookup("ascii")
    if name != PLAIN:
        return None
    return codecs.CodecInfo(
        name=PLAIN,
        encode=ascii_.encode,
        decode=ascii_.decode,
        incrementalencoder=ascii_.incrementalencoder,
        incrementaldecoder=ascii_.incrementaldecoder,
    )

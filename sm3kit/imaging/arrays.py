"""Arrays in .npy files, whose headers are believed only as far as the files bear them out."""

from __future__ import annotations

import math
import os
from threading import Lock
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.lib.format as npy

from sm3kit.core.libraries import hush
from sm3kit.core.members import open_bytes
from sm3kit.imaging.layout import Pixels

# NumPy reads a header with `ast`, which Python 3.11 cannot do in two threads at once: it counts
# the depth of both together (SystemError: AST constructor recursion depth mismatch).
_ONE_AT_A_TIME = Lock()
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class Header(NamedTuple):
    """What a .npy file says of its array."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


def read_header(stream: IO[bytes]) -> Header:
    """The header at the start of a stream, which then stands at the values.

    Raises:
        ValueError: there is none, or one that no array has; in one short line.
    """
    hush("numpy")
    try:
        version = npy.read_magic(stream)
        with _ONE_AT_A_TIME:
            return Header(*HEADERS[version](stream))
    except Exception as error:  # What is read is a piece of Python, and fails in as many ways.
        raise ValueError("it has no header of a NumPy array") from error


def load_array(path: str) -> Pixels:
    """The array of a .npy file of numbers, in any order of its axes and bytes.

    Raises:
        ValueError: it is no array, one of Python objects, or shorter than it says.
        OSError: it cannot be read.
    """
    with open_bytes(path) as stream:
        shape, fortran, dtype = read_header(stream)
        if dtype.hasobject:
            raise ValueError("it holds Python objects, not numbers")
        wanted = math.prod(shape) * dtype.itemsize
        start = stream.tell()
        there = stream.seek(0, os.SEEK_END) - start
        stream.seek(start)
        if min(shape, default=0) < 0 or there < wanted:
            raise ValueError(
                f"it is truncated: shape {shape} of {dtype} takes {wanted:,} bytes, {there:,} are "
                "there"
            )
        values = np.frombuffer(stream.read(wanted), dtype)
    return values.reshape(shape, order="F" if fortran else "C")

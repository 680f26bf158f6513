"""A terminal that may go away: what is printed is a courtesy, and nothing else may depend on it."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO


class BestEffortStream:
    """A stream whose reader may be gone, or whose disk may be full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            mute(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            mute(self._stream)


def open_closed_streams() -> None:
    """Standard streams that whoever started us has closed lead nowhere.

    Python has None for such a stream, which fails at the first line of the log; and the next socket would get its number.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            setattr(sys, name, os.fdopen(number, mode))


def escape_what_cannot_be_encoded() -> None:
    """A terminal that has no UTF-8 must not end a command by a character that it cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def mute(stream: TextIO) -> None:
    """Send what is still to come, and what could not be written, nowhere: else Python exits with 120 because of it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)

"""A terminal that may go away: what is printed is a courtesy, and nothing else may depend on it."""

from __future__ import annotations

import os
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


def mute(stream: TextIO) -> None:
    """Send what is still to come, and what could not be written, nowhere: else Python exits with 120 because of it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)

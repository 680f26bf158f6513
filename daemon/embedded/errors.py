"""What can go wrong with a server of our own, in words for the person who started it."""

from __future__ import annotations

from pathlib import Path

TAIL_LINES = 12


class ServerError(Exception):
    """the embedded server failed"""


class NotInstalled(ServerError):
    """a program is missing; the message says which one and how to install it"""


class DidNotStart(ServerError):
    """the server ended, or was not ready in time; the message ends with the tail of its log"""


class DidNotStop(ServerError):
    """the server is still there although it was told to stop"""


def tail(log: Path, start: int = 0) -> str:
    """The last lines of `log` behind byte `start`, indented, with its path."""
    try:
        written = log.read_bytes()[start:].decode(errors="replace").splitlines()
    except FileNotFoundError:
        written = []
    lines = written[-TAIL_LINES:] or ["(nothing was logged)"]
    return "\n  ".join([f"the end of {log}:", *lines])

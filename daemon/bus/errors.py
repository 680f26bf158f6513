"""What can go wrong on NATS beside what any journal may raise (engine/errors.py)."""

from __future__ import annotations

from cutoverd.daemon.engine.errors import BusError


class Unreachable(BusError):
    """no NATS server answered"""

    hint = "check that nats-server runs, and the plan's bus.url and credentials, or NATS_USER and NATS_PASSWORD"


class Unsuitable(BusError):
    """the server or the stream is not set as the journal needs it"""


class NoRoom(BusError):
    """the stream has no room for another run"""

    hint = "raise max_bytes of the stream; nothing in it is ever deleted"


class CannotGrow(BusError):
    """the stream's limit cannot be raised"""


class RunOpen(BusError):
    """another run is open on this stream"""

    hint = (
        "finish or abort that run first, with a plan that has its `run` (in PreCheck even a changed one lets `abort` be heard);"
        " one stream carries one open run"
    )


class RunEnded(BusError):
    """a run of this name has ended already"""

    hint = "an ended run is never continued: give the plan a new `run`"

    def __init__(self, message: str = "", *, hint: str = "", end: str = "") -> None:
        """`end`: the state in which it ended."""
        super().__init__(message, hint=hint)
        self.end = end

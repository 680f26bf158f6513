"""What can go wrong on the bus. None of these is a failed step: the world may have changed although its record did not.

Each class's docstring is its message when none is given. `hint` says what to do next.
"""

from __future__ import annotations


class BusError(Exception):
    """the bus failed"""

    hint = ""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.hint = hint or type(self).hint

    def __str__(self) -> str:
        return f"{self.args[0]}; {self.hint}" if self.hint else str(self.args[0])


class Unreachable(BusError):
    """no NATS server answered"""

    hint = "check that nats-server runs, and the plan's bus.url and credentials, or NATS_USER and NATS_PASSWORD"


class Unavailable(BusError):
    """the bus did not answer in time; whether the message was stored is not known"""

    hint = "see that the NATS server (in a cluster: most of them) runs, then start again: the replay tells what was stored"


class Conflict(BusError):
    """another daemon has appended since; what was decided on the old end of the log must be decided again"""

    hint = "replay, then decide again"


class LogRegressed(BusError):
    """the log has lost or changed messages that were acknowledged"""

    hint = (
        "hold; do not append: compare the stream with the anchors in the state folder and in the ledger, restore it from a backup"
    )


class Refused(BusError):
    """the server refuses the message and will go on refusing it"""


class Unsuitable(BusError):
    """the server or the stream is not set as the journal needs it"""


class NoRoom(BusError):
    """the stream has no room for another run"""

    hint = "raise max_bytes of the stream; nothing in it is ever deleted"


class RunOpen(BusError):
    """another run is open on this stream"""

    hint = (
        "finish or abort that run first, with a plan that has its `run` (in PreCheck even a changed one lets `abort` be heard);"
        " one stream carries one open run"
    )


class RunEnded(BusError):
    """a run of this name has ended already"""

    hint = "an ended run is never continued: give the plan a new `run`"


class AnchorUnreadable(BusError):
    """the anchor file holds no anchor"""

    hint = "it is written whole or not at all, so somebody changed it: compare it with the ledger's, then remove it"

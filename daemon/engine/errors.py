"""What can go wrong between the loop and its journal. None is a failed step: the world may have changed without its record.

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


class Unavailable(BusError):
    """the bus did not answer in time; whether the message was stored is not known"""

    hint = "see that the NATS server (in a cluster: most of them) runs, then start again: the replay tells what was stored"


class Conflict(BusError):
    """another daemon has appended since; what was decided on the old end of the log must be decided again"""

    hint = "replay, then decide again"


class LogRegressed(BusError):
    """the log has lost or changed messages that were acknowledged"""

    hint = (
        "nothing was appended: `cutoverd journal restore PLAN --dry-run` says whether a copy has what is missing, and what would"
        " be done; where none has, `cutoverd rollback --without-journal PLAN` takes production back by the ledger alone"
    )


class KeyDiffers(LogRegressed):
    """no message on the run's subject bears the MAC of our key"""

    hint = (
        "the key is of another ledger, or the ledger was made anew: without `journal.key` in the run's folder, `status`,"
        ' `history` and `send` go on and say "not verified"; a daemon that starts writes the ledger\'s own there'
    )


class ServerRefused(BusError):
    """the server refuses the message and will go on refusing it"""

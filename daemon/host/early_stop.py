"""A signal while a command of ours still imports what it needs: it ends as later on, by the code for "start it again" and a word.

Found: in its first second the process died of the signal itself, which a unit of systemd, or a script, takes for a crash. Only
the standard library is imported here.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType

UNFINISHED = 6  # as engine/exit_codes.py has it; to import that would take the time that this is about
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_is_importing = True


def end_early_by_signal() -> None:
    """From now on; one that is ignored (nohup) stays so."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def imports_are_done() -> None:
    """The command begins: Ctrl-C interrupts it, and what it has opened is closed whatever ends it."""
    global _is_importing
    _is_importing = False
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _stop(number: int, frame: FrameType | None) -> None:
    """At once while nothing is open: an exception might be lost in what is imported."""
    with suppress(OSError):
        os.write(2, b"cutoverd: stopped before anything was begun\n" if _is_importing else b"cutoverd: stopped\n")
    if _is_importing:
        os._exit(UNFINISHED)
    raise SystemExit(UNFINISHED)

"""What a kind of service, door or check has to offer; commands and HTTP are the first, systemd and HAProxy plug in here.

A kind acts and looks, it proves nothing: that a change came about is seen by looking again (switch.py), the same for all.
`seconds` is how long the call may take at most; a kind that needs longer ends what it began.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cutoverd.states.ports import AttemptId, Evidence


class ServiceKind(Protocol):
    """One version of one service."""

    @property
    def unit(self) -> Sequence[str]:
        """What its status is asked of: versions that share it are one thing that runs or does not."""

    async def status(self, seconds: float) -> bool:
        """Whether it runs, now; raises `OutcomeUnknown` with what was seen and what would be an answer."""

    async def start(self, attempt_id: AttemptId, seconds: float) -> Evidence:
        """Ask for it to run; evidence {"exit": 0} says the request was accepted, anything else that it was not."""

    async def stop(self, attempt_id: AttemptId, seconds: float) -> Evidence:
        """Ask for it to end; evidence as of `start`."""


class DoorKind(Protocol):
    """One door between clients and services."""

    async def status(self, seconds: float) -> bool:
        """Whether it is open, now; raises `OutcomeUnknown`."""

    async def open(self, attempt_id: AttemptId, seconds: float) -> Evidence:
        """Ask for it to open; evidence as of `ServiceKind.start`."""

    async def close(self, attempt_id: AttemptId, seconds: float) -> Evidence:
        """Ask for it to close; evidence as of `ServiceKind.start`."""


class CheckKind(Protocol):
    """One proof from outside."""

    async def prove(self, attempt_id: AttemptId) -> Evidence:
        """What was seen; raises `CheckFailed` or `TimedOut` within the time of its own that the plan gives it."""

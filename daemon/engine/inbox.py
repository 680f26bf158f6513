"""What reaches the loop while it runs: commands, what a step saw change, and why nothing more will come."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cutoverd.events import facts
from cutoverd.events.commands import Command


class NotACommand:
    """A message on a command subject that could not be understood."""

    def __init__(self, seq: int, by: str | None, reason: str) -> None:
        self.seq, self.by, self.reason = seq, by, reason


@dataclass(frozen=True)
class StepObservation:
    """What a step saw change while it runs: only the loop appends, so it is told on the way that commands come."""

    event: facts.Event
    recorded: asyncio.Future[None]


class ReportDue:
    """It is time to put on record what was refused of a flood."""


@dataclass(frozen=True)
class CollectingTimeUp:
    """Something in Validate has failed, and for so long what else is wrong was asked."""

    seconds: float


class OverrunDue:
    """The window may end too late by now."""


class ForeignFound:
    """On the run's subject lies a message that is not ours."""


# the last: why nothing more will be heard
InboxItem = Command | NotACommand | StepObservation | ReportDue | ForeignFound | CollectingTimeUp | OverrunDue | Exception

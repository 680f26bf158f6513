"""What helps, without what a run can be told no more: `retry` and `abort` are heard in PreCheck and where a way back failed."""

from __future__ import annotations

import re

from cutoverd.states.ports import Direction
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import StepKey

_COMMAND = re.compile(r"(?:[\s,;:(]|\b(?:then|and|or)\b)*`(?:retry|abort)`(?!/).*", re.DOTALL)


def without_commands(hint: str) -> str:
    """Of a run that is over, or goes back by itself, and where there is none: `check`, `cutoverd rehearse`."""
    return _COMMAND.sub("", hint)


def hint_of(step: str, direction: str, hint: str) -> str:
    """As it may be followed when this step has failed."""
    may_command = direction != Direction.FORWARD or StepKey.of(step).state == PreCheck.name
    return hint if may_command else without_commands(hint)

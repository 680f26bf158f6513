"""What helps, without what a run can be told no more: `retry` and `abort` are heard in PreCheck and where a way back failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from cutoverd.states.ports import Direction
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import StepKey

T = TypeVar("T")
_COMMAND = re.compile(r"(?:[\s,;:(]|\b(?:then|and|or)\b)*`(?:retry|abort)`(?!/).*", re.DOTALL)


def without_commands(hint: str) -> str:
    """Of a run that is over, or goes back by itself, and where there is none: `check`, `cutoverd rehearse`."""
    return _COMMAND.sub("", hint)


def hint_of(step: str, direction: str, hint: str) -> str:
    """As it may be followed when this step has failed."""
    may_command = direction != Direction.FORWARD or StepKey.of(step).state == PreCheck.name
    return hint if may_command else without_commands(hint)


def by_hint(findings: Iterable[T], hint_of_one: Callable[[T], str]) -> list[tuple[str, list[T]]]:
    """Those that one hint helps together, in the order in which they first appear; each without a hint by itself."""
    groups = dict[str | int, tuple[str, list[T]]]()
    for number, finding in enumerate(findings):
        hint = hint_of_one(finding)
        groups.setdefault(hint or number, (hint, []))[1].append(finding)
    return list(groups.values())

"""Every status asked once before the window: at night it is believed, so it has to be known to tell the truth now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from cutoverd.daemon.systems.switch import SwitchWords
from cutoverd.states.errors import NotLeader, StepError
from cutoverd.states.ports import Evidence

NameT = TypeVar("NameT")
SurveyedStatus = bool | StepError | OSError  # the error: its status cannot be told


async def survey_statuses(statuses: Mapping[NameT, Callable[[], Awaitable[bool]]]) -> dict[NameT, SurveyedStatus]:
    """All at the same time: each may take as long as a command may. Raises `NotLeader`; other errors are what was seen."""
    results = await asyncio.gather(*map(_read_status, statuses.values()))
    for found in results:
        if isinstance(found, NotLeader):  # says nothing of the plan
            raise found
    return dict(zip(statuses, results, strict=True))


async def _read_status(status: Callable[[], Awaitable[bool]]) -> SurveyedStatus:
    try:
        return await status()
    except (StepError, OSError) as error:
        return error


@dataclass
class StatusReport:
    """What was seen, and what is wrong with it."""

    states: dict[str, str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, what: str, words: SwitchWords, found: SurveyedStatus, *, wrong: str = "") -> None:
        if isinstance(found, bool):
            self.states[what] = words.state(found)
        else:
            wrong = str(found)
        if wrong:
            self.reasons.append(f"{what}: {wrong}")

    def evidence(self) -> Evidence:
        return {"seen": self.states, "reasons": self.reasons, "warnings": self.warnings}

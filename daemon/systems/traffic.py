"""The doors between clients and services (`Traffic` of states/ports_systems.py)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cutoverd.daemon.engine.step_executor import always_leads
from cutoverd.daemon.systems import status_survey
from cutoverd.daemon.systems.lookup import named
from cutoverd.daemon.systems.pending_change import PendingChange
from cutoverd.daemon.systems.protocols import DoorKind
from cutoverd.daemon.systems.switch import DEFAULT_TIMEOUTS, DOOR, Switch, SwitchTimeouts
from cutoverd.states.ports import AttemptId, Evidence


@dataclass(frozen=True)
class TrafficByKind:
    """Opens and closes by whatever kind each door is.

    A cancelled `open` is not closed again: clients may have written through it, and a closed door would deny that.
    """

    doors: Mapping[str, DoorKind]
    folder: Path  # of this run, in state_dir
    timeouts: SwitchTimeouts = DEFAULT_TIMEOUTS
    leads: Callable[[], Awaitable[bool]] = always_leads  # false if nobody could be asked; raises `NotLeader`

    async def is_open(self, name: str) -> bool:
        return await self._switch(name).is_on()

    async def open(self, attempt_id: AttemptId, name: str) -> Evidence:
        return await self._switch(name).change(attempt_id, True)

    async def close(self, attempt_id: AttemptId, name: str) -> Evidence:
        return await self._switch(name).change(attempt_id, False)

    async def survey_statuses(self, attempt_id: AttemptId) -> Evidence:
        statuses = await status_survey.survey_statuses(
            {name: partial(door.status, self.timeouts.status_seconds) for name, door in self.doors.items()}
        )
        report = status_survey.StatusReport()
        for name, found in statuses.items():
            report.add(f"door {name}", DOOR, found)
            if found is False:
                report.warnings.append(f"door {name} is closed: the way back would leave it so")
        return report.evidence()

    def _switch(self, name: str) -> Switch:
        door = named(self.doors, name, "door")
        return Switch(
            what=f"door {name}",
            words=DOOR,
            status=door.status,
            turn={True: door.open, False: door.close},
            timeouts=self.timeouts,
            begun=PendingChange.of(self.folder, "door", name),
            leads=self.leads,
        )

"""The applications of the plan, each with its versions (`Services` of states/ports.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cutoverd.daemon.systems.begun import Begun
from cutoverd.daemon.systems.kinds import Check, ServiceKind
from cutoverd.daemon.systems.named import named
from cutoverd.daemon.systems.proven import DEFAULT_TIMEOUTS, SERVICE, Switch, Timeouts
from cutoverd.states.errors import CheckFailed, StepError
from cutoverd.states.ports import Evidence, Mark, Version

NOT_CONFIGURED = {"configured": False}


@dataclass(frozen=True)
class ServicesByKind:
    """Starts and stops by whatever kind each version is; a version the plan leaves out is never running."""

    services: Mapping[str, Mapping[Version, ServiceKind]]
    folder: Path  # of this run, in state_dir
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    health: Mapping[tuple[str, Version], Sequence[Check]] = field(default_factory=dict)  # what a version has to answer

    async def is_running(self, name: str, version: Version) -> bool:
        switch = self._switch(name, version)
        return await switch.is_on() if switch else False

    async def start(self, mark: Mark, name: str, version: Version) -> Evidence:
        switch = self._switch(name, version)
        return await switch.change_or_take_back(mark, True) if switch else NOT_CONFIGURED

    async def stop(self, mark: Mark, name: str, version: Version) -> Evidence:
        switch = self._switch(name, version)
        return await switch.change(mark, False) if switch else NOT_CONFIGURED

    async def check(self, mark: Mark, name: str, version: Version) -> Evidence:
        """{"running": true, "health": [evidence of each of its checks]}."""
        switch = self._switch(name, version)
        if switch is None:
            return NOT_CONFIGURED
        if not await switch.is_on():
            raise CheckFailed(
                f"{switch.what} has ended by itself: its start was seen, and now its status says stopped",
                hint="see what it logs; run it by hand and see why",
                evidence={"status": "stopped"},
            )
        try:
            return {"running": True, "health": [dict(await check.prove(mark)) for check in self.health.get((name, version), ())]}
        except StepError as error:
            error.args = (f"{switch.what}: {error}",)
            raise

    def _switch(self, name: str, version: Version) -> Switch | None:
        kind = named(self.services, name, "service").get(version)
        return (
            None
            if kind is None
            else Switch(
                what=f"service {name} ({version})",
                words=SERVICE,
                status=kind.status,
                turn={True: kind.start, False: kind.stop},
                timeouts=self.timeouts,
                begun=Begun.of(self.folder, "service", name, version),
            )
        )

"""The applications of the plan, each with its versions (`Services` of states/ports_systems.py)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cutoverd.daemon.engine.step_executor import always_leads
from cutoverd.daemon.systems import status_survey
from cutoverd.daemon.systems.lookup import named
from cutoverd.daemon.systems.pending_change import PendingChange
from cutoverd.daemon.systems.protocols import CheckKind, ServiceKind
from cutoverd.daemon.systems.switch import DEFAULT_TIMEOUTS, SERVICE, Switch, SwitchTimeouts
from cutoverd.states.errors import CheckFailed, StepError
from cutoverd.states.ports import AttemptId, Evidence, Version

NOT_CONFIGURED = {"configured": False}
RUNS_EARLY = "its status exited 0, it runs; expected 3, stopped, or it would be believed to run and never be started"


@dataclass(frozen=True)
class ServicesByKind:
    """Starts and stops by whatever kind each version is; a version the plan leaves out is never running."""

    services: Mapping[str, Mapping[Version, ServiceKind]]
    folder: Path  # of this run, in state_dir
    timeouts: SwitchTimeouts = DEFAULT_TIMEOUTS
    health: Mapping[tuple[str, Version], Sequence[CheckKind]] = field(default_factory=dict)  # what a version has to answer
    leads: Callable[[], Awaitable[bool]] = always_leads  # false if nobody could be asked; raises `NotLeader`

    async def is_running(self, name: str, version: Version) -> bool:
        switch = self._switch(name, version)
        return await switch.is_on() if switch else False

    async def start(self, attempt_id: AttemptId, name: str, version: Version) -> Evidence:
        switch = self._switch(name, version)
        return await switch.change_or_take_back(attempt_id, True) if switch else NOT_CONFIGURED

    async def stop(self, attempt_id: AttemptId, name: str, version: Version) -> Evidence:
        switch = self._switch(name, version)
        return await switch.change(attempt_id, False) if switch else NOT_CONFIGURED

    async def check(self, attempt_id: AttemptId, name: str, version: Version) -> Evidence:
        """{"running": true, "health": [evidence of each of its checks]}.

        Raises `CheckFailed` if it does not run, and what its checks raise, with its name before it.
        """
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
            return {
                "running": True,
                "health": [dict(await check.prove(attempt_id)) for check in self.health.get((name, version), ())],
            }
        except StepError as error:
            error.args = (f"{switch.what}: {error}",)
            raise

    async def survey_statuses(self, attempt_id: AttemptId) -> Evidence:
        kinds = {(name, version): kind for name, versions in self.services.items() for version, kind in versions.items()}
        statuses = await status_survey.survey_statuses(
            {key: partial(kind.status, self.timeouts.status_seconds) for key, kind in kinds.items()}
        )
        old = [kind.unit for (_, version), kind in kinds.items() if version is Version.OLD]  # stopped before a new one starts
        report = status_survey.StatusReport()
        for (name, version), kind in kinds.items():
            what, found = f"service {name} ({version})", statuses[name, version]
            early = found is True and kind.unit not in old
            report.add(what, SERVICE, found, wrong=f"{RUNS_EARLY}: [{', '.join(kind.unit)}]" if early else "")
            if version is Version.OLD and found is False:
                report.warnings.append(f"{what} is stopped: the way back would leave it so")
        return report.evidence()

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
                begun=PendingChange.of(self.folder, "service", name, version),
                leads=self.leads,
            )
        )

"""The proofs from outside, by their names in the plan (`Checks` of states/ports_systems.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cutoverd.daemon.systems import executables
from cutoverd.daemon.systems.lookup import named
from cutoverd.daemon.systems.protocols import CheckKind
from cutoverd.states.ports import AttemptId, Evidence

NOT_SERVED: Evidence = {"not_looked_at": "our metrics are served only while `cutoverd run` drives the run"}


@dataclass(frozen=True)
class ChecksByKind:
    """Health of what runs, and smoke tests of what will; each by whatever kind it is."""

    health: Mapping[str, CheckKind]
    smoke_tests: Mapping[str, CheckKind]
    dashboards: Mapping[str, CheckKind] = field(default_factory=dict)
    scraped: CheckKind | None = None  # None: our own metrics are not served
    commands: Sequence[tuple[str, Sequence[str]]] = ()  # all of the plan, with the keys that name them
    directory: Path = Path()  # where they run
    passed: Sequence[tuple[str, Sequence[str]]] = ()  # variables that commands get by name, with the keys that name them

    async def check_programs(self, attempt_id: AttemptId) -> Evidence:
        return executables.check_programs(self.commands, self.directory, self.passed)

    async def prove_health(self, attempt_id: AttemptId, name: str) -> Evidence:
        return await named(self.health, name, "health check").prove(attempt_id)

    async def smoke(self, attempt_id: AttemptId, name: str) -> Evidence:
        return await named(self.smoke_tests, name, "smoke test").prove(attempt_id)

    async def prove_dashboard(self, attempt_id: AttemptId, name: str) -> Evidence:
        return await named(self.dashboards, name, "dashboard").prove(attempt_id)

    async def prove_scraped(self, attempt_id: AttemptId) -> Evidence:
        return await self.scraped.prove(attempt_id) if self.scraped else NOT_SERVED

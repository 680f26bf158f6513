"""The proofs from outside, by their names in the plan (`Checks` of states/ports.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cutoverd.daemon.systems import executables
from cutoverd.daemon.systems.lookup import named
from cutoverd.daemon.systems.protocols import Check
from cutoverd.states.ports import Evidence, Mark

NOT_SERVED: Evidence = {"not_looked_at": "our metrics are served only while `cutoverd run` drives the run"}


@dataclass(frozen=True)
class ChecksByKind:
    """Health of what runs, and smoke tests of what will; each by whatever kind it is."""

    health: Mapping[str, Check]
    smoke_tests: Mapping[str, Check]
    dashboards: Mapping[str, Check] = field(default_factory=dict)
    scraped: Check | None = None  # None: our own metrics are not served
    commands: Sequence[tuple[str, Sequence[str]]] = ()  # all of the plan, with the keys that name them
    directory: Path = Path()  # where they run

    async def check_programs(self, mark: Mark) -> Evidence:
        return executables.check_programs(self.commands, self.directory)

    async def prove_health(self, mark: Mark, name: str) -> Evidence:
        return await named(self.health, name, "health check").prove(mark)

    async def smoke(self, mark: Mark, name: str) -> Evidence:
        return await named(self.smoke_tests, name, "smoke test").prove(mark)

    async def prove_dashboard(self, mark: Mark, name: str) -> Evidence:
        return await named(self.dashboards, name, "dashboard").prove(mark)

    async def prove_scraped(self, mark: Mark) -> Evidence:
        return await self.scraped.prove(mark) if self.scraped else NOT_SERVED

"""Services, doors and checks in memory: they pass the same contract as the real ones, and break on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field

from cutoverd.daemon.systems import status_survey
from cutoverd.daemon.systems.lookup import named
from cutoverd.daemon.systems.services import NOT_CONFIGURED, RUNS_EARLY
from cutoverd.daemon.systems.switch import DOOR, SERVICE, SwitchWords
from cutoverd.states.errors import CheckFailed, OutcomeUnknown, TimedOut
from cutoverd.states.ports import AttemptId, Evidence, Version


@dataclass
class Faults:
    """What goes wrong, by verb and name ("start", "api"); all may be changed while it is used."""

    refused: set[tuple[str, str]] = field(default_factory=set)  # exits 1 and does nothing
    ignored: set[tuple[str, str]] = field(default_factory=set)  # exits 0 and does nothing
    hanging: set[tuple[str, str]] = field(default_factory=set)  # never ends by itself
    unknown: set[str] = field(default_factory=set)  # whose status cannot be told


@dataclass
class MemorySwitches:
    """Things that are on or off; what each was asked for, in order, is in `asked`: ("start", "api", "new")."""

    words: SwitchWords
    on: set[Hashable]
    faults: Faults = field(default_factory=Faults)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    begun: dict[Hashable, str] = field(default_factory=dict)

    def is_on(self, key: tuple[str, ...]) -> bool:
        """Raises `OutcomeUnknown` where that fault is set."""
        if key[0] in self.faults.unknown:
            raise OutcomeUnknown(f"{key[0]}: its status exited 4", hint="see why")
        return key in self.on

    def found(self, key: tuple[str, ...]) -> status_survey.SurveyedStatus:
        try:
            return self.is_on(key)
        except OutcomeUnknown as unknown:
            return unknown

    async def change(self, key: tuple[str, ...], wanted: bool, *, take_back: bool = False) -> Evidence:
        verb, found = self.words.verb(wanted), self.is_on(key)
        if found is wanted and self.begun.get(key, verb) == verb:
            self.begun.pop(key, None)
            return {"found": f"already {self.words.state(wanted)}"}
        try:
            await self._ask(key, verb, wanted)
        except asyncio.CancelledError:
            if take_back:
                self.asked.append((self.words.verb(not wanted), *key))
                self._turn(key, not wanted)
            raise
        return {"found": self.words.state(found), "exit": 0, "seconds": 0.0, "looks": 1}

    async def _ask(self, key: tuple[str, ...], verb: str, wanted: bool) -> None:
        self.begun[key] = verb
        self.asked.append((verb, *key))
        state, hint = self.words.state(not wanted), f"see why {key[0]} does not {verb}"
        if (verb, key[0]) in self.faults.hanging:
            await asyncio.Event().wait()
        if (verb, key[0]) in self.faults.refused:
            raise CheckFailed(f"{key[0]}: {verb} exited 1, status still says {state}", hint=hint, evidence={"exit": 1})
        if (verb, key[0]) in self.faults.ignored:
            raise TimedOut(f"{key[0]}: {verb} exited 0, status still says {state}", hint=hint, evidence={"exit": 0})
        self._turn(key, wanted)

    def _turn(self, key: tuple[str, ...], wanted: bool) -> None:
        (self.on.add if wanted else self.on.discard)(key)
        self.begun.pop(key, None)


class MemoryServices:
    """`MemoryServices({"api": Version}, running={("api", Version.OLD)})`: every version of api, the old one running."""

    def __init__(self, services: Mapping[str, Collection[Version]], running: Collection[tuple[str, Version]] = ()) -> None:
        self._services = services
        self.switches = MemorySwitches(SERVICE, set(running))
        self.faults, self.asked = self.switches.faults, self.switches.asked

    async def is_running(self, name: str, version: Version) -> bool:
        return self._configured(name, version) and self.switches.is_on((name, version))

    async def start(self, attempt_id: AttemptId, name: str, version: Version) -> Evidence:
        if not self._configured(name, version):
            return NOT_CONFIGURED
        return await self.switches.change((name, version), True, take_back=True)

    async def stop(self, attempt_id: AttemptId, name: str, version: Version) -> Evidence:
        return await self.switches.change((name, version), False) if self._configured(name, version) else NOT_CONFIGURED

    async def check(self, attempt_id: AttemptId, name: str, version: Version) -> Evidence:
        """As the real one: raises `CheckFailed` if it does not run."""
        if not self._configured(name, version):
            return NOT_CONFIGURED
        if not self.switches.is_on((name, version)):
            raise CheckFailed(f"{name} has ended by itself", hint=f"see why {name} ended", evidence={"status": "stopped"})
        return {"running": True, "health": []}

    async def survey_statuses(self, attempt_id: AttemptId) -> Evidence:
        report = status_survey.StatusReport()
        for name, versions in self._services.items():
            for version in versions:
                found = self.switches.found((name, version))
                early = found is True and version is not Version.OLD
                report.add(f"service {name} ({version})", SERVICE, found, wrong=RUNS_EARLY if early else "")
                if version is Version.OLD and found is False:
                    report.warnings.append(f"service {name} ({version}) is stopped")
        return report.evidence()

    def _configured(self, name: str, version: Version) -> bool:
        return version in named(self._services, name, "service")


class MemoryTraffic:
    """Doors by name; `opened` are open at first."""

    def __init__(self, doors: Collection[str], opened: Collection[str] = ()) -> None:
        self._doors = {name: name for name in doors}
        self.switches = MemorySwitches(DOOR, {(name,) for name in opened})
        self.faults, self.asked = self.switches.faults, self.switches.asked

    async def is_open(self, name: str) -> bool:
        return self.switches.is_on((named(self._doors, name, "door"),))

    async def open(self, attempt_id: AttemptId, name: str) -> Evidence:
        return await self.switches.change((named(self._doors, name, "door"),), True)

    async def close(self, attempt_id: AttemptId, name: str) -> Evidence:
        return await self.switches.change((named(self._doors, name, "door"),), False)

    async def survey_statuses(self, attempt_id: AttemptId) -> Evidence:
        report = status_survey.StatusReport()
        for name in self._doors:
            found = self.switches.found((name,))
            report.add(f"door {name}", DOOR, found)
            if found is False:
                report.warnings.append(f"door {name} is closed")
        return report.evidence()


class MemoryChecks:
    """Checks by name that pass, but for those in `failing` and `hanging`; what was proven, in order, is in `asked`."""

    def __init__(self, health: Collection[str] = (), smoke_tests: Collection[str] = ()) -> None:
        self._health, self._smoke_tests = {name: name for name in health}, {name: name for name in smoke_tests}
        self.failing: set[str] = set()
        self.hanging: set[str] = set()
        self.asked: list[tuple[str, str]] = []

    async def check_programs(self, attempt_id: AttemptId) -> Evidence:
        return {"programs": 0}

    async def prove_health(self, attempt_id: AttemptId, name: str) -> Evidence:
        return await self._prove("health", named(self._health, name, "health check"))

    async def smoke(self, attempt_id: AttemptId, name: str) -> Evidence:
        return await self._prove("smoke", named(self._smoke_tests, name, "smoke test"))

    async def _prove(self, kind: str, name: str) -> Evidence:
        self.asked.append((kind, name))
        if name in self.hanging:
            await asyncio.Event().wait()
        if name in self.failing:
            raise CheckFailed(f"{name}: exited 1, expected 0", hint="run it by hand and see why", evidence={"exit": 1})
        return {"exit": 0, "seconds": 0.0}

"""What the states need of the world but PostgreSQL: services, traffic, checks, time. The rules of `ports.py` hold here too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from cutoverd.states.check_rules import ClockReading, Rules, Sample, Watched
from cutoverd.states.ports import AttemptId, Evidence, Version


class Services(Protocol):
    """The applications; by commands, systemd and others."""

    async def is_running(self, name: str, version: Version) -> bool:
        """Raises `OutcomeUnknown` when its status cannot be told."""

    async def start(self, attempt_id: AttemptId, name: str, version: Version) -> Evidence:
        """Returns once its status says running; raises `CheckFailed` or `TimedOut`."""

    async def stop(self, attempt_id: AttemptId, name: str, version: Version) -> Evidence:
        """Returns once its status says stopped."""

    async def check(self, attempt_id: AttemptId, name: str, version: Version) -> Evidence:
        """It still runs and answers as the plan wants that version to; raises `CheckFailed`, `OutcomeUnknown`."""

    async def survey_statuses(self, attempt_id: AttemptId) -> Evidence:
        """Each status asked once, before the window: {"seen": state by what it is of, "reasons", "warnings"}.

        A reason is a status that cannot be told, or one that says of a version to come that it runs already.
        """


class Traffic(Protocol):
    """Doors between clients and services, by name."""

    async def is_open(self, name: str) -> bool: ...

    async def open(self, attempt_id: AttemptId, name: str) -> Evidence: ...

    async def close(self, attempt_id: AttemptId, name: str) -> Evidence: ...

    async def survey_statuses(self, attempt_id: AttemptId) -> Evidence:
        """Each status asked once, as `Services.survey_statuses`; a door may be open or closed."""


class Checks(Protocol):
    """Proofs from outside: HTTP and commands, by their name in the plan."""

    async def check_programs(self, attempt_id: AttemptId) -> Evidence:
        """The program of each command of the plan is there and may be run; raises `Unfit` with each that is not."""

    async def prove_health(self, attempt_id: AttemptId, name: str) -> Evidence: ...

    async def smoke(self, attempt_id: AttemptId, name: str) -> Evidence: ...

    async def prove_dashboard(self, attempt_id: AttemptId, name: str) -> Evidence: ...

    async def prove_scraped(self, attempt_id: AttemptId) -> Evidence:
        """Somebody asked for our own metrics not long ago, or does so now; raises `TimedOut`."""


class Clock(Protocol):
    """Time as the steps may see it."""

    def now(self) -> datetime: ...

    def reading(self) -> ClockReading: ...

    async def sleep(self, seconds: float) -> None: ...


class MonitorChecks(Protocol):
    """The checks of Monitor, and what is known of the watch between two daemons."""

    @property
    def rules(self) -> Rules: ...

    async def sample(self, attempt_id: AttemptId) -> Mapping[str, Sample]:
        """Each check asked once, at the same time; one that cannot be made is a sample that has not passed, never an error."""

    async def recall(self) -> Watched | None:
        """What was kept last on this machine."""

    async def keep(self, watched: Watched) -> None:
        """Never raises: what cannot be kept is counted anew after a restart."""

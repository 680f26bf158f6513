"""A world for the loop alone: every port answers at once, keeps a list of what was asked, and may be told to misbehave.

It keeps the ports' promises only where the loop depends on them: switches that stay as they were set, and probes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cutoverd.daemon.bus.memory import MemoryStream
from cutoverd.daemon.engine.copies import JournalCopy
from cutoverd.daemon.engine.inbox import InboxItem
from cutoverd.daemon.engine.loop import RunLoop, Stopped
from cutoverd.daemon.engine.run_log import RunLog
from cutoverd.events import facts
from cutoverd.events.codec import decode
from cutoverd.events.commands import Command
from cutoverd.states.check_rules import ClockReading, Rules, Sample, Watched
from cutoverd.states.ports import AttemptId, Found, Probed
from cutoverd.states.run import Run
from cutoverd.states.step import Ports

ITEMS = {
    "services": ["worker", "api"],
    "new_services": ["worker", "api"],
    "tested_services": ["api"],
    "traffic": ["door"],
    "health": ["old"],
    "smoke": ["page"],
    "data_scripts": ["1.sql"],
    "validation_scripts": ["v.sql"],
    "comparisons": ["flights"],
    "queries": ["overview"],
}


class World:
    """What is switched on, what was done, and what goes wrong."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.on = {"worker/old", "api/old", "door"}
        self.wrong: dict[str, Callable[[], Any]] = {}
        self.monitor_checks = MonitorChecks()

    async def act(self, port: str, method: str, args: tuple[Any, ...]) -> Any:
        name = ".".join([port, method, *(str(arg) for arg in args[1:] if isinstance(arg, str) and arg)])
        if method not in ("is_running", "is_open", "check", "survey_statuses"):  # they only look
            self.done.append(name)
        if name in self.wrong:
            answer = self.wrong[name]()
            return await answer if asyncio.iscoroutine(answer) else answer
        return self._switch(method, args)

    def _switch(self, method: str, args: tuple[Any, ...]) -> Any:
        names = [str(arg) for arg in args if isinstance(arg, str)]
        switch = "/".join(names)
        if method in ("is_running", "is_open"):
            return switch in self.on
        if method == "count_writes":
            return {"writes": "none", "reason": "no row was written", "tables": {}}
        if method == "written":
            return {"tables": {}}
        if method == "probe_script":
            ran = f"scripts.run_script.{names[-1]}" in self.done
            return Probed(Found.PRESENT if ran else Found.ABSENT, {})
        if method in ("start", "open") and names:
            self.on.add(switch)
        if method in ("stop", "close") and names:
            self.on.discard(switch)
        return {"method": method}

    def ports(self) -> Ports:
        names = ("databases", "scripts", "validation", "backups", "services", "traffic", "checks")
        return Ports(**{name: _Port(self, name) for name in names}, monitor_checks=self.monitor_checks, clock=_Clock())


class _Port:
    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name

    def __getattr__(self, method: str) -> Any:
        return lambda *args, **_: self._world.act(self._name, method, args)


class MonitorChecks:
    """Checks of Monitor whose samples a test sets; what was kept outlives a daemon."""

    def __init__(self) -> None:
        self.rules = Rules()
        self.samples: dict[str, Sample] = {}
        self.kept: Watched | None = None
        self.wrong: Exception | None = None

    async def sample(self, attempt_id: AttemptId) -> dict[str, Sample]:
        if self.wrong:
            raise self.wrong
        return dict(self.samples)

    async def recall(self) -> Watched | None:
        return self.kept

    async def keep(self, watched: Watched) -> None:
        self.kept = watched


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def reading(self) -> ClockReading:
        return ClockReading(self.now(), "here", time.monotonic())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Night:
    """One run in memory, and daemons that take it one after the other."""

    def __init__(
        self,
        *,
        gates: tuple[str, ...] = ("downtime", "cutover"),
        watch_seconds: float = 0.0,
        opens: datetime | None = None,
        jobs: int = 1,
        rehearses: bool = False,
        items: Mapping[str, list[str]] = ITEMS,
        **frozen: Any,
    ) -> None:
        """`frozen`: more that `RunStarted` has."""
        self.world, self.copy, self.stream = World(), World(), MemoryStream()
        self.gates, self.watch_seconds, self.opens = gates, watch_seconds, opens
        self.jobs, self.rehearses, self.items, self.frozen = jobs, rehearses, items, frozen
        self.inbox: asyncio.Queue[InboxItem] = asyncio.Queue()
        self.check_plan: Callable[[Run], None] = lambda run: None
        self.leads: Callable[[], bool] = lambda: True
        self.copies: list[JournalCopy] = []
        self.log: RunLog = self._log()

    def _log(self) -> RunLog:
        return RunLog("night", self.stream.journal("cutover.evt.night"), copies=self.copies)

    async def daemon(self, *, auto: bool = True, step_seconds: float = 5.0, collect_seconds: float | None = None) -> Stopped:
        """A new daemon takes the run as it is in the journal and drives it."""
        self.log = self._log()
        await self.log.replay()
        self.log.epoch = self.log.run.epoch + 1
        await self.log.append(facts.LeaderAcquired(epoch=self.log.epoch, host="here", pid=1))
        if self.log.run.plan is None:
            await self.log.append(
                facts.RunStarted(
                    plan_sha256="",
                    files={},
                    items=dict(self.items),
                    validate_jobs=self.jobs,
                    rehearses=self.rehearses,
                    gates=list(self.gates),
                    watch_seconds=self.watch_seconds,
                    opens=self.opens,
                    **self.frozen,
                )
            )
        runner = RunLoop(
            self.log,
            replace(self.world.ports(), rehearsal=self.copy.ports()),
            self.inbox,
            step_seconds=step_seconds,
            collect_seconds=collect_seconds,
            auto=auto,
            check_plan=self.check_plan,
            check_leads=self._check_leads,
        )
        return await runner.drive()

    async def _check_leads(self) -> bool:
        return self.leads()

    async def say(self, verb: str, **fields: Any) -> None:
        seq = await self.stream.store("cutover.cmd.alice", "", b"")
        self.inbox.put_nowait(Command(verb=verb, seq=seq, by="alice", sent_at=datetime.now(UTC), **fields))

    def types(self) -> list[str]:
        """Of the events on record."""
        return [decode(m.data).event.wire_type() for m in self.stream.messages if m.subject.startswith("cutover.evt")]

    async def events(self) -> list[facts.Event]:
        return [decode(m.data).event for m in self.stream.messages if m.subject.startswith("cutover.evt")]

    async def until(self, is_reached: Callable[[], bool], seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while not is_reached():
                await asyncio.sleep(0.005)

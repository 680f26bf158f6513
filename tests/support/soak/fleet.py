"""The daemons of one disturbed run, each on a machine of its own with a supervisor, and what was done to them and to the servers.

A supervisor starts a daemon again half a second after its end, whatever the end was, but for exit code 7 (another daemon
drives: docs/operations.md) and for a run that is over.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from support.night import Night
from support.preloaded import Process
from support.rivals import DRIVES_SECONDS, Rivals

from cutoverd.daemon.bus.errors import Unreachable
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.events import facts
from cutoverd.states import ENDS

RESTART_SECONDS = 0.5
TICK_SECONDS = 0.03


@dataclass
class Unit:
    """One plan file whose daemon is started again."""

    plan_file: Path
    options: tuple[str, ...]
    daemon: Process
    restart_at: float | None = None  # monotonic seconds


@dataclass
class Fleet:
    """`away` and `disturbed_at` are what the watch takes into account: nobody can drive what stands still by our own doing."""

    night: Night
    rivals: Rivals
    is_over: Callable[[], bool]  # as far as the journal was seen
    units: list[Unit] = field(default_factory=list)
    paused: set[int] = field(default_factory=set)  # pids of daemons
    away: Counter[str] = field(default_factory=Counter)  # servers that are down, or stand still
    disturbed_at: float = field(default_factory=time.monotonic)
    exits: Counter[str] = field(default_factory=Counter)
    errors: list[tuple[float, float]] = field(default_factory=list)  # exit code 1: when, and how long after a disturbance
    _found_over: bool = False
    _later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def start(self, *options: str, plan_file: Path | None = None) -> None:
        plan_file = plan_file or self.night.plan_file
        self.units.append(Unit(plan_file, options, self.night.start_plan(plan_file, *options)))
        self.disturb()

    def start_elsewhere(self, *options: str) -> None:
        self.start(*options, plan_file=self.rivals.furnish_machine())

    @property
    def has_ended(self) -> bool:
        """Also where the server went with the run's end, before anybody could look."""
        return self._found_over or self.is_over()

    def _find_over(self, code: int) -> None:
        """By the exit code; 5 says as well that PreCheck failed, and 1 that the run had ended: there the journal is asked."""
        if code in (Exit.COMPLETED, Exit.ROLLED_BACK):
            self._found_over = True
        elif code in (Exit.ABORTED, Exit.ERROR) and not self.is_away("nats"):
            with suppress(TimeoutError, Unreachable):
                transitions = [each.event for each in self.night.journal() if isinstance(each.event, facts.Transitioned)]
                self._found_over = any(event.target in ENDS for event in transitions)

    @staticmethod
    def now() -> float:
        return time.monotonic()

    def is_left_alone(self) -> bool:
        """For so long that the watch has counted it."""
        return self.now() - self.disturbed_at > DRIVES_SECONDS + 1

    def living(self) -> list[Process]:
        return [unit.daemon for unit in self.units if unit.daemon.poll() is None]

    def disturb(self) -> None:
        self.disturbed_at = time.monotonic()

    def kill(self, daemon: Process) -> None:
        daemon.kill()
        daemon.wait(10)
        self.disturb()

    def pause(self, daemon: Process, seconds: float) -> None:
        os.kill(daemon.pid, signal.SIGSTOP)  # its number is nobody else's before its end was met
        self.paused.add(daemon.pid)
        self.later(seconds, lambda: self._go_on(daemon))

    def _go_on(self, daemon: Process) -> None:
        if daemon.poll() is None:
            os.kill(daemon.pid, signal.SIGCONT)
        self.paused.discard(daemon.pid)
        self.disturb()

    def take_away(self, server: str, seconds: float, back: Callable[[], None]) -> None:
        """It is away for so long, and comes back by `back`."""
        self.away[server] += 1

        def comes_back() -> None:
            back()
            self.away[server] -= 1
            self.disturb()

        self.later(seconds, comes_back)

    def is_away(self, server: str = "") -> bool:
        return self.away[server] > 0 if server else any(count > 0 for count in self.away.values())

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + seconds, action))

    def wait(self, seconds: float) -> None:
        """Meanwhile what is due is done: servers come back, daemons go on, supervisors start what has ended."""
        until = time.monotonic() + seconds
        while True:
            self.tend()
            if time.monotonic() >= until:
                return
            time.sleep(TICK_SECONDS)

    def wait_for_servers(self, *servers: str) -> None:
        while any(self.is_away(server) for server in servers):
            self.wait(0)
            time.sleep(TICK_SECONDS)

    def calm_down(self) -> None:
        """All that was to come later has come."""
        while self._later:
            self.wait(TICK_SECONDS)

    def tend(self) -> None:
        now = time.monotonic()
        due = [each for each in self._later if each[0] <= now]
        self._later = [each for each in self._later if each[0] > now]
        for _, action in due:
            action()
        for unit in list(self.units):
            self._supervise(unit, now)

    def _supervise(self, unit: Unit, now: float) -> None:
        code = unit.daemon.poll()
        if code is None:
            return
        if unit.restart_at is None:
            self.exits[str(code)] += 1
            if code == Exit.ERROR and not self.is_away():
                self.errors.append((time.time(), now - self.disturbed_at))
            unit.restart_at = now + RESTART_SECONDS
            if not self.has_ended:
                self._find_over(code)
        if code == Exit.SUPERSEDED or self.has_ended:
            self.units.remove(unit)
        elif now >= unit.restart_at:
            unit.daemon, unit.restart_at = self.night.start_plan(unit.plan_file, *unit.options), None

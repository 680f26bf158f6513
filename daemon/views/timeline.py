"""How long everything took, from the events alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.states import ENDS, WAY
from cutoverd.states.downtime import Downtime
from cutoverd.states.monitor import Monitor
from cutoverd.states.ports import Direction
from cutoverd.states.rollback import Rollback
from cutoverd.states.run import StepKey

Outcome = facts.StepSucceeded | facts.StepFailed | facts.StepInterrupted


@dataclass(frozen=True)
class Running:
    """An attempt that was announced and of which no outcome is known."""

    step: str
    direction: str
    attempt: int
    began: datetime


@dataclass
class Timeline:
    """Seconds by state, and of downtime: from the first step of Downtime until clients are let in again.

    What came first is told by the order of the events: the clock may have been set between two of them.
    """

    entered: list[tuple[str, datetime]] = field(default_factory=list)
    closed_at: datetime | None = None
    opened_at: datetime | None = None
    last_at: datetime = datetime.min
    gate_seconds: float = 0.0  # spent waiting for `advance`
    turned_because: str = ""  # why the run turned back, the last time it did
    turned_hint: str = ""  # what the step said that would help, if one turned it
    dropped: set[str] = field(default_factory=set)  # databases that `finalize` dropped
    budget_seconds: float | None = None  # of the window
    all_running: tuple[Running, ...] = ()  # in the order of their beginning; several of a group
    leader: str = ""  # host/pid of the daemon that took the run last
    _hint: str = ""
    _hints: dict[str, str] = field(default_factory=dict)  # by step, of those that failed since the run turned last
    _first_turn: tuple[str, str] = ("", "")  # reason and hint: what `retry` goes on with
    _gate_at: datetime | None = None

    def apply(self, recorded: Recorded) -> None:
        at, event = recorded.envelope.time, recorded.event
        self.last_at = at
        self._follow(event, at)
        match event:
            case facts.RunStarted():
                self.entered.append((WAY[0].name, at))
                self.budget_seconds = event.budget_seconds
            case facts.Transitioned():
                self.entered.append((event.target, at))
                self._turn(event)
            case facts.LeaderAcquired():
                self.leader = f"{event.host}/{event.pid}"
            case facts.StepFailed():
                self._hint = self._hint or event.hint
                self._hints[event.step] = event.hint
            case facts.ValidationFailed():  # of many the first stands for all: in their order, whichever ended first
                self._hint = next(filter(None, (self._hints.get(each.step) for each in event.failures)), "")
            case facts.LeftoverDropped():
                self.dropped.add(event.database)
            case facts.GateReached():
                self._gate_at = at
            case facts.GatePassed() if self._gate_at:
                self.gate_seconds += _between(self._gate_at, at)
            case facts.StepStarted(direction=Direction.FORWARD) if _closes(event.step):
                self.closed_at = self.closed_at or at
            case facts.StepSucceeded() if _opens(event):
                self.opened_at = at if self.closed_at else None

    def _turn(self, event: facts.Transitioned) -> None:
        """A way back that failed is why it is stuck; once it is tried again, what counts is why it was taken."""
        if event.trigger in ("fail", "rollback"):
            self.turned_because, self.turned_hint = event.reason, self._hint if event.trigger == "fail" else ""
        if event.trigger == "retry":
            self.turned_because, self.turned_hint = self._first_turn
        if event.target == Rollback.name:
            self._first_turn = self.turned_because, self.turned_hint
        self._hint = ""
        self._hints.clear()

    def _follow(self, event: facts.Event, at: datetime) -> None:
        """The running steps; what a daemon that is gone had begun does not run any more."""
        match event:
            case facts.StepStarted():
                begun = Running(event.step, event.direction, event.attempt, at)
                beside = self._running_without(event) if StepKey.of(event.step).definition.grouped else ()
                self.all_running = (*(each for each in beside if StepKey.of(each.step).definition.grouped), begun)
            case facts.StepSucceeded() | facts.StepFailed() | facts.StepInterrupted():
                self.all_running = self._running_without(event)
            case facts.LeaderAcquired():
                self.all_running = ()

    def _running_without(self, event: facts.StepStarted | Outcome) -> tuple[Running, ...]:
        return tuple(each for each in self.all_running if (each.step, each.direction) != (event.step, event.direction))

    @property
    def running(self) -> Running | None:
        """The one that was begun first."""
        return next(iter(self.all_running), None)

    def downtime_seconds(self, now: datetime) -> float:
        """0 until it begins; counted on until it is over."""
        if self.closed_at is None:
            return 0.0
        return _between(self.closed_at, self.opened_at or now)

    def window_seconds(self, now: datetime) -> float:
        """0 until PreCheck is left; counted on until the run watches what it did, or is over."""
        left = next((at for state, at in self.entered if state == Downtime.name), None)
        ended = next((at for state, at in self.entered if state in (Monitor.name, *ENDS)), now)
        return _between(left, ended) if left else 0.0

    def state_seconds(self, now: datetime) -> dict[str, float]:
        """Seconds spent in each state that was entered, in order."""
        ends = [*(at for _, at in self.entered[1:]), *([now] if self.entered else [])]
        spent: dict[str, float] = {}
        for (state, began), ended in zip(self.entered, ends, strict=True):
            spent[state] = spent.get(state, 0.0) + _between(began, ended)
        return spent


def _between(began: datetime, ended: datetime) -> float:
    return max(0.0, (ended - began).total_seconds())


def _closes(step: str) -> bool:
    return StepKey.of(step).definition.begins_downtime


def _opens(event: facts.StepSucceeded) -> bool:
    """Clients are in again: the cutover let them in, or the way back reopened what Downtime had closed."""
    step = StepKey.of(event.step).definition
    return step.opens_traffic if event.direction == Direction.FORWARD else step.closes_traffic

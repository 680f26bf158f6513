"""A run as its events tell it: a value, never changed, only evolved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any

from cutoverd.states import ENDS, STATES, STUCK, WAY, rehearsal
from cutoverd.states.cutover import Cutover
from cutoverd.states.monitor import Monitor
from cutoverd.states.ports import Direction, Evidence, Found
from cutoverd.states.smoke import Smoke
from cutoverd.states.step import Step


@dataclass(frozen=True)
class StepKey:
    """One step of one state, for one item: `downtime.stop_service:worker`."""

    state: str
    step: str
    item: str = ""

    def __str__(self) -> str:
        return f"{self.state}.{self.step}" + (f":{self.item}" if self.item else "")

    @classmethod
    def of(cls, text: str) -> StepKey:
        name, _, item = text.partition(":")
        state, _, step = name.partition(".")
        return cls(state, step, item)

    @property
    def definition(self) -> Step:
        return next(step for step in STATES[self.state].steps if step.name == self.step)

    @property
    def summary(self) -> str:
        """What is true once it is done."""
        return rehearsal.summary(self.item) if self.definition.per_item == rehearsal.KIND else self.definition.summary

    @property
    def of_window(self) -> StepKey:
        """The step of the window that it takes on the copy, there or back; itself of one that is no rehearsal."""
        is_rehearsal = self.definition.per_item == rehearsal.KIND
        return StepKey.of(self.item.removeprefix(rehearsal.UNDO)) if is_rehearsal else self

    @property
    def hides_rest(self) -> bool:
        """Whether nothing that comes after it means anything once it has failed: of a rehearsal, what is no check."""
        return self.definition.per_item == rehearsal.KIND and not rehearsal.is_collected(self.item)


class Writes(StrEnum):
    """What a count of the writes to new found, before a failure turns the run."""

    NONE = "none"  # going back costs nothing
    SOME = "some"
    UNKNOWN = "unknown"  # never taken for none


class Status(StrEnum):
    """How far a step is, one way."""

    UNTOUCHED = "untouched"
    BEGUN = "begun"  # no outcome yet, or none that anybody saw
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Attempts:
    """What is known of a step in one direction."""

    status: Status = Status.UNTOUCHED
    count: int = 0
    found: Found | None = None  # the last probe's answer, none since the last attempt
    evidence: Evidence = field(default_factory=dict)
    reason: str = ""
    outcome_unknown: bool = False  # it failed, and nobody knows what became of it
    probe_output: str = ""  # by the last probe, where it could not tell
    seconds: float = 0.0
    began: datetime | None = None  # the last attempt; None once nobody knows whether it goes on


@dataclass(frozen=True)
class WaitingGate:
    """A gate that was reached and not yet passed."""

    name: str
    seq: int


@dataclass(frozen=True)
class Hold:
    """No step is started until `resume`."""

    reason: str
    by: str | None
    now: bool
    seq: int


@dataclass(frozen=True)
class Failure:
    """What went wrong and is not yet answered."""

    step: str  # "" when somebody outside reported it
    direction: Direction
    reason: str
    seq: int


@dataclass(frozen=True)
class FrozenPlan:
    """What RunStarted froze of the plan."""

    items: Mapping[str, list[str]] = field(default_factory=dict)
    gates: tuple[str, ...] = ()
    opens: datetime | None = None
    watch_seconds: float = 0.0
    budget_seconds: float | None = None
    state_budgets: Mapping[str, float] = field(default_factory=dict)
    operators: tuple[str, ...] = ()
    plan_sha256: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    files_sha256: str = ""
    production: str = ""
    rehearses: bool = False
    validate_jobs: int = 1
    on_overrun: str = ""

    @cached_property
    def all_items(self) -> Mapping[str, Sequence[str]]:
        """Those of the plan, and what the rehearsal takes of them."""
        return {**self.items, rehearsal.KIND: rehearsal.items(WAY, self.items) if self.rehearses else ()}


@dataclass(frozen=True)
class Run:
    """One execution of a plan."""

    name: str
    state: str = WAY[0].name
    plan: FrozenPlan | None = None  # None: not started
    epoch: int = 0
    started_seq: int = 0
    last_seq: int = 0
    command_position: int = 0
    entered_seq: int = 0
    entered_at: datetime = datetime.min
    window_began: datetime | None = None  # PreCheck was left
    extended_seconds: float = 0.0  # that operators have added to the window
    is_overrun: bool = False  # it would end too late, and that is on record
    gate: WaitingGate | None = None
    passed: frozenset[str] = frozenset()
    ready: frozenset[str] = frozenset()
    held: Hold | None = None
    failure: Failure | None = None
    aborting: bool = False
    collecting_ended: bool = False  # of what else is wrong no more is asked
    breached: frozenset[str] = frozenset()  # checks of Monitor
    answered_seq: int = 0  # of the last `resume`, its n: the sequence is another one in a stream that was restored
    dropped: frozenset[int] = frozenset()  # databases that `finalize` dropped after the end, by oid
    foreign_messages: int = 0  # on its subject, as far as they are on record
    # by str(Key), in the order of their beginning
    attempts: Mapping[tuple[str, Direction], Attempts] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def frozen(self) -> FrozenPlan:
        """What the run began with; raises `ValueError` before it has begun."""
        if self.plan is None:
            raise ValueError(f"run {self.name} has not started")
        return self.plan

    @property
    def deadline(self) -> datetime | None:
        """Of the window; None before it, and without a budget."""
        budget = self.frozen.budget_seconds
        if self.window_began is None or budget is None:
            return None
        return self.window_began + timedelta(seconds=budget + self.extended_seconds)

    @property
    def is_over(self) -> bool:
        return self.state in ENDS

    @property
    def is_stuck(self) -> bool:
        return self.state == STUCK

    @property
    def failed_in_place(self) -> bool:
        """PreCheck, or its `abort`, has failed and stays so until a person speaks."""
        return self.state == WAY[0].name and self.failure is not None

    def of(self, key: StepKey, direction: Direction) -> Attempts:
        return self.attempts.get((str(key), direction), Attempts())

    def is_done(self, key: StepKey, direction: Direction = Direction.FORWARD) -> bool:
        return self.of(key, direction).status is Status.DONE

    def begun(self, direction: Direction = Direction.FORWARD) -> list[StepKey]:
        """The steps that were begun, oldest first."""
        return [StepKey.of(key) for (key, way), tried in self.attempts.items() if way is direction and tried.count]

    def evidence(self) -> dict[str, Evidence]:
        return {key: tried.evidence for (key, way), tried in self.attempts.items() if way is Direction.FORWARD and tried.evidence}

    def seconds(self) -> dict[str, float]:
        """That each step took on the way there, by its key, of those that are done."""
        forward = ((key, tried) for (key, way), tried in self.attempts.items() if way is Direction.FORWARD)
        return {key: tried.seconds for key, tried in forward if tried.status is Status.DONE}

    @property
    def failed_checks(self) -> list[StepKey]:
        """Of this state, those whose failure is collected and has not turned the run yet; in the order of the steps."""
        collected = [key for key in self.keys(self.state) if key.definition.collected] if self.state in STATES else []
        return [key for key in collected if self.of(key, Direction.FORWARD).status is Status.FAILED]

    @property
    def missing(self) -> tuple[str, ...]:
        """The operators who have not said `ready`, in the plan's order."""
        return tuple(name for name in self.frozen.operators if name not in self.ready)

    @property
    def opened(self) -> list[StepKey]:
        """The steps that may have let clients in: begun, and no probe has proved that they did not."""
        begun = [key for key in self.begun() if key.definition.opens_traffic]
        return [key for key in begun if self.of(key, Direction.FORWARD).found is not Found.ABSENT]

    @property
    def traffic_may_be_open(self) -> bool:
        return self.state == Monitor.name or (self.state == Cutover.name and bool(self.opened))

    @property
    def is_exposed(self) -> bool:
        """Whether somebody may have written to new: from the swap on, until the run turns."""
        return self.state in (Smoke.name, Cutover.name) and any(key.definition.exposes_new for key in self.begun())

    @property
    def count_key(self) -> StepKey:
        """The step of this state that counts what was written to new."""
        [counting] = (step for step in STATES[self.state].steps if step.after_failure)
        return StepKey(self.state, counting.name)

    @property
    def writes(self) -> Writes | None:
        """What was counted since the last failure; None if nobody has counted. A count that failed tells nothing."""
        tried = self.of(self.count_key, Direction.FORWARD) if self.is_exposed else Attempts()
        if tried.status is Status.FAILED:
            return Writes.UNKNOWN
        return Writes(tried.evidence.get("writes", "unknown")) if tried.status is Status.DONE else None

    @property
    def is_count_unknown(self) -> bool:
        """Whether nobody saw the end of the count: new may be closed to all since then."""
        return self.of(self.count_key, Direction.FORWARD).outcome_unknown if self.is_exposed else False

    @property
    def may_lose_writes(self) -> bool:
        """Whether going back from here may cost what somebody wrote to new."""
        return self.traffic_may_be_open or (self.is_exposed and self.writes is not Writes.NONE)

    def keys(self, state: str) -> Iterator[StepKey]:
        """The steps of a state in order, one per item."""
        for step in (step for step in STATES[state].steps if not step.after_failure):
            items: Any = self.frozen.all_items.get(step.per_item, ()) if step.per_item else ("",)
            for item in reversed(items) if step.newest_first else items:
                yield StepKey(state, step.name, item)

"""What a step and a state are. A step is one action; the attempt at it is announced, made, and its outcome recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from cutoverd.events.facts import Event
from cutoverd.states.ports import AttemptId, Backups, Databases, Evidence, Probed, Scripts, Validation
from cutoverd.states.ports_systems import Checks, Clock, MonitorChecks, Services, Traffic


class Effect(StrEnum):
    """What makes a step safe to take again when nobody saw the outcome of an attempt."""

    NONE = "none"  # it changes nothing that lasts: taken again
    LEDGER = "ledger"  # its record commits with its effect, or it asks the catalog itself: taken again, finds "already done"
    PROBED = "probed"  # it acts outside any transaction: taken again only after its probe said that the effect is absent


class ProgressSource(StrEnum):
    """Where whoever shows a running step sees how far it is."""

    SESSIONS = "sessions"  # what the server says of our sessions; nothing where the state uses no database
    CLONE = "clone"  # the session that copies the database
    BACKUP = "backup"  # what pg_dump has written of the backup before the window, then as SCHEMA_FILES
    FINAL_BACKUP = "final backup"  # what pg_dump has written of the final one
    SCHEMA_FILES = "schema files"  # the statement of a schema file that runs
    DATA_SCRIPT = "data script"  # the statement of the data script that runs
    WATCH = "watch"  # the time that Monitor has watched


async def _nowhere(event: Event) -> None:
    """Where nobody keeps a journal."""


@dataclass(frozen=True)
class Ports:
    """All of the world that a step may touch."""

    databases: Databases
    scripts: Scripts
    validation: Validation
    backups: Backups
    services: Services
    traffic: Traffic
    checks: Checks
    monitor_checks: MonitorChecks
    clock: Clock
    rehearsal: Ports | None = None  # the same of a copy of production, out of reach of clients


@dataclass(frozen=True)
class Context:
    """All that a step may know."""

    ports: Ports
    attempt_id: AttemptId
    item: str  # "" for a step that is not made once per item
    entered_at: datetime  # of the state
    watch_seconds: float
    budget_seconds: float | None = field(default=None, kw_only=True)  # of the window
    evidence: Mapping[str, Evidence] = field(default_factory=dict)  # of the steps that succeeded, by key
    seconds: Mapping[str, float] = field(default_factory=dict, kw_only=True)  # that they took
    breached: frozenset[str] = frozenset()  # checks of Monitor whose breach is on record
    answered_seq: int = 0  # of the last `resume`, its n
    record: Callable[[Event], Awaitable[None]] = _nowhere  # a change seen meanwhile, appended by the loop before it returns


StepAction = Callable[[Context], Awaitable[Evidence]]
Probe = Callable[[Context], Awaitable[Probed]]
HeldLoop = Callable[[Context], Awaitable[None]]


@dataclass(frozen=True)
class Step:
    """One action of a state: `run`, its opposite `undo`, and `probe`, what is true now?"""

    run: StepAction
    effect: Effect
    undo: StepAction | None = None
    probe: Probe | None = None
    per_item: str = ""  # made once per item of this kind ("services")
    newest_first: bool = False  # items in reverse order
    recheck_after_gate: bool = False  # a cheap check: made once more right after the gate
    opens_traffic: bool = False  # from its beginning on, going back may cost writes
    exposes_new: bool = False  # from its beginning on whoever gets into production writes to new
    any_day: bool = False  # of PreCheck: `cutoverd rehearse` takes it too, without a run
    rehearsed: bool = False  # taken in PreCheck as well, on a copy, with its way back
    collected: bool = False  # its failure turns the run once the others of its state were asked as well, with theirs
    grouped: bool = False  # without effect: taken side by side with its like, as many at once as the plan says
    after_failure: bool = False  # not on the way: taken once another step has failed, before the run turns
    copied_first: bool = False  # not begun before the ledger knows of it too, either way: a lost stream must not hide it
    closes_traffic: bool = False  # its way back lets clients in again
    begins_downtime: bool = False  # from its beginning on clients may be kept out
    untimed: bool = False  # the step knows itself when it has to end; else the plan's time-out for a step ends it
    progress: ProgressSource = ProgressSource.SESSIONS
    no_way_back: str = ""  # why it needs no undo
    while_held: HeldLoop | None = None  # what goes on while the run is held in this state, until it is cancelled
    state: str = field(default="", init=False)  # that it is a step of

    def __set_name__(self, owner: type[State], name: str) -> None:
        object.__setattr__(self, "state", owner.__name__.lower())

    def __str__(self) -> str:
        return self.of()

    def of(self, item: str = "") -> str:
        """Its key in events and evidence: `downtime.stop_service:worker`; without an item `downtime.fence_old`."""
        return f"{self.state}.{self.name}" + (f":{item}" if item else "")

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def summary(self) -> str:
        return (self.run.__doc__ or "").strip().splitlines()[0]


def step(effect: Effect, **options: Any) -> Callable[[StepAction], Step]:
    """Make an async function of a Context a step; options are the fields of `Step`."""
    return lambda run: Step(run, effect, **options)


class State:
    """One stop of the run: its steps in order."""

    name: ClassVar[str]
    steps: ClassVar[tuple[Step, ...]]
    reads_files: ClassVar[bool] = False  # of the plan: before each step forward they are compared with what was frozen
    uses_database: ClassVar[bool] = True  # its steps are seen at work in the server's sessions

    def __init_subclass__(cls) -> None:
        cls.name = cls.__name__.lower()
        cls.steps = tuple(value for value in vars(cls).values() if isinstance(value, Step))
        _ALL.update({str(each): each for each in cls.steps})


_ALL: dict[str, Step] = {}


def step_of(key: str) -> tuple[Step, str]:
    """The step that a key means, and its item. Raises `KeyError` for one that there is not."""
    name, _, item = key.partition(":")
    return _ALL[name], item

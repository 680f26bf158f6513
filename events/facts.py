"""What happened: every event of a run, in the past tense. The class is `StepFailed`, its type on the wire `step_failed`.

Names and fields are never changed once released: an old journal must replay. Evidence is JSON and holds no secret and no
content of rows but keys.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cutoverd.events.event import Event as Event

DAEMON = "the daemon"  # `by` of what the daemon found itself; no subject has a blank in it, so nobody can be called that


class RunStarted(Event):
    """The plan is frozen: what it is made of, and what the run will go through."""

    plan_sha256: str
    files: dict[str, str]  # path as the plan names it -> sha256; {} if they are too many for a message
    files_sha256: str = ""  # of the whole list, which is kept in the run's folder
    items: dict[str, list[str]]  # kind ("services") -> names, in the plan's order
    gates: list[str]  # states that are entered only after `advance`
    opens: datetime | None = None  # `advance` before it is refused
    budget_seconds: float | None = None  # of the window
    state_budgets: dict[str, float] = Field(default_factory=dict)  # seconds, of the states that have one
    watch_seconds: float = 0  # how long Monitor lasts
    operators: list[str] = Field(default_factory=list)  # who says `ready` before PreCheck is left
    production: str = ""
    version: str = ""  # of cutoverd
    rehearses: bool = False  # the window, in PreCheck; False of older versions
    validate_jobs: int = 1  # comparisons and validation scripts at once; 1 of older versions
    on_overrun: str = ""  # what to do if the window would end too late: "rollback", "hold"; "": it is only said


class LeaderAcquired(Event):
    """A daemon took the run; all with a lower epoch are fenced."""

    epoch: int
    host: str
    pid: int
    version: str = ""
    orphans: list[str] = Field(default_factory=list)  # what an earlier daemon had left running, ended before this


class Transitioned(Event):
    """The run is in another state."""

    source: str
    target: str
    trigger: str
    reason: str = ""
    by: str | None = None
    accept_loss: bool = False


class GateReached(Event):
    """All before the gate is done; the run waits for `advance`."""

    gate: str


class GatePassed(Event):
    """Somebody, or `auto`, let the run through."""

    gate: str
    by: str | None


class StepStarted(Event):
    """An attempt is announced, before anything is touched."""

    step: str
    direction: str
    attempt: int


class StepSucceeded(Event):
    """The step's effect was observed; `found`: by a probe or the ledger, after an attempt whose outcome nobody saw."""

    step: str
    direction: str
    seconds: float
    evidence: dict[str, Any] = Field(default_factory=dict)
    found: bool = False


class StepFailed(Event):
    """The step did not do what it should; what it began is undone by the way back."""

    step: str
    direction: str
    seconds: float
    error: str
    reason: str
    hint: str = ""
    evidence: dict[str, Any] = Field(default_factory=dict)


class FailedCheck(BaseModel):
    """One of the checks of Validate that failed; its `step_failed` has the whole of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    reason: str  # its beginning


class WindowOverrun(Event):
    """What is left of the window would end after its deadline."""

    forward_seconds: float  # that it is yet to take, at least
    rollback_seconds: float | None  # that going back would take; None: nobody knows
    late_seconds: float  # so long after the deadline it would end, at least
    turns: str  # what follows: "rollback", "hold"; "": nothing, it is only said
    spared: str = ""  # why nothing follows


class WindowExtended(Event):
    """An operator has moved the deadline of the window."""

    seconds: float  # later than it was
    by: str | None
    reason: str


class CollectingEnded(Event):
    """Something in Validate has failed, and for so long what else is wrong was asked: what is open is asked no more."""

    seconds: float


class ValidationFailed(Event):
    """All that was found wrong in Validate, by one event: it turns the run. Of many the first are named."""

    failed: int
    failures: list[FailedCheck]
    unchecked: int
    not_checked: list[str]  # steps: what was never asked, or did not come to its end


class StepInterrupted(Event):
    """The attempt was ended before its outcome was known: by `hold --now`, the way back, or a lost connection."""

    step: str
    direction: str
    seconds: float
    reason: str


class StepProbed(Event):
    """What is true now of a step whose outcome nobody saw: is its effect present, absent, or unknown?"""

    step: str
    direction: str
    found: str
    evidence: dict[str, Any] = Field(default_factory=dict)


class RunHeld(Event):
    """No further step is started; `now`: the running one was cancelled."""

    reason: str
    by: str | None
    now: bool = False


class RunResumed(Event):
    """The hold is over."""

    by: str | None
    reason: str = ""


class RetryRequested(Event):
    """What failed in PreCheck is tried again."""

    by: str | None
    reason: str = ""


class AbortRequested(Event):
    """PreCheck ends the run; nothing of production was touched."""

    by: str | None
    reason: str = ""


class FailureReported(Event):
    """Somebody outside says that something is wrong, or a daemon that it must not begin a step."""

    by: str | None
    reason: str


class OperatorReady(Event):
    """One of the operators whom the plan names is there; a failure of PreCheck takes it back."""

    by: str
    reason: str = ""


class NoteTaken(Event):
    """A line for the timeline."""

    by: str | None
    text: str


class CheckBreached(Event):
    """A check of Monitor was bad for as long as the plan says; `saw`: last, and what is allowed."""

    check: str
    saw: str
    value: float | None = None
    seconds: float  # for how long it has been bad


class CheckRecovered(Event):
    """A check of Monitor whose breach is on record is good again."""

    check: str
    saw: str
    value: float | None = None


class LeftoverDropped(Event):
    """After the end: a database of the run is gone; `found`: it was, and nobody had seen it being dropped."""

    database: str
    oid: int
    what: str  # "old", "new", "placeholder" or "unfinished"
    bytes: int | None = None
    found: bool = False


class CommandRejected(Event):
    """A command was refused: what was seen, what would be right, what may be done next."""

    verb: str
    by: str | None
    reason: str
    next: list[str] = Field(default_factory=list)


class RefusedCommand(BaseModel):
    """One of a flood."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seq: int  # of the stream, where it lies
    verb: str
    by: str | None
    reason: str


class CommandsRejected(Event):
    """A flood of commands was refused, by one event: how many they were, and the first and the last of them."""

    count: int
    first: RefusedCommand
    last: RefusedCommand


class ForeignMessagesFound(Event):
    """On the run's subject lie messages that are not the daemon's: they were stepped over. Since the last such event."""

    count: int
    first_seq: int  # of the stream
    last_seq: int
    reason: str  # of the first: why it is none of ours


TYPES: dict[str, type[Event]] = {event.wire_type(): event for event in Event.__subclasses__()}

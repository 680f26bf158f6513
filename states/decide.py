"""`decide(run, command, now) → events`: what a command means to a run. Pure; every refusal is an event too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from cutoverd.events import facts
from cutoverd.events.commands import Command, Verb
from cutoverd.states import STUCK, target, triggers
from cutoverd.states.forecast import WINDOW
from cutoverd.states.guards import loss_accepted
from cutoverd.states.next_action import what_was_written
from cutoverd.states.precheck import PreCheck
from cutoverd.states.rollback import Rollback
from cutoverd.states.run import Run


class CommandRefused(Exception):
    """the command does not count: the message says what was seen and what would be right"""


def decide(run: Run, command: Command, now: datetime) -> list[facts.Event]:
    """The events a command leads to: what it does, or one `CommandRejected`."""
    try:
        _addressed(run, command, now)
        return [_ANSWERS[command.verb](run, command, now)]
    except CommandRefused as refused:
        return [rejected(run, command.verb, command.by, str(refused))]


def find_refusal(run: Run, command: Command, now: datetime) -> str | None:
    """Why a command does not count, without what may be done instead; None if it counts."""
    try:
        _addressed(run, command, now)
        _ANSWERS[command.verb](run, command, now)
    except CommandRefused as refused:
        return str(refused)
    return None


def rejected(run: Run, verb: str, by: str | None, reason: str) -> facts.CommandRejected:
    """The refusal of a command, with what may be done next."""
    return facts.CommandRejected(verb=verb, by=by, reason=reason, next=list(allowed_verbs(run)))


def allowed_verbs(run: Run) -> tuple[str, ...]:
    """The verbs that may be said now; `advance` also where only the window has to open first."""
    return tuple(verb for verb in Verb if run.plan and not run.is_over and _would_count(run, verb))


def _would_count(run: Run, verb: Verb) -> bool:
    """Asked of the answers themselves, so that no refusal ever names a verb that would be refused too."""
    by = next(iter(run.missing), None)
    supposed = Command(verb=verb, seq=run.last_seq + 1, reason="?", now=True, accept_loss=True, extension=1.0, by=by)
    try:
        _ANSWERS[verb](run, supposed, run.frozen.opens or datetime.max)
    except CommandRefused:
        return False
    return True


def _addressed(run: Run, command: Command, now: datetime) -> None:
    """The command means this run, in this state, and is not too old; raises `CommandRefused`."""
    if run.is_over:
        raise CommandRefused(f"run {run.name} has ended: {run.state}")
    if command.seq <= run.started_seq:
        raise CommandRefused("it was sent before the run started: look at the run, then say it again")
    if command.run not in (None, run.name):
        raise CommandRefused(f"it is for run {command.run!r}; this is {run.name!r}")
    if command.expect_state not in (None, run.state):
        raise CommandRefused(f"it expects state {command.expect_state!r}; the run is in {run.state!r}")
    if command.ttl and command.sent_at:
        _still_counts(command.ttl, command.sent_at, now)


def _still_counts(ttl: float, sent_at: datetime, now: datetime) -> None:
    """Raises `CommandRefused` for a command that is too old, or whose age nobody can tell because a clock was set back."""
    sent = f"it was to count for {ttl:g} s, and was sent at {sent_at.isoformat(timespec='seconds')}"
    if now > sent_at + timedelta(seconds=ttl):
        raise CommandRefused(sent)
    if now < sent_at - timedelta(seconds=ttl):
        raise CommandRefused(
            f"{sent}, but here it is {now.isoformat(timespec='seconds')}: a clock was set, so nobody can tell its age"
        )


def _not_stale(run: Run, command: Command, asked_seq: int, asked: str) -> None:
    """What answers a question counts only if it was sent after the question was asked; raises `CommandRefused`."""
    if command.seq <= max(asked_seq, run.entered_seq):
        raise CommandRefused(f"it was sent before {asked}: look at the run, then say it again")


def _advance(run: Run, command: Command, now: datetime) -> facts.Event:
    if run.gate is None:
        asked = run.missing if run.state == PreCheck.name and not (run.failure or run.aborting) else ()
        raise CommandRefused(
            f"no gate is waiting in {run.state}" + (f": `ready` of {', '.join(asked)} is missing" if asked else "")
        )
    _not_stale(run, command, run.gate.seq, f"the gate before {run.gate.name} was reached")
    if run.held:
        raise CommandRefused(f"the run is held ({run.held.reason}): `resume` first")
    if run.frozen.opens and now < run.frozen.opens:
        raise CommandRefused(f"the window opens at {run.frozen.opens.isoformat()}; now it is {now.isoformat(timespec='seconds')}")
    return facts.GatePassed(gate=run.gate.name, by=command.by or "anonymous")


def _hold(run: Run, command: Command, now: datetime) -> facts.Event:
    if run.is_stuck:
        raise CommandRefused("the way back failed and nothing is being done: `retry` takes it again")
    if run.held and (run.held.now or not command.now):
        raise CommandRefused(f"the run is already held: {run.held.reason}")
    return facts.RunHeld(reason=command.reason or "hold", by=command.by or "anonymous", now=command.now)


def _resume(run: Run, command: Command, now: datetime) -> facts.Event:
    if run.held is None:
        raise CommandRefused("the run is not held")
    _not_stale(run, command, run.held.seq, "the run was held")
    if run.failure:
        _not_stale(run, command, run.failure.seq, f"the failure ({run.failure.reason})")
    return facts.RunResumed(by=command.by, reason=command.reason)


def _retry(run: Run, command: Command, now: datetime) -> facts.Event:
    if run.held:
        raise CommandRefused(f"the run is held ({run.held.reason}): `resume` first, then `retry`")
    if run.is_stuck:
        _not_stale(run, command, run.entered_seq, "the way back failed")
        return _transitioned(run, command, "retry")
    if run.failure is None or run.state != PreCheck.name:
        raise CommandRefused(f"nothing in {run.state} waits to be tried again")
    _not_stale(run, command, run.failure.seq, "the failure")
    return facts.RetryRequested(by=command.by, reason=command.reason)


def _abort(run: Run, command: Command, now: datetime) -> facts.Event:
    if "abort" not in triggers(run.state):
        raise CommandRefused(f"only PreCheck can be aborted: {_NO_WAY_BACK.get(run.state, '`rollback` takes the run back')}")
    if run.aborting:
        raise CommandRefused("the run is being aborted")
    _not_stale(run, command, run.started_seq, "the run started")
    return facts.AbortRequested(by=command.by, reason=command.reason)


def _rollback(run: Run, command: Command, now: datetime) -> facts.Event:
    if run.aborting:
        raise CommandRefused("the run is being aborted: nothing of production was touched")
    if "rollback" not in triggers(run.state):
        raise CommandRefused(_NO_WAY_BACK.get(run.state, f"from {run.state} there is no way back"))
    if not loss_accepted(run, command):
        if run.is_exposed and not run.traffic_may_be_open and run.writes is None:  # it is counted first, then decided
            return facts.FailureReported(by=command.by, reason=f"rollback: {command.reason}".removesuffix(": "))
        missing = "accept_loss and a reason (`--accept-loss --reason …`)"
        if command.accept_loss:
            missing = "a reason too (`--reason …`): only that is missing"
        why = "traffic may have been open" if run.traffic_may_be_open else what_was_written(run)
        raise CommandRefused(f"{why}: going back gives up what clients wrote since. Say it with {missing}")
    return _transitioned(run, command, "rollback")


_NO_WAY_BACK = {
    PreCheck.name: "nothing of production was touched: `abort` ends the run",
    Rollback.name: "the run is on its way back",
    STUCK: "the way back failed: `retry` takes it again",
}


def _fail(run: Run, command: Command, now: datetime) -> facts.Event:
    if run.state in (Rollback.name, STUCK):
        raise CommandRefused("the run is on its way back: there is nothing left to fail")
    if run.aborting:
        raise CommandRefused("the run is being aborted")
    return facts.FailureReported(by=command.by, reason=command.reason or "no reason given")


def _ready(run: Run, command: Command, now: datetime) -> facts.Event:
    if run.state != PreCheck.name or run.aborting:
        raise CommandRefused("who is ready is asked in PreCheck alone, before the window")
    if run.failure:
        raise CommandRefused(f"PreCheck failed ({run.failure.reason}): `retry` first, and be ready for what it shows then")
    if command.by not in run.frozen.operators:
        raise CommandRefused(_whom_the_plan_names(run, command.by))
    if command.by in run.ready:
        raise CommandRefused(f"{command.by} is ready already; who is missing: {', '.join(run.missing) or 'nobody'}")
    return facts.OperatorReady(by=command.by, reason=command.reason)


def _whom_the_plan_names(run: Run, by: str | None) -> str:
    if not run.frozen.operators:
        return "the plan names no operators, so nobody has to be"
    named = f"it counts from {', '.join(run.frozen.operators)} alone, whom the plan names"
    if by is None:
        return f"nobody knows who said it: {named}; say it on the subject cutover.cmd.<operator>, by `--as` of the terminal"
    return f"it came from {by}: {named}"


def _note(run: Run, command: Command, now: datetime) -> facts.Event:
    if not command.reason:
        raise CommandRefused('a note has a text: `--reason …`, or on the bus {"verb": "note", "reason": "…"}')
    return facts.NoteTaken(by=command.by, text=command.reason)


def _extend(run: Run, command: Command, now: datetime) -> facts.Event:
    if run.deadline is None or run.state not in WINDOW:
        raise CommandRefused(f"in {run.state} there is no deadline to move: it is window.budget after PreCheck, until Monitor")
    if command.extension is None or not command.reason:
        missing = "for how long" if command.extension is None else "why"
        raise CommandRefused(
            f"{missing} is missing: `--for 15m --reason …`, or on the bus "
            '{"verb": "extend", "for": 900, "reason": "…"}, in seconds'
        )
    return facts.WindowExtended(seconds=command.extension, by=command.by or "anonymous", reason=command.reason)


def _transitioned(run: Run, command: Command, trigger: str) -> facts.Transitioned:
    return facts.Transitioned(
        source=run.state,
        target=target(run.state, trigger),
        trigger=trigger,
        reason=command.reason,
        by=command.by or "anonymous",
        accept_loss=command.accept_loss,
    )


_ANSWERS: dict[Verb, Callable[[Run, Command, datetime], facts.Event]] = {
    Verb.ADVANCE: _advance,
    Verb.HOLD: _hold,
    Verb.RESUME: _resume,
    Verb.RETRY: _retry,
    Verb.ABORT: _abort,
    Verb.ROLLBACK: _rollback,
    Verb.FAIL: _fail,
    Verb.READY: _ready,
    Verb.NOTE: _note,
    Verb.EXTEND: _extend,
}

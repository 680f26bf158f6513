"""The run as lines: one per event, with an icon that always means the same. For terminals and for logs alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from cutoverd.daemon.host.printable import continued, json_text, one_line, printable
from cutoverd.daemon.progress import format_seconds
from cutoverd.daemon.views.hints import hint_of
from cutoverd.daemon.views.rehearsal_state import RehearsalState, rehearsal_state
from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.events.commands import Verb
from cutoverd.states.decide import allowed_verbs
from cutoverd.states.evolve import probe_output
from cutoverd.states.next_action import awaited_operator
from cutoverd.states.ports import Direction
from cutoverd.states.precheck import REHEARSED
from cutoverd.states.run import Run, StepKey

_LEAD_ON = (Verb.RETRY, Verb.ABORT, Verb.RESUME)
DONE, FAILED, WARNING, WAITING, PENDING, RUNNING = "✔", "✖", "⚠", "◷", "◌", "▶"
TURN = RUNNING  # the run goes on


M = TypeVar("M", bound=BaseModel)
MORE = "           │ "  # of a text with several lines
SHOWN_EVIDENCE = ("differs", "not_carried", "left_out", "warnings", "written", "written_uncounted")


def line(run: Run, recorded: Recorded) -> str:
    """`22:14:03 ✔ downtime.fence_old  0.21 s  nobody is in the old database …`"""
    event = _of_one_line_each(recorded.event)
    icon, text = _SAYS[type(event)](event)
    return printable(f"{recorded.envelope.time:%H:%M:%S} {icon} {text}{_at_gate(run, event)}{_stands(run, event)}")


def _of_one_line_each(event: M) -> M:
    """What others wrote into an event, or a part of it: no line of it can be taken for an event."""
    texts: dict[str, Any] = {name: continued(value, MORE) for name, value in event if isinstance(value, str) and "\n" in value}
    parts = {name: _of_one_line_each(value) for name, value in event if isinstance(value, BaseModel)}
    return event.model_copy(update=texts | parts)


def _stands(run: Run, event: facts.Event) -> str:
    """A daemon that comes to a run that only a person can lead on would else say nothing more."""
    waits = awaited_operator(run)
    if waits is None or not isinstance(event, facts.LeaderAcquired):
        return ""
    verbs = [] if waits.gate or waits.operators else [f"`{verb}`" for verb in allowed_verbs(run) if verb in _LEAD_ON]
    return f"\n           {WAITING} {one_line(waits.reason)}" + (f"; waits for {' or '.join(verbs)}" if verbs else "")


def _at_gate(run: Run, event: facts.Event) -> str:
    """Whoever is asked for `advance`, and whoever has given it, knows what it goes down with."""
    known = rehearsal_state(run) if isinstance(event, facts.GateReached | facts.GatePassed) else None
    return f"\n           {rehearsal_line(known)}" if known else ""


def rehearsal_line(known: RehearsalState) -> str:
    return f"{DONE if known.is_proven else WARNING} {one_line(known.describe())}"


def _step(event: Any) -> str:
    return event.step if event.direction == Direction.FORWARD else f"back: {event.step}"


def _succeeded(event: facts.StepSucceeded) -> tuple[str, str]:
    says = StepKey.of(event.step).summary if event.direction == Direction.FORWARD else "undone"
    found = " (found: it had been done)" if event.found else ""
    return DONE, f"{_step(event)}  {event.seconds:.2f} s  {says}{_rows(event.evidence)}{found}{_for_a_person(event.evidence)}"


def _rows(evidence: dict[str, Any]) -> str:
    rows = evidence.get("rows")
    return f", {rows:,} row{'s' * (rows != 1)}" if isinstance(rows, int) else ""


def _for_a_person(evidence: dict[str, Any]) -> str:
    """What was done as far as our role may, and is left for somebody who may do more."""
    shown = {name: evidence[name] for name in SHOWN_EVIDENCE if evidence.get(name)}
    says = f"\n           · {one_line(str(evidence['says']))}" if evidence.get("says") else ""
    return says + "".join(f"\n           {WARNING} {name}: {json_text(value)}" for name, value in shown.items())


def _failed(event: facts.StepFailed) -> tuple[str, str]:
    helps = hint_of(event.step, event.direction, event.hint)
    hint = f"\n           → {helps}" if helps else ""
    return FAILED, f"{_step(event)}  {event.reason}{_format_keys(event.evidence)}{hint}"


def _format_keys(evidence: dict[str, Any]) -> str:
    keys = evidence.get("keys")
    return f"\n           keys: {json_text(keys)}" if keys else ""


def _overrun(event: facts.WindowOverrun) -> tuple[str, str]:
    late = f"the window would end {format_seconds(event.late_seconds)} after its deadline"
    then = {"rollback": "it goes back", "hold": "it is held"}.get(event.turns, f"it goes on: {event.spared}")
    return (FAILED if event.turns else WARNING), f"{late}; {then}"


def _validation_failed(event: facts.ValidationFailed) -> tuple[str, str]:
    """Each failure has its own line above."""
    kind = "step of the rehearsal" if event.failures[0].step.startswith(REHEARSED) else "check of Validate"
    named = ", ".join(map(_of_window, event.not_checked)) + (" …" if event.unchecked > len(event.not_checked) else "")
    unchecked = f"\n           {WARNING} not looked at: {named}" if event.unchecked else ""
    failed = f"{event.failed} {kind.replace(' ', 's ', 1)}" if event.failed > 1 else f"a {kind}"
    return FAILED, f"{failed} failed: {', '.join(_of_window(each.step) for each in event.failures)}{unchecked}"


def _of_window(step: str) -> str:
    """The step of the window that was rehearsed, or the step itself."""
    return one_line(step.removeprefix(REHEARSED))


def _transitioned(event: facts.Transitioned) -> tuple[str, str]:
    by = f" by {event.by}" if event.by else ""
    return TURN, f"{event.source} → {event.target}{by}{_why(event)}"


def _why(event: Any) -> str:
    return f": {event.reason}" if event.reason else ""


def _rejected(event: facts.CommandRejected) -> tuple[str, str]:
    may = f" (now: {', '.join(event.next)})" if event.next else ""
    return WARNING, f"{event.verb} by {event.by or 'anonymous'} refused: {event.reason}{may}"


def _flood(event: facts.CommandsRejected) -> tuple[str, str]:
    first, last = (f"{each.verb} by {each.by or 'anonymous'}: {each.reason}" for each in (event.first, event.last))
    if event.count == 1:
        return WARNING, f"refused, after many others: {first}"
    return (
        WARNING,
        f"{event.count} commands refused, sequence {event.first.seq} to {event.last.seq}. First {first}. Last {last}",
    )


def _foreign(event: facts.ForeignMessagesFound) -> tuple[str, str]:
    """An alarm: who publishes there may do more than he should."""
    many = f"{event.count} foreign messages" if event.count > 1 else "a foreign message"
    where = f"sequence {event.first_seq}" + (f" to {event.last_seq}" if event.count > 1 else "")
    return FAILED, (
        f"{many} on the run's subject, {where}, stepped over: {event.reason}"
        "\n           → only the daemon's NATS user may publish on cutover.evt.*: find who else can (deploy/)"
    )


_SAYS: dict[type[facts.Event], Callable[[Any], tuple[str, str]]] = {
    facts.RunStarted: lambda e: (TURN, f"run started on {e.production}, plan {e.plan_sha256[:12]}"),
    facts.LeaderAcquired: lambda e: (TURN, f"led by {e.host}/{e.pid}, epoch {e.epoch}" + _orphans(e)),
    facts.Transitioned: _transitioned,
    facts.GateReached: lambda e: (WAITING, f"the gate before {e.gate} waits for `advance`"),
    facts.GatePassed: lambda e: (DONE, f"gate {e.gate} passed by {e.by}"),
    facts.StepStarted: lambda e: (RUNNING, _step(e) + (f"  attempt {e.attempt}" if e.attempt > 1 else "")),
    facts.StepSucceeded: _succeeded,
    facts.StepFailed: _failed,
    facts.StepInterrupted: lambda e: (WARNING, f"{_step(e)}  interrupted: {e.reason}"),
    facts.StepProbed: lambda e: (WARNING, f"{_step(e)}  probed: its effect is {e.found}{_unseen(e)}"),
    facts.RunHeld: lambda e: (WAITING, f"held by {e.by or 'the daemon'}: {e.reason}"),
    facts.RunResumed: lambda e: (TURN, f"resumed by {e.by or 'anonymous'}" + _why(e)),
    facts.RetryRequested: lambda e: (TURN, f"retry by {e.by or 'anonymous'}" + _why(e)),
    facts.AbortRequested: lambda e: (TURN, f"abort by {e.by or 'anonymous'}" + _why(e)),
    facts.FailureReported: lambda e: (FAILED, f"{e.by or 'anonymous'} reports a failure: {e.reason}"),
    facts.WindowOverrun: _overrun,
    facts.WindowExtended: lambda e: (TURN, f"deadline moved by {e.by}, {format_seconds(e.seconds)} later" + _why(e)),
    facts.CollectingEnded: lambda e: (WAITING, f"no more is asked of what else is wrong: {e.seconds:g} s are over"),
    facts.ValidationFailed: _validation_failed,
    facts.OperatorReady: lambda e: (DONE, f"{e.by} is ready" + _why(e)),
    facts.NoteTaken: lambda e: (DONE, f"note by {e.by or 'anonymous'}: {e.text}"),
    facts.CheckBreached: lambda e: (FAILED, f"check {e.check} is breached: {e.saw}, for {e.seconds:g} s"),
    facts.CheckRecovered: lambda e: (DONE, f"check {e.check} is good again: {e.saw}"),
    facts.LeftoverDropped: lambda e: (DONE, f"{e.database} (oid {e.oid}) {'was found to be gone' if e.found else 'dropped'}"),
    facts.CommandRejected: _rejected,
    facts.CommandsRejected: _flood,
    facts.ForeignMessagesFound: _foreign,
}


def waits_for_ready(run: Run) -> str:
    """Who has to say `ready`, and how; "" while nobody is waited for. No event tells it: it follows from all of them."""
    waits = awaited_operator(run)
    if waits is None or not waits.operators:
        return ""
    commands = "; ".join(f"cutoverd send ready --as {name} -p PLAN" for name in waits.operators)
    return f"{waits.reason}: {commands}"


def _unseen(event: facts.StepProbed) -> str:
    because = probe_output(event)
    return f": {one_line(because)}" if because else ""


def _orphans(event: facts.LeaderAcquired) -> str:
    return f"; ended what was left running: {one_line(', '.join(event.orphans))}" if event.orphans else ""

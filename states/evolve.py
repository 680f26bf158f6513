"""`evolve(run, recorded) → run`: what an event means. Pure; replaying the journal through it gives the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.states import STUCK, target
from cutoverd.states.errors import OutcomeUnknown
from cutoverd.states.overrun import HOLD, ROLLBACK
from cutoverd.states.ports import Direction, Found
from cutoverd.states.precheck import PreCheck
from cutoverd.states.rehearsal import KIND
from cutoverd.states.run import Attempts, Failure, FrozenPlan, Hold, Run, Status, StepKey, WaitingGate, Writes

OTHERS_NAMED = 9  # of the checks that failed, after the first
LONGEST_PROBE_OUTPUT = 400  # characters of what a probe saw
UNANSWERED: Mapping[str, Any] = {"found": None, "reason": "", "outcome_unknown": False, "probe_output": ""}
Attempted = Mapping[tuple[str, Direction], Attempts]


def evolve(run: Run, recorded: Recorded) -> Run:
    """The run after one more event; raises `NotInTable` for a transition the table does not have."""
    envelope = recorded.envelope
    evolved = _MEANING[type(recorded.event)](run, recorded.event, recorded)
    return replace(
        evolved,
        last_seq=recorded.seq,
        command_position=max(evolved.command_position, envelope.command_position),
    )


def _run_started(run: Run, event: facts.RunStarted, at: Recorded) -> Run:
    plan = FrozenPlan(
        items=event.items,
        gates=tuple(event.gates),
        opens=event.opens,
        watch_seconds=event.watch_seconds,
        budget_seconds=event.budget_seconds,
        state_budgets=event.state_budgets,
        operators=tuple(event.operators),
        plan_sha256=event.plan_sha256,
        files=event.files,
        files_sha256=event.files_sha256,
        production=event.production,
        rehearses=event.rehearses,
        validate_jobs=event.validate_jobs,
        on_overrun=event.on_overrun,
    )
    started = at.seq  # a command counts only if it lies after this
    return replace(
        run, plan=plan, started_seq=started, entered_seq=started, entered_at=at.envelope.time, command_position=started
    )


def _leader_acquired(run: Run, event: facts.LeaderAcquired, at: Recorded) -> Run:
    """What an earlier daemon's probes saw, or counted, may be long past; what it had begun does not go on."""
    known = _without_probe_answers(_uncounted(run)).items()
    ended = {where: replace(tried, began=None) if tried.status is Status.BEGUN else tried for where, tried in known}
    return replace(run, epoch=event.epoch, attempts=MappingProxyType(ended))


def _transitioned(run: Run, event: facts.Transitioned, at: Recorded) -> Run:
    if target(run.state, event.trigger) != event.target or run.state != event.source:
        raise ValueError(f"event says {event.source} ─{event.trigger}▶ {event.target}, the run is in {run.state}")
    entered = replace(
        run,
        state=event.target,
        entered_seq=at.seq,
        entered_at=at.envelope.time,
        gate=None,
        held=None,
        collecting_ended=False,
        window_began=run.window_began or (at.envelope.time if event.source == PreCheck.name else None),
    )
    return entered if event.target == STUCK else _answered(entered)


def _gate_reached(run: Run, event: facts.GateReached, at: Recorded) -> Run:
    return replace(run, gate=WaitingGate(event.gate, at.seq))


def _gate_passed(run: Run, event: facts.GatePassed, at: Recorded) -> Run:
    return _with_cheap_checks_open(replace(run, gate=None, passed=run.passed | {event.gate}))


def _with_cheap_checks_open(run: Run) -> Run:
    again = {(str(key), Direction.FORWARD): Attempts() for key in run.keys(run.state) if key.definition.recheck_after_gate}
    return replace(run, attempts=MappingProxyType({**run.attempts, **again}))


def _step_started(run: Run, event: facts.StepStarted, at: Recorded) -> Run:
    return _attempted(run, event, status=Status.BEGUN, count=event.attempt, began=at.envelope.time, **UNANSWERED)


def _step_succeeded(run: Run, event: facts.StepSucceeded, at: Recorded) -> Run:
    return _attempted(run, event, status=Status.DONE, evidence=event.evidence, seconds=event.seconds)


def _step_failed(run: Run, event: facts.StepFailed, at: Recorded) -> Run:
    """Of a check whose outcome stays unknown nothing else is asked: it would be of a server that was lost again and again."""
    is_unknown, definition = event.error == OutcomeUnknown.__name__, StepKey.of(event.step).definition
    failed = _attempted(run, event, status=Status.FAILED, reason=event.reason, outcome_unknown=is_unknown, seconds=event.seconds)
    if _is_overtaken(run, event) or definition.after_failure:
        return failed
    if definition.collected:
        return replace(failed, collecting_ended=failed.collecting_ended or is_unknown)
    failed = _uncounted(failed)
    failure = Failure(event.step, Direction(event.direction), event.reason, at.seq)
    return replace(_let_through_no_more(failed), failure=failure)


def _is_overtaken(run: Run, event: facts.StepFailed) -> bool:
    """The run had turned back before the step failed: the way back undoes it, there is nothing to answer."""
    turned = run.aborting or StepKey.of(event.step).state != run.state
    return event.direction == Direction.FORWARD and turned


def _let_through_no_more(run: Run) -> Run:
    """A failure of PreCheck closes its gate again and asks its operators again: they did not know."""
    return replace(run, passed=frozenset(), ready=frozenset()) if run.state == PreCheck.name else run


def _step_interrupted(run: Run, event: facts.StepInterrupted, at: Recorded) -> Run:
    return _attempted(run, event, status=Status.BEGUN, reason=event.reason, seconds=event.seconds, began=None)


def _step_probed(run: Run, event: facts.StepProbed, at: Recorded) -> Run:
    return _attempted(run, event, found=Found(event.found), probe_output=probe_output(event))


def probe_output(event: facts.StepProbed) -> str:
    """What a probe saw that could not tell: of a command its exit code and what it said; "" where it could."""
    error = event.evidence.get("error", "") if event.found == Found.UNKNOWN else ""
    return " ".join(str(error).removeprefix("OutcomeUnknown: ").split())[:LONGEST_PROBE_OUTPUT]


def _run_held(run: Run, event: facts.RunHeld, at: Recorded) -> Run:
    return replace(run, held=Hold(event.reason, event.by, event.now, at.seq))


def _run_resumed(run: Run, event: facts.RunResumed, at: Recorded) -> Run:
    """Once clients are in, who resumes has weighed the failure; before, a failure still turns the run by itself.

    A count of which nobody saw the end is made again: it may have closed new, and what goes on would open the traffic to that.
    """
    is_counted = run.writes in (Writes.SOME, Writes.UNKNOWN) and not run.is_count_unknown
    is_weighed = run.traffic_may_be_open or is_counted
    failure = None if is_weighed else run.failure
    return replace(_answered(run), held=None, failure=failure, breached=frozenset(), answered_seq=at.envelope.n)


def _retry_requested(run: Run, event: facts.RetryRequested, at: Recorded) -> Run:
    """What was collected is asked again. A rehearsal that failed begins anew, on the copy that there is."""
    again, is_spoilt = {str(key) for key in run.failed_checks}, _is_copy_spoilt(run)
    if is_spoilt or any(key.definition.per_item == KIND for key in run.failed_checks):
        again |= {str(key) for key in run.keys(run.state) if key.definition.per_item == KIND}
        again |= {str(PreCheck.reset_copy), str(PreCheck.check_copy)}
    answered = _with_copy_made_anew(_answered(run)) if is_spoilt else _answered(run)
    kept = {where: tried for where, tried in answered.attempts.items() if where[0] not in again}
    return replace(answered, attempts=MappingProxyType(kept), collecting_ended=False)


def _is_copy_spoilt(run: Run) -> bool:
    """Whether it was found to be no more what it was: compared again it is the same, and a rehearsal on it proves nothing."""
    compared = run.attempts.get((str(PreCheck.check_copy), Direction.FORWARD), Attempts())
    return compared.status is Status.FAILED and not compared.outcome_unknown


def _with_copy_made_anew(run: Run) -> Run:
    """Unless it is the team's. What was restored is there still, and its step stays begun, so that an `abort` drops it."""
    where = str(PreCheck.prove_backup), Direction.FORWARD
    proof = run.attempts.get(where, Attempts())
    if "copy" not in proof.evidence:
        return run
    return replace(run, attempts=MappingProxyType({**run.attempts, where: replace(proof, status=Status.BEGUN)}))


def _answered(run: Run) -> Run:
    """A person has seen the failure, or the run has turned: it is looked at afresh."""
    return replace(_uncounted(run), failure=None, attempts=_without_probe_answers(_uncounted(run)))


def _uncounted(run: Run) -> Run:
    """What was counted of the writes to new holds until the next failure, or until clients can write again."""
    kept = {key: tried for key, tried in run.attempts.items() if not StepKey.of(key[0]).definition.after_failure}
    return replace(run, attempts=MappingProxyType(kept))


def _without_probe_answers(run: Run) -> Attempted:
    """Whatever a probe saw before a person or another daemon came may have changed since."""
    return MappingProxyType({key: replace(tried, found=None) for key, tried in run.attempts.items()})


def _abort_requested(run: Run, event: facts.AbortRequested, at: Recorded) -> Run:
    return replace(run, aborting=True, gate=None, held=None, failure=None)


def _failure_reported(run: Run, event: facts.FailureReported, at: Recorded) -> Run:
    failure = Failure("", Direction.FORWARD, event.reason, at.seq)
    return replace(_uncounted(_let_through_no_more(run)), failure=failure, gate=None)


def _window_overrun(run: Run, event: facts.WindowOverrun, at: Recorded) -> Run:
    known = replace(run, is_overrun=True)
    reason = f"the window would end {event.late_seconds:.0f} s after its deadline"
    if event.turns == HOLD:
        return replace(known, held=Hold(reason, facts.DAEMON, now=True, seq=at.seq))
    if event.turns == ROLLBACK:
        return replace(_uncounted(known), failure=Failure("", Direction.FORWARD, reason, at.seq), gate=None)
    return known


def _window_extended(run: Run, event: facts.WindowExtended, at: Recorded) -> Run:
    """By the new deadline it is asked anew whether the window would end too late."""
    return replace(run, extended_seconds=run.extended_seconds + event.seconds, is_overrun=False)


def _collecting_ended(run: Run, event: facts.CollectingEnded, at: Recorded) -> Run:
    return replace(run, collecting_ended=True)


def _validation_failed(run: Run, event: facts.ValidationFailed, at: Recorded) -> Run:
    """The first failure stands for all: the others are named after it."""
    first, *others = event.failures
    named = ", ".join(each.step for each in others[:OTHERS_NAMED]) + (", …" if event.failed - 1 > OTHERS_NAMED else "")
    more = f"; and {event.failed - 1} more: {named}" if event.failed > 1 else ""
    return replace(run, failure=Failure(first.step, Direction.FORWARD, f"{first.reason}{more}", at.seq))


def _operator_ready(run: Run, event: facts.OperatorReady, at: Recorded) -> Run:
    return replace(run, ready=run.ready | {event.by})


def _check_breached(run: Run, event: facts.CheckBreached, at: Recorded) -> Run:
    return replace(run, breached=run.breached | {event.check})


def _check_recovered(run: Run, event: facts.CheckRecovered, at: Recorded) -> Run:
    return replace(run, breached=run.breached - {event.check})


def _leftover_dropped(run: Run, event: facts.LeftoverDropped, at: Recorded) -> Run:
    return replace(run, dropped=run.dropped | {event.oid})


def _foreign_messages_found(run: Run, event: facts.ForeignMessagesFound, at: Recorded) -> Run:
    return replace(run, foreign_messages=run.foreign_messages + event.count)


def _nothing(run: Run, event: facts.Event, at: Recorded) -> Run:
    return run


def _attempted(run: Run, event: Any, **changes: Any) -> Run:
    where = (str(StepKey.of(event.step)), Direction(event.direction))
    tried = replace(run.attempts.get(where, Attempts()), **changes)
    return replace(run, attempts=MappingProxyType({**run.attempts, where: tried}))


_MEANING: dict[type[facts.Event], Callable[[Run, Any, Recorded], Run]] = {
    facts.RunStarted: _run_started,
    facts.LeaderAcquired: _leader_acquired,
    facts.Transitioned: _transitioned,
    facts.GateReached: _gate_reached,
    facts.GatePassed: _gate_passed,
    facts.StepStarted: _step_started,
    facts.StepSucceeded: _step_succeeded,
    facts.StepFailed: _step_failed,
    facts.StepInterrupted: _step_interrupted,
    facts.StepProbed: _step_probed,
    facts.RunHeld: _run_held,
    facts.RunResumed: _run_resumed,
    facts.RetryRequested: _retry_requested,
    facts.AbortRequested: _abort_requested,
    facts.FailureReported: _failure_reported,
    facts.WindowOverrun: _window_overrun,
    facts.WindowExtended: _window_extended,
    facts.CollectingEnded: _collecting_ended,
    facts.ValidationFailed: _validation_failed,
    facts.OperatorReady: _operator_ready,
    facts.NoteTaken: _nothing,
    facts.CheckBreached: _check_breached,
    facts.CheckRecovered: _check_recovered,
    facts.LeftoverDropped: _leftover_dropped,
    facts.CommandRejected: _nothing,
    facts.CommandsRejected: _nothing,
    facts.ForeignMessagesFound: _foreign_messages_found,
}

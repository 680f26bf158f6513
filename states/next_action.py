"""`next_action(run)`: what is to be done now. Pure: asked after every event, it has no memory but the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from cutoverd.events import facts
from cutoverd.states import target
from cutoverd.states.guards import nothing_written
from cutoverd.states.ports import Direction, Found
from cutoverd.states.precheck import PreCheck
from cutoverd.states.rollback import Rollback
from cutoverd.states.run import Attempts, Run, Status, StepKey, Writes
from cutoverd.states.step import Effect

LONGEST_REASON = 300  # characters of one reason within another
LONGEST_LIST, MOST_NAMED = 12_000, 100  # characters of all reasons in one event, and how many of its steps are named
FORWARD, BACK = Direction.FORWARD, Direction.BACK


@dataclass(frozen=True)
class AppendEvent:
    """Append this event: nothing has to be done in the world for it."""

    event: facts.Event


@dataclass(frozen=True)
class AttemptStep:
    """Attempt a step: StepStarted, then act, then its outcome."""

    key: StepKey
    direction: Direction
    attempt: int


@dataclass(frozen=True)
class AttemptGroup:
    """Attempt these side by side, each with a StepStarted and an outcome of its own; those of them that run already go on.

    All are on the way there and without effect. Asked again after each outcome, it has the next in the place of what ended.
    """

    attempts: tuple[AttemptStep, ...]


@dataclass(frozen=True)
class ProbeStep:
    """Probe a step whose outcome nobody saw, and record the answer."""

    key: StepKey
    direction: Direction


@dataclass(frozen=True)
class AwaitOperator:
    """Nothing may be done until a person speaks; what would count is said by `decide.allowed_verbs`."""

    reason: str
    gate: str = ""
    operators: tuple[str, ...] = ()  # who has not said `ready`
    meanwhile: StepKey | None = None  # the step whose `while_held` goes on


@dataclass(frozen=True)
class Finished:
    """The run has ended."""


NextAction = AppendEvent | AttemptStep | AttemptGroup | ProbeStep | AwaitOperator | Finished


def next_action(run: Run) -> NextAction:
    """The next thing to do for a run of which no step is being taken at the moment, unless it is one of a group."""
    if run.is_over:
        return Finished()
    if run.is_stuck:
        return AwaitOperator(f"the way back failed: {_why(run)}")
    if run.held:
        return AwaitOperator(f"held: {run.held.reason}", meanwhile=_meanwhile(run))
    if run.aborting:
        return _aborting(run)
    if run.failure:
        return _failed(run)
    return _going_back(run) if run.state == Rollback.name else _going_on(run)


def awaited_operator(run: Run) -> AwaitOperator | None:
    """What only a person can end; None of a run that goes on by itself, or has not started."""
    upcoming = next_action(run) if run.plan else None
    return upcoming if isinstance(upcoming, AwaitOperator) else None


def _meanwhile(run: Run) -> StepKey | None:
    return next((key for key in run.keys(run.state) if key.definition.while_held and not run.is_done(key)), None)


def _going_on(run: Run) -> NextAction:
    if failed := run.failed_checks:
        return _collecting(run, failed)
    return _first_open(run, run.keys(run.state)) or _leave(run)


def _collecting(run: Run, failed: Sequence[StepKey]) -> NextAction:
    """What else is wrong, as far as nothing has to be waited for: the run will turn, and each window costs a downtime."""
    not_checked = [key for key in run.keys(run.state) if key.definition.collected and not _is_judged(run, key)]
    askable = takewhile(lambda key: key.definition.collected or run.is_done(key), run.keys(run.state))
    is_hidden = any(key.hides_rest for key in failed)
    asked = None if is_hidden or run.collecting_ended else _next_of(run, (key for key in askable if not _is_judged(run, key)))
    if asked:
        return asked
    longest = min(LONGEST_REASON, LONGEST_LIST // len(failed))
    named = [facts.FailedCheck(step=str(key), reason=run.of(key, FORWARD).reason[:longest]) for key in failed[:MOST_NAMED]]
    return AppendEvent(
        facts.ValidationFailed(
            failed=len(failed),
            failures=named,
            unchecked=len(not_checked),
            not_checked=[str(key) for key in not_checked[:MOST_NAMED]],
        )
    )


def _is_judged(run: Run, key: StepKey) -> bool:
    return run.of(key, FORWARD).status in (Status.DONE, Status.FAILED)


def _first_open(run: Run, keys: Iterable[StepKey]) -> NextAction | None:
    return _next_of(run, (key for key in keys if not run.is_done(key)))


def _next_of(run: Run, keys: Iterator[StepKey]) -> NextAction | None:
    """An attempt at the first of them; where that is one of a group, at as many of what follows as may run side by side."""
    first = next(keys, None)
    if first is None:
        return None
    if not first.definition.grouped:
        return _attempt(run, first, FORWARD)
    beside = islice(takewhile(lambda key: key.definition.grouped, keys), max(0, run.frozen.validate_jobs - 1))
    return AttemptGroup(tuple(AttemptStep(key, FORWARD, run.of(key, FORWARD).count + 1) for key in (first, *beside)))


def _leave(run: Run) -> NextAction:
    if run.state == PreCheck.name and run.missing:
        return AwaitOperator(f"waits for `ready` of {', '.join(run.missing)}", operators=run.missing)
    gate = target(run.state, "proceed")
    if gate not in run.frozen.gates or gate in run.passed:
        return _transition(run, "proceed", "")
    if run.gate is None:
        return AppendEvent(facts.GateReached(gate=gate))
    return AwaitOperator(f"the gate before {gate} waits for `advance`", gate=gate)


def _attempt(run: Run, key: StepKey, direction: Direction) -> NextAction:
    """A first attempt, or another one: that of a probed step only once the probe said that it is needed."""
    tried, wanted = run.of(key, direction), Found.PRESENT if direction is FORWARD else Found.ABSENT
    if tried.count and key.definition.effect is Effect.PROBED:
        if tried.found is None:
            return ProbeStep(key, direction)
        if tried.found is Found.UNKNOWN:
            return _unknown(run, key, direction)
        if tried.found is wanted:
            return AppendEvent(facts.StepSucceeded(step=str(key), direction=direction, seconds=0.0, found=True))
    return AttemptStep(key, direction, tried.count + 1)


def _unknown(run: Run, key: StepKey, direction: Direction) -> NextAction:
    why = _why_unknown(run.of(key, direction))
    if direction is BACK:
        return _transition(run, "fail", f"whether {key} is undone cannot be known{why}: look at it, then `retry` probes again")
    reason = f"whether {key} took effect cannot be known{why}: look at it, then `resume` probes again"
    return AppendEvent(facts.RunHeld(reason=reason, by=None))


def _why_unknown(tried: Attempts) -> str:
    """What the probe saw, and why nobody saw the outcome: of what a command said, its last words."""
    lines = tried.reason.strip().splitlines() or [""]
    last = lines[-1].strip()[:LONGEST_REASON]
    last_words = [last] if last and last not in tried.probe_output else []
    probe = [f"the probe: {tried.probe_output}"] if tried.probe_output else []
    return f" ({'; '.join([*last_words, *probe])})" if last_words or probe else ""


def _failed(run: Run) -> NextAction:
    """Where a failure leads: PreCheck stays, the way back gets stuck, the way there turns unless traffic may be open."""
    if run.state == PreCheck.name:
        return AwaitOperator(f"PreCheck failed: {_why(run)}")
    if run.state != Rollback.name and (asked := _what_may_be_lost(run)):
        return asked
    return _transition(run, "fail", _why(run))


def _what_may_be_lost(run: Run) -> NextAction | None:
    """Where somebody may have written to new a failure holds, unless a count proves that nobody has.

    Before that, if the step that opens traffic has begun, its probe has to prove that traffic never opened.
    """
    unproven = [key for key in run.opened if run.of(key, FORWARD).status is not Status.DONE]
    if run.opened and run.opened == unproven and run.of(unproven[0], FORWARD).found is None:
        return ProbeStep(unproven[0], FORWARD)
    if run.is_exposed and not run.traffic_may_be_open and run.writes is None:
        return _attempt(run, run.count_key, FORWARD)
    if not nothing_written(run):
        again = "`resume` counts again, " if run.is_count_unknown else ""
        reason = f"{_why(run)}; {what_was_written(run)}: {again}`rollback` needs accept_loss"
        return AppendEvent(facts.RunHeld(reason=reason, by=None))
    return None


def what_was_written(run: Run) -> str:
    """To new, in words, of a run that may not go back without `accept_loss`."""
    if run.traffic_may_be_open:
        return "clients may have written"
    counted = run.of(run.count_key, FORWARD)
    if run.writes is Writes.SOME:
        return f"{production_name(run)} was written to since the names changed hands ({counted.evidence.get('reason', '')})"
    return f"what was written since the names changed hands is not known ({counted.reason or counted.evidence.get('reason', '')})"


def production_name(run: Run) -> str:
    return run.frozen.production or "production"


def _going_back(run: Run) -> NextAction:
    begun = [key for key in reversed(run.begun()) if key.state != PreCheck.name]
    return _undo(run, begun) or _first_open(run, run.keys(Rollback.name)) or _transition(run, "proceed", "")


def _undo(run: Run, keys: Iterable[StepKey]) -> NextAction | None:
    for key in keys:
        if key.definition.undo and not run.is_done(key, BACK):
            return _attempt(run, key, BACK)
    return None


def _aborting(run: Run) -> NextAction:
    if run.failure:
        return AwaitOperator(f"aborting failed: {_why(run)}")
    return _undo(run, reversed(run.begun())) or _transition(run, "abort", "")


def _transition(run: Run, trigger: str, reason: str) -> AppendEvent:
    there = target(run.state, trigger)
    return AppendEvent(facts.Transitioned(source=run.state, target=there, trigger=trigger, reason=reason))


def _why(run: Run) -> str:
    if run.failure is None:
        tried_back = [(key, tried) for (key, way), tried in run.attempts.items() if way is BACK]
        unknown = [f"{key}{_why_unknown(tried)}" for key, tried in tried_back if tried.status is not Status.DONE]
        return f"whether it is undone cannot be known: {', '.join(unknown)}; look at it, then `retry` probes again"
    return f"{run.failure.step}: {run.failure.reason}" if run.failure.step else f"reported: {run.failure.reason}"

"""The run as a tree of lines: its states, the steps of the current one, and a status line. A pure function of what is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, groupby
from textwrap import wrap

from rich.cells import cell_len, set_cell_size

from cutoverd.daemon.host.printable import one_line
from cutoverd.daemon.progress import Progress, format_seconds
from cutoverd.daemon.views.event_lines import DONE, FAILED, PENDING, RUNNING, WAITING, WARNING, rehearsal_line
from cutoverd.daemon.views.rehearsal_state import How, rehearsal_state, when_and_by_whom, window_step
from cutoverd.daemon.views.summary import format_ending
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.daemon.views.window_clock import window_clock
from cutoverd.states import ABORTED, COMPLETED, ROLLED_BACK, STATES, STUCK, WAY
from cutoverd.states.decide import allowed_verbs
from cutoverd.states.next_action import AwaitOperator, next_action
from cutoverd.states.ports import Direction
from cutoverd.states.precheck import PreCheck
from cutoverd.states.rehearsal import KIND
from cutoverd.states.rollback import Rollback
from cutoverd.states.run import Run, Status, StepKey

SMALLEST_WIDTH, SMALLEST_HEIGHT = 12, 3
MOST_LINES = 6  # of one that is wrapped
ICONS = {Status.UNTOUCHED: PENDING, Status.BEGUN: WARNING, Status.DONE: DONE, Status.FAILED: FAILED}
ENDS = {COMPLETED: DONE, ROLLED_BACK: WARNING, ABORTED: WARNING, STUCK: FAILED}
Way = tuple[StepKey, Direction]


@dataclass(frozen=True)
class TreeInput:
    """All that a picture of the run is made of."""

    run: Run
    timeline: Timeline
    progress: Progress | None
    now: datetime
    beside: Sequence[Progress] = ()  # of what else runs at the same time


def tree(moment: TreeInput, *, width: int = 80, height: int = 24) -> list[str]:
    """At most `height` lines of at most `width` cells each; what has no room gives way to the running step."""
    width, height = max(width, SMALLEST_WIDTH), max(height, SMALLEST_HEIGHT)
    if moment.run.plan is None:
        return [cut(one_line(f"{WAITING} {moment.run.name}: not started"), width)]
    top, bottom = [_head(moment, width)], _status(moment, width, height)[: height - 1]
    body = _body(moment, height - len(top) - len(bottom))
    return [cut(one_line(line), width) for line in (*top, *body, *bottom)][-height:]


def cut(line: str, width: int) -> str:
    return line if cell_len(line) <= width else f"{set_cell_size(line, width - 1).rstrip()}…"


def _wrapped(line: str, width: int, height: int) -> list[str]:
    """What a person has to act on is read to its end, as far as a third of the screen goes; the journal has the rest."""
    most = max(1, min(MOST_LINES, height // 3))
    return wrap(one_line(line), width, subsequent_indent="    ", max_lines=most, placeholder="…", break_on_hyphens=False)


def _head(moment: TreeInput, width: int) -> str:
    """On a narrow terminal downtime counts more than what is foretold."""
    left, downtime = f"{moment.run.name} · epoch {moment.run.epoch}", _downtime(moment)
    both = " · ".join(filter(None, (_clock(moment), downtime)))
    right = both if cell_len(f"{left}  {both}") <= width else downtime
    return f"{left}{' ' * max(2, width - cell_len(left) - cell_len(right))}{right}".rstrip()


def _clock(moment: TreeInput) -> str:
    """When the window will have ended, as far as the rehearsal knows."""
    clock = window_clock(moment.run, moment.now)
    return f"{clock.describe()}{f' {WARNING}' if clock.is_late else ''}" if clock else ""


def _downtime(moment: TreeInput) -> str:
    """Against the budget of the window, if the plan gives one."""
    seconds, budget = moment.timeline.downtime_seconds(moment.now), moment.timeline.budget_seconds
    of = f" of {format_seconds(budget)}" if budget else ""
    over = f" {WARNING}" if budget and seconds > budget else ""
    return f"downtime {format_seconds(seconds)}{of}{over}" if seconds or budget else ""


# --- the states, and the steps of the current one


def _body(moment: TreeInput, room: int) -> list[str]:
    states = _states(moment.run)
    at = states.index(moment.run.state)
    before = [_passed(moment, state) for state in states[:at]]
    here = [_current(moment), *_around(_steps(moment), room - len(states))]
    after = [f"{PENDING} {state}" for state in states[at + 1 :]]
    if len(before) + len(here) + len(after) > room:  # not even the states have room: those that are to come are the least
        after = after[: max(0, room - len(before) - len(here))]
    return [*before, *here, *after][-room:] if room > 0 else []


def _states(run: Run) -> list[str]:
    """On the way there all of them; on the way back those that were begun."""
    way = [state.name for state in WAY]
    if run.state in way:
        return way
    if run.state == COMPLETED:
        return [*way, COMPLETED]
    begun = [state for state in way if any(key.state == state for key in run.begun())]
    back = [] if run.state == ABORTED else [Rollback.name]
    return [*begun, *back, *([run.state] if run.state not in back else [])]


def _passed(moment: TreeInput, state: str) -> str:
    tried = [moment.run.of(key, Direction.FORWARD).status for key in moment.run.begun() if key.state == state]
    icon = FAILED if Status.FAILED in tried else WARNING if Status.BEGUN in tried else DONE
    if state == Rollback.name:
        icon = FAILED if moment.run.is_stuck else DONE
    return f"{icon} {state:<10} {_count(len(tried))}  {_seconds(moment, state)}".rstrip()


def _current(moment: TreeInput) -> str:
    run = moment.run
    if run.is_over or run.is_stuck:
        return f"{ENDS[run.state]} {run.state}"
    icon = WAITING if isinstance(next_action(run), AwaitOperator) else RUNNING
    ways = _ways(run)
    done = sum(run.of(*way).status is Status.DONE for way in ways)
    return f"{icon} {run.state:<10} {done}/{len(ways)}  {_seconds(moment, run.state)}"


def _count(steps: int) -> str:
    return f"{steps:>3} step{'' if steps == 1 else 's'}" if steps else ""


def _seconds(moment: TreeInput, state: str) -> str:
    return format_seconds(moment.timeline.state_seconds(moment.now).get(state, 0.0))


def _ways(run: Run) -> list[Way]:
    """The steps of the current state; for Rollback also what it undoes, newest first."""
    if run.state not in STATES:
        return []
    own = [(key, Direction.FORWARD) for key in run.keys(run.state)]
    return [*_undone(run), *own] if run.state == Rollback.name else own


def _undone(run: Run) -> list[Way]:
    begun = [key for key in reversed(run.begun()) if key.state not in (PreCheck.name, Rollback.name)]
    return [(key, Direction.BACK) for key in begun if key.definition.undo]


def _steps(moment: TreeInput) -> list[tuple[bool, str]]:
    """Whether it is where the run is now, and its line; of a rehearsal what is done and what is to come is only counted."""
    ways = _ways(moment.run)
    parts = groupby(ways, key=lambda way: way[0].definition.per_item == KIND and way[1] is Direction.FORWARD)
    return [line for is_rehearsal, part in parts for line in (_rehearsal if is_rehearsal else _each)(moment, list(part))]


def _each(moment: TreeInput, ways: Sequence[Way]) -> list[tuple[bool, str]]:
    return [_step(moment, way) for way in ways]


def _rehearsal(moment: TreeInput, ways: Sequence[Way]) -> list[tuple[bool, str]]:
    """One line of how far it is, below it what has failed, and what is being done."""
    state, steps = rehearsal_state(moment.run), _each(moment, ways)
    open_now = [(True, f"  {line}") for is_here, line in steps if is_here]
    if state is None or state.how is not How.HERE:
        says = f"  {when_and_by_whom(state.record)}" if state and state.record else ""
        icon = DONE if all(moment.run.is_done(key) for key, _ in ways) else PENDING
        return [(False, f"   {icon} {PreCheck.rehearse.name}{says}"), *open_now]
    is_begun = state.done or open_now
    icon = FAILED if state.failed else DONE if state.is_proven else RUNNING if is_begun else PENDING
    took = f"  {format_seconds(state.seconds)}" if state.done else ""
    return [(False, f"   {icon} {PreCheck.rehearse.name}  {state.counted}{took}"), *open_now]


def _step(moment: TreeInput, way: Way) -> tuple[bool, str]:
    key, direction = way
    tried, progress = moment.run.of(key, direction), _progress_of(moment, way)
    back = direction is Direction.BACK
    name = f"back: {key}" if back else _name(key)
    if progress:
        attempt = f"attempt {progress.attempt}  " if progress.attempt > 1 else ""
        return True, f"   {RUNNING} {name}  {format_seconds(progress.seconds)}  {attempt}{progress.far}".rstrip()
    details = {
        Status.DONE: format_seconds(tried.seconds),
        Status.FAILED: _first_line(tried.reason),
        Status.BEGUN: "nobody saw how it ended",
    }
    here = tried.status in (Status.FAILED, Status.BEGUN)
    return here, f"   {ICONS[tried.status]} {name}  {details.get(tried.status, '')}".rstrip()


def _name(key: StepKey) -> str:
    return window_step(key) if key.definition.per_item == KIND else str(key).partition(".")[2]


def _progress_of(moment: TreeInput, way: Way) -> Progress | None:
    running = [moment.progress, *moment.beside] if moment.progress else []
    return next((each for each in running if (each.step, each.direction) == (str(way[0]), way[1])), None)


def _first_line(text: str) -> str:
    return (text.splitlines() or [""])[0]


def _around(steps: Sequence[tuple[bool, str]], room: int) -> list[str]:
    """As many as have room, the one where the run is among them; what is left out is counted."""
    lines = [line for _, line in steps]
    if len(lines) <= room or not lines:
        return lines
    here = next((n for n, (is_here, _) in enumerate(steps) if is_here), _first_open(lines))
    if room < 3:
        return lines[here : here + 1]
    shown = room - 2
    first = min(max(0, here - shown // 2), len(lines) - shown)
    left = len(lines) - first - shown
    return [
        *([f"   … {first} before"] if first else []),
        *lines[first : first + shown],
        *([f"   … {left} more"] if left else []),
    ]


def _first_open(lines: Sequence[str]) -> int:
    return next((n for n, line in enumerate(lines) if line.lstrip().startswith(PENDING)), len(lines) - 1)


# --- what is going on, and what may be said


def _status(moment: TreeInput, width: int, height: int) -> list[str]:
    run, upcoming = moment.run, next_action(moment.run)
    if run.is_over:
        after = (_wrapped(f"  {text}", width, height) for text in format_ending(run, moment.timeline))
        return [f"{ENDS[run.state]} the run has ended: {run.state}", *chain.from_iterable(after)]
    done, steps = _all_steps(run)
    counted = f"{run.state} · {done}/{steps} steps · "
    allowed = f"next: {', '.join(allowed_verbs(run))}"
    if moment.progress:
        beside = f", and {len(moment.beside)} beside it" if moment.beside else ""
        return [f"{RUNNING} {counted}{moment.progress.title} since {format_seconds(moment.progress.seconds)}{beside}", allowed]
    if isinstance(upcoming, AwaitOperator):
        icon = FAILED if run.failure or run.is_stuck else WAITING
        reason = " ".join(upcoming.reason.split())
        known = rehearsal_state(run) if upcoming.gate or upcoming.operators else None
        rehearsed = _wrapped(rehearsal_line(known), width, height) if known else []
        return [*_wrapped(f"{icon} {counted}waits for a person: {reason}", width, height), *rehearsed, allowed]
    return [f"{RUNNING} {counted}going on", allowed]


def _all_steps(run: Run) -> tuple[int, int]:
    """Done and to be done, of the whole way there; on the way back, of the way back."""
    back = run.state in (Rollback.name, STUCK)
    ways = [*_undone(run), *((key, Direction.FORWARD) for key in run.keys(Rollback.name))] if back else _there(run)
    return sum(run.of(*way).status is Status.DONE for way in ways), len(ways)


def _there(run: Run) -> list[Way]:
    return [(key, Direction.FORWARD) for state in WAY for key in run.keys(state.name)]

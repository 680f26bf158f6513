"""How a run is left whose daemon ends before it: where it stands, what production is now, what is waited for. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cutoverd.daemon.host.printable import one_line
from cutoverd.daemon.progress import format_seconds
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.states.cutover import Cutover
from cutoverd.states.decide import allowed_verbs
from cutoverd.states.monitor import Monitor
from cutoverd.states.next_action import awaited_operator
from cutoverd.states.ports import Direction, Found
from cutoverd.states.run import Run, Status, StepKey
from cutoverd.states.smoke import Smoke

GOES_ON = "`cutoverd run PLAN` goes on from here and hears commands, those too that are sent meanwhile"
UNTIL_MENDED = "once that is mended, `cutoverd run PLAN` goes on from here; `cutoverd status -p PLAN` says how it stands"


def format_left(run: Run, timeline: Timeline, now: datetime, *, by_error: bool = False) -> list[str]:
    """A line each, of a run that nobody drives any more; `by_error`: what has to be mended first was said before."""
    return [
        one_line(text)
        for text in (
            f"run {run.name} is left in {run.state}, and nobody drives it",
            f"production is {production_now(run)}{_for_how_long(run, timeline, now)}",
            _awaited(run),
            f"next: {', '.join(allowed_verbs(run))}",
            f"→ {UNTIL_MENDED if by_error else GOES_ON}",
        )
    ]


def production_now(run: Run) -> str:
    """Whether clients get in, as far as the events tell; never "closed" or "open" where a step's outcome is not known."""
    closing = [key for key in run.begun() if key.definition.begins_downtime]
    if not closing:
        return "open, as it was found"
    if run.state == Monitor.name:
        return "open, and new"
    if may_be_open := [*_not_closed(run), *_reopened(run)]:
        return _partly(run, closing, may_be_open)
    if _admits_others(run):
        return "closed to clients of the traffic switch; whoever connects past it may get into the new database"
    return "closed to clients"


def _is_new_exposed(run: Run) -> bool:
    return any(key.definition.exposes_new and not run.is_done(key, Direction.BACK) for key in run.begun())


def _admits_others(run: Run) -> bool:
    """From the swap on, unless CONNECT is withheld, and then until clients are admitted."""
    is_withheld = "withheld_but_for" in run.evidence().get(str(Smoke.check_logins), {})
    is_admitted = any(key.definition is Cutover.admit_clients for key in run.begun())
    return _is_new_exposed(run) and (is_admitted or not is_withheld)


def _partly(run: Run, closing: list[StepKey], may_be_open: list[StepKey]) -> str:
    if all(run.is_done(key, Direction.BACK) for key in closing):
        return "open again, and old"
    return f"not known to be closed: {', '.join(str(key) for key in may_be_open)} may have let clients in"


def _not_closed(run: Run) -> Iterator[StepKey]:
    """What let clients in to new, or may have, and was not taken back."""
    for key in run.begun():
        if (
            _lets_in(run, key)
            and run.of(key, Direction.FORWARD).found is not Found.ABSENT
            and not run.is_done(key, Direction.BACK)
        ):
            yield key


def _lets_in(run: Run, key: StepKey) -> bool:
    """Without a door, whoever may connect to new is in."""
    no_door = key.definition is Cutover.admit_clients and not run.frozen.items.get("traffic") and _is_new_exposed(run)
    return key.definition.opens_traffic or no_door


def _reopened(run: Run) -> Iterator[StepKey]:
    """What the way back has opened again, or may have; without a door, the fence that is lifted lets clients in."""
    doors = bool(run.frozen.items.get("traffic"))
    for key in run.begun(Direction.BACK):
        step = key.definition
        if (step.closes_traffic if doors else step.begins_downtime) and run.of(
            key, Direction.BACK
        ).status is not Status.UNTOUCHED:
            yield key


def _for_how_long(run: Run, timeline: Timeline, now: datetime) -> str:
    seconds = 0.0 if run.state == Monitor.name else timeline.downtime_seconds(now)
    return f"; downtime {format_seconds(seconds)} by now" if seconds and not timeline.opened_at else ""


def _awaited(run: Run) -> str:
    waits = awaited_operator(run)
    return f"it waits for a person: {waits.reason}" if waits else "it waits for nobody: it was stopped on its way"

"""How a run is left whose daemon ends before it: where it stands, what production is now, what is waited for. Pure."""

from __future__ import annotations

from datetime import datetime

from cutoverd.daemon.host.printable import one_line
from cutoverd.daemon.progress import format_seconds
from cutoverd.daemon.views.production_now import production_now
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.states.decide import allowed_verbs
from cutoverd.states.monitor import Monitor
from cutoverd.states.next_action import awaited_operator
from cutoverd.states.run import Run

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


def _for_how_long(run: Run, timeline: Timeline, now: datetime) -> str:
    seconds = 0.0 if run.state == Monitor.name else timeline.downtime_seconds(now)
    return f"; downtime {format_seconds(seconds)} by now" if seconds and not timeline.opened_at else ""


def _awaited(run: Run) -> str:
    waits = awaited_operator(run)
    return f"it waits for a person: {waits.reason}" if waits else "it waits for nobody: it was stopped on its way"

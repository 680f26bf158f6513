"""The end of a run in words: why it turned back, what is left over, what comes next. Pure; from the events alone."""

from __future__ import annotations

from cutoverd.daemon.postgres.session.names import Names
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.states import COMPLETED
from cutoverd.states.rollback import Rollback
from cutoverd.states.run import Run

HISTORY = "`cutoverd history -p PLAN` tells all that happened"
FINALIZE = "`cutoverd finalize -p PLAN` drops what is left over, once nobody will need it"


def left_over(run: Run, timeline: Timeline) -> list[str]:
    """The databases by their names, without those that `finalize` has dropped; [] before it is known."""
    if run.state == COMPLETED:
        names = Names(run.frozen.production)
        left = [names.closed, names.previous]
    else:
        left = list(run.evidence().get(str(Rollback.name_leftovers), {}).get("databases", []))
    return [name for name in left if name not in timeline.dropped]


def format_ending(run: Run, timeline: Timeline) -> list[str]:
    """A line each, the hint one of its own; [] of a run that goes on."""
    if not run.is_over:
        return []
    left = left_over(run, timeline)
    return [
        *(_why(timeline) if timeline.turned_because else []),
        *([f"left over: {', '.join(left)}"] if left else []),
        f"next: {'; '.join([HISTORY, *([FINALIZE] if left else [])])}",
    ]


def _why(timeline: Timeline) -> list[str]:
    because, hint = (" ".join(text.split()) for text in (timeline.turned_because, timeline.turned_hint))
    return [f"turned back: {because}", *([f"→ {hint}"] if hint else [])]

"""The end of a run in words: why it turned back, what is left over, what comes next. Pure; from the events alone."""

from __future__ import annotations

from collections.abc import Iterator

from cutoverd.daemon.host.printable import one_line
from cutoverd.daemon.postgres.session.names import Names
from cutoverd.daemon.views.hints import without_commands
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.states import COMPLETED
from cutoverd.states.precheck import PreCheck
from cutoverd.states.rollback import Rollback
from cutoverd.states.run import Run, StepKey
from cutoverd.states.schema import Schema
from cutoverd.states.validate import Validate

SHOWN = 30  # lines of what is left to a person

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
    lines = [
        *(_why(timeline) if timeline.turned_because else []),
        *([f"left over: {', '.join(left)}"] if left else []),
        *_bounded([*(f"to do: {text}" for text in to_do(run)), *_let_through(run)]),
        f"next: {'; '.join([HISTORY, *([FINALIZE] if left else [])])}",
    ]
    return [one_line(each) for each in lines]


def to_do(run: Run) -> list[str]:
    """Of a completed run: the statements that give new what our role could not, for whoever may."""
    if run.state != COMPLETED:
        return []
    evidence = run.evidence()
    steps = (evidence.get(str(step), {}) for step in (Schema.build_new, PreCheck.check_server))
    by_statement = dict[str, str]()
    for text in (text for found in steps for text in found.get("not_carried", ())):
        by_statement.setdefault(text.partition(";  -- ")[0], text)
    return list(by_statement.values())


def _let_through(run: Run) -> Iterator[str]:
    """What Validate found and the plan waived, and what it warned of; which rows are not compared the plan says itself."""
    if run.state != COMPLETED:
        return
    for key, found in run.evidence().items():
        if StepKey.of(key).state == Validate.name and StepKey.of(key).definition is not Validate.check_coverage:
            yield from (f"waived: {what} ({reason})" for what, reason in (found.get("waived") or {}).items())
            yield from (f"look at: {warning}" for warning in found.get("warnings") or ())


def _bounded(lines: list[str]) -> list[str]:
    more = [f"and {len(lines) - SHOWN} more: {HISTORY}"] if len(lines) > SHOWN else []
    return [*(" ".join(text.split()) for text in lines[:SHOWN]), *more]


def _why(timeline: Timeline) -> list[str]:
    because, hint = (" ".join(text.split()) for text in (timeline.turned_because, without_commands(timeline.turned_hint)))
    return [f"turned back: {because}", *([f"→ {hint}"] if hint else [])]

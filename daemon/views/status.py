"""The run as one JSON document: of `cutoverd status -f json`, and of the micro service."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cutoverd.daemon.views.rehearsal_state import rehearsal_state
from cutoverd.daemon.views.summary import left_over, to_do
from cutoverd.daemon.views.timeline import Running, Timeline
from cutoverd.daemon.views.window_clock import window_clock
from cutoverd.states.decide import allowed_verbs
from cutoverd.states.leftovers import SWAPPED
from cutoverd.states.next_action import awaited_operator
from cutoverd.states.ports import Direction
from cutoverd.states.run import Run, Status


def status_document(run: Run, timeline: Timeline, now: datetime) -> dict[str, Any]:
    """From the events alone; `next` is what may be said. Of a run that has started."""
    waits = awaited_operator(run)
    running = [_running(each, now) for each in timeline.all_running]
    keys = [] if run.is_over or run.is_stuck else list(run.keys(run.state))
    return {
        "run": run.name,
        "state": run.state,
        "since": run.entered_at.isoformat(timespec="seconds"),
        "steps_done": sum(run.is_done(key) for key in keys),
        "steps": len(keys),
        "begun": [f"{key} ({way})" for (key, way), tried in run.attempts.items() if tried.status is Status.BEGUN],
        "running": next(iter(running), None),
        "running_beside": running[1:],
        "waits_for": waits.reason if waits else "",
        "gate": run.gate.name if run.gate else "",
        "held": run.held is not None,
        "failure": run.failure.reason if run.failure else "",
        "turned_because": timeline.turned_because,
        "epoch": run.epoch,
        "last_seq": run.last_seq,
        "downtime_seconds": round(timeline.downtime_seconds(now), 3),
        "budget_seconds": timeline.budget_seconds,
        "state_seconds": {state: round(seconds, 3) for state, seconds in timeline.state_seconds(now).items()},
        "rehearsal": _rehearsal(run),
        "foreseen": _foreseen(run, now),
        "breached": sorted(run.breached),
        "foreign_messages": run.foreign_messages,
        **{name: value for name, value in run.of(SWAPPED, Direction.BACK).evidence.items() if name.startswith("written")},
        "left_over": left_over(run, timeline),
        "to_do": to_do(run),
        "next": list(allowed_verbs(run)),
    }


def _rehearsal(run: Run) -> dict[str, Any] | None:
    state = rehearsal_state(run)
    return state.as_json() if state else None


def _foreseen(run: Run, now: datetime) -> dict[str, Any] | None:
    clock = window_clock(run, now)
    return clock.as_json() if clock else None


def _running(running: Running, now: datetime) -> dict[str, Any]:
    """What was announced; whether its daemon still lives, the stream cannot tell."""
    seconds = max(0.0, (now - running.began).total_seconds())
    return {"step": running.step, "direction": running.direction, "attempt": running.attempt, "seconds": round(seconds, 1)}

"""Whether the window would end after its deadline, and what the plan says then. Pure: the loop asks, and appends what it finds.

It turns a run only where that helps: while nobody but us can write, by durations that are known, and as long as going back takes
less than going on and ends in time. Else it is said, once.
"""

from __future__ import annotations

from datetime import datetime

from cutoverd.events import facts
from cutoverd.states.forecast import WINDOW, Forecast, forecast
from cutoverd.states.run import Run

ROLLBACK, HOLD = "rollback", "hold"


def overrun(run: Run, now: datetime, *, is_clock_steady: bool = True) -> facts.WindowOverrun | None:
    """None while the window is kept, or it was said; and where the run is turning, held, or nothing can be foretold.

    `is_clock_steady`: whether nobody has set the clock since this daemon began: by one that was set no run is turned.
    """
    if run.plan is None or run.deadline is None or run.is_overrun or not _goes_on(run):
        return None
    foreseen, left = forecast(run, now), (run.deadline - now).total_seconds()
    if foreseen is None or foreseen.window.seconds <= left:
        return None
    spared = _why_spared(run, foreseen, left, is_clock_steady=is_clock_steady)
    return facts.WindowOverrun(
        forward_seconds=round(foreseen.window.seconds, 3),
        rollback_seconds=None if foreseen.rollback.is_at_least else round(foreseen.rollback.seconds, 3),
        late_seconds=round(foreseen.window.seconds - left, 3),
        turns="" if spared else run.frozen.on_overrun,
        spared=spared,
    )


def _goes_on(run: Run) -> bool:
    return run.state in WINDOW and not (run.held or run.failure or run.aborting or run.failed_checks)


def _why_spared(run: Run, foreseen: Forecast, left: float, *, is_clock_steady: bool) -> str:
    """Why the plan's word does not count; "" where it does."""
    forward, back = foreseen.window, foreseen.rollback
    reasons = {
        "the plan does not say what then (window.on_overrun)": not run.frozen.on_overrun,
        "clients may be in": run.traffic_may_be_open,
        "the clock was set": not is_clock_steady,
        "how long the rollback takes is not known (window.states)": back.is_at_least,
        "going on takes no longer than going back": forward.seconds <= back.seconds,
        "the rollback would not end in time either": back.seconds > left,
    }
    return next((reason for reason, is_so in reasons.items() if is_so), "")

"""When the window will have ended, state by state, against what the plan gives it. Pure; from the events and the time of day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cutoverd.daemon.progress import format_seconds
from cutoverd.states.forecast import Forecast, Stretch, forecast
from cutoverd.states.precheck import PreCheck
from cutoverd.states.run import Run


@dataclass(frozen=True)
class WindowClock:
    """What is foretold at one moment."""

    foreseen: Forecast
    ends_at: datetime | None  # None before the window has begun
    deadline: datetime | None  # None without `window.budget`, and before
    budget_seconds: float | None = None

    @property
    def is_late(self) -> bool:
        """What is known to be left is too long already; one that is "at least" may be late without it."""
        if self.ends_at is None:
            return self.budget_seconds is not None and self.foreseen.window.seconds > self.budget_seconds
        return self.deadline is not None and self.ends_at > self.deadline

    def describe(self) -> str:
        """`window ends 02:41 of 03:00`; before it has begun `window at least 12:30 of 30:00`."""
        window = self.foreseen.window
        about = "at least " if window.is_at_least else ""
        if self.ends_at is None:
            of = "" if self.budget_seconds is None else f" of {format_seconds(self.budget_seconds)}"
            return f"window {about}{format_seconds(window.seconds)}{of}"
        of = f" of {self.deadline:%H:%M}" if self.deadline else ""
        return f"window ends {'not before ' if about else ''}{self.ends_at:%H:%M}{of}"

    @property
    def says(self) -> str:
        """The same, and the rollback."""
        rollback = self.foreseen.rollback
        about = "at least " if rollback.is_at_least else ""
        return f"{self.describe()}; a rollback would take {about}{format_seconds(rollback.seconds)} now"

    def as_json(self) -> dict[str, Any]:
        return {
            "states": {name: _as_json(each) for name, each in self.foreseen.states.items()},
            "window": _as_json(self.foreseen.window),
            "rollback": _as_json(self.foreseen.rollback),
            "ends_at": self.ends_at.isoformat(timespec="seconds") if self.ends_at else None,
            "deadline": self.deadline.isoformat(timespec="seconds") if self.deadline else None,
            "says": self.says,
        }


def window_clock(run: Run, now: datetime) -> WindowClock | None:
    """None where nothing can be foretold."""
    foreseen = forecast(run, now)
    if foreseen is None:
        return None
    if run.state == PreCheck.name:
        return WindowClock(foreseen, None, None, run.frozen.budget_seconds)
    return WindowClock(foreseen, now + timedelta(seconds=foreseen.window.seconds), run.deadline)


def _as_json(stretch: Stretch) -> dict[str, Any]:
    return {"seconds": round(stretch.seconds, 3), "at_least": stretch.is_at_least}

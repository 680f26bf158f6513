"""How far a running step is, as far as anybody knows, and how the code of a step says so: a courtesy, in nobody's way."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from cutoverd.states.ports import Direction


@dataclass(frozen=True)
class ProgressReading:
    """What a look at the step saw; nothing of it need be known."""

    doing: str = ""
    done: float | None = None
    total: float | None = None
    unit: str = ""

    @property
    def ratio(self) -> float | None:
        """0 to 1; None where nobody tells the whole."""
        if self.done is None or not self.total:
            return None
        return min(max(self.done / self.total, 0.0), 1.0)

    def describe(self) -> str:
        """`12 of 87 statements, schema/01.sql:40, CREATE INDEX`; empty if nothing is known."""
        return ", ".join(part for part in (self._counted(), self.doing) if part)

    def _counted(self) -> str:
        if self.done is None:
            return ""
        of = f" of {_number(self.total, self.unit)}" if self.total else ""
        counted = f"{_number(self.done, self.unit)}{of}"
        return counted if self.unit in SIZES else f"{counted} {self.unit}".strip()


@dataclass(frozen=True)
class Progress:
    """The running step, how long it has taken, and what was seen of it last."""

    step: str
    direction: str
    attempt: int
    seconds: float
    reading: ProgressReading = ProgressReading()

    @property
    def title(self) -> str:
        return self.step if self.direction == Direction.FORWARD else f"back: {self.step}"

    @property
    def far(self) -> str:
        """`75%  3 of 4 statements, a.sql:7, INSERT`; empty if nothing is known."""
        ratio = self.reading.ratio
        return "  ".join(part for part in ("" if ratio is None else f"{ratio:.0%}", self.reading.describe()) if part)

    def as_json(self) -> dict[str, Any]:
        """With `known` false where only the time is."""
        reading = self.reading
        return {
            "step": self.step,
            "direction": self.direction,
            "attempt": self.attempt,
            "seconds": round(self.seconds, 1),
            "known": bool(reading.describe()),
            "ratio": None if reading.ratio is None else round(reading.ratio, 4),
            "done": reading.done,
            "total": reading.total,
            "unit": reading.unit,
            "doing": reading.doing,
        }


SIZES = ("bytes", "seconds")


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "?"
    return format_bytes(value) if unit == "bytes" else format_seconds(value) if unit == "seconds" else f"{value:,.0f}"


def format_bytes(value: float) -> str:
    """`1.2 GB`."""
    for name in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {name}" if name == "B" else f"{value:.1f} {name}"
        value /= 1000
    return f"{value:.1f} TB"


def format_seconds(seconds: float) -> str:
    """`4.2 s`, `3:12`, `1:03:12`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_limit(seconds: float) -> str:
    """As `format_seconds`, and `40 ms` of less than a second: what ended it is never 0."""
    return format_seconds(seconds) if seconds >= 1 else f"{max(1, round(seconds * 1000))} ms"


class ProgressReporter:
    """Where the words of the running steps end up, each by its step: several may run side by side."""

    def __init__(self) -> None:
        self._readings: dict[str, ProgressReading] = {}

    def of(self, step: str) -> ProgressReading:
        return self._readings.get(step, ProgressReading())

    def report(self, step: str, reading: ProgressReading) -> None:
        self._readings[step] = reading

    def forget(self, step: str) -> None:
        """It has ended, or begins: what was said of it is no news any more."""
        self._readings.pop(step, None)

    def collect_from_here(self) -> None:
        """From here on `report_progress` of this task, and of those that it makes, comes here."""
        _REPORTER.set(self)


_REPORTER: ContextVar[ProgressReporter | None] = ContextVar("cutoverd_progress", default=None)
_STEP: ContextVar[str] = ContextVar("cutoverd_progress_step", default="")


def report_as(step: str) -> None:
    """From here on what this task, and those that it makes, reports is of `step`."""
    _STEP.set(step)


def report_progress(doing: str, done: float | None = None, total: float | None = None, unit: str = "") -> None:
    """Say what is being done; without a reporter it is nothing."""
    if reporter := _REPORTER.get():
        reporter.report(_STEP.get(), ProgressReading(doing, done, total, unit))

"""How long a named query takes on old and on new, and whether new is slower than the plan allows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

FLOOR_SECONDS = 0.005  # a busy server makes that much out of nothing: docs/decisions/0005-validate.md
ROUNDS_MIN, ROUNDS_MAX = 3, 9
SPENT_SECONDS = 10.0  # a query that takes long is not repeated for ever: it is inside the window


@dataclass
class Timings:
    """Seconds of each repetition, old and new side by side."""

    old: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        return len(self.new)

    @property
    def wants_more(self) -> bool:
        spent = sum(self.old) + sum(self.new)
        return self.rounds < ROUNDS_MIN or (self.rounds < ROUNDS_MAX and spent < SPENT_SECONDS)

    @property
    def ratio(self) -> float:
        """Of the medians: one repetition that something disturbed moves neither."""
        return median(self.new) / max(median(self.old), 1e-6)

    def is_slower_than(self, allowed: float) -> bool:
        """Whether new takes more than `allowed` times as long as old, by more than the floor."""
        return median(self.new) > allowed * median(self.old) + FLOOR_SECONDS

    @property
    def evidence(self) -> dict[str, Any]:
        """{"old_ms", "new_ms": {"median", "fastest", "slowest"}, "ratio", "rounds"}."""
        return {
            "old_ms": _milliseconds(self.old),
            "new_ms": _milliseconds(self.new),
            "ratio": round(self.ratio, 2),
            "rounds": self.rounds,
        }

    def __str__(self) -> str:
        return f"{_ms(median(self.old))} on old, {_ms(median(self.new))} on new (medians of {self.rounds}, warm)"


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    statistics = {"median": median(seconds), "fastest": min(seconds), "slowest": max(seconds)}
    return {name: round(value * 1000, 2) for name, value in statistics.items()}


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"

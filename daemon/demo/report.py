"""What is said of the demonstration while it plays, and the summary at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cutoverd.daemon.views.event_lines import line
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.states.run import Run
from cutoverd.states.validate import Validate

SHOWN_MAX = 10
Say = Callable[[str], None]


@dataclass
class Report:
    """What is remembered of the run for the summary."""

    say: Say
    run: Run
    timeline: Timeline = field(default_factory=Timeline)
    step_seconds: float = 0.0

    def __call__(self, run: Run, recorded: Recorded) -> None:
        self.run = run
        self.timeline.apply(recorded)
        if isinstance(recorded.event, facts.StepSucceeded | facts.StepFailed):
            self.step_seconds += recorded.event.seconds
        if not isinstance(recorded.event, facts.StepStarted):
            self.say(line(run, recorded))

    def summary(self) -> list[str]:
        now = self.timeline.last_at
        states = self.timeline.state_seconds(now)
        compared = {key: evidence for key, evidence in self.run.evidence().items() if key.startswith(f"{Validate.compare}:")}
        return [
            f"states:    {', '.join(f'{state} {seconds:.1f} s' for state, seconds in states.items() if seconds)}",
            f"downtime:  {self.timeline.downtime_seconds(now):.1f} s",
            f"the run:   {sum(states.values()):.1f} s, of which {self._between_seconds(states):.2f} s between steps",
            *_largest({key.partition(":")[2]: evidence.get("rows_old", 0) for key, evidence in compared.items()}),
        ]

    def _between_seconds(self, states: dict[str, float]) -> float:
        """What the daemon itself took: neither in a step nor at a gate."""
        return sum(states.values()) - self.step_seconds - self.timeline.gate_seconds


def _largest(compared: dict[str, int]) -> list[str]:
    """A line for each comparison; where there are many, for the largest, and one for the others."""
    rows = sorted(compared.items(), key=lambda each: -each[1])
    others = (
        [f"compared:  {len(rows) - SHOWN_MAX} more: {sum(count for _, count in rows[SHOWN_MAX:]):,} rows"]
        if rows[SHOWN_MAX:]
        else []
    )
    return [*(f"compared:  {name}: {count:,} rows" for name, count in rows[:SHOWN_MAX]), *others]

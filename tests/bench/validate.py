"""Validate with its checks one after the other and two side by side (`validate.jobs`), on both examples; ratios of the same run.

A repetition is a whole run with each number, one after the other, on databases of their own. Its window is not rehearsed: that is
before it, and always one after the other.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cutoverd.daemon.demo.environment import stage
from cutoverd.daemon.demo.example import EXAMPLES, Example
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.runtime.drive import drive
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.states.run import Run, StepKey

REPETITIONS = 3
JOBS = (1, 2)


@dataclass
class Measured:
    """Of one run."""

    whole: float  # seconds of the state
    group: float  # from the first check that may run beside others to the end of the last
    summed: float  # what each of them says that it took


def main() -> None:
    """Each example, each repetition: first one after the other, then side by side."""
    for example in EXAMPLES.values():
        for repetition in range(1, REPETITIONS + 1):
            _print(example, repetition, {jobs: _run(example, jobs) for jobs in JOBS})


def _print(example: Example, repetition: int, measured: dict[int, Measured]) -> None:
    for jobs, each in measured.items():
        print(
            f"{example.name} {repetition}, jobs {jobs}: scripts and comparisons {each.group:5.2f} s "
            f"(sum of each {each.summed:5.2f} s), Validate {each.whole:5.2f} s"
        )
    alone, beside = measured[JOBS[0]], measured[JOBS[-1]]
    print(f"  ratio: scripts and comparisons {beside.group / alone.group:.2f}, Validate {beside.whole / alone.whole:.2f}")


def _run(example: Example, jobs: int) -> Measured:
    timeline, group = Timeline(), _Group()

    def observe(run: Run, recorded: Recorded) -> None:
        timeline.apply(recorded)
        group.apply(recorded)

    with (
        tempfile.TemporaryDirectory(prefix="cutoverd-bench-") as folder,
        stage(Path(folder) / "night", example=example) as night,
    ):
        asyncio.run(drive(_with(night.loaded, jobs), auto=True, observers=[observe]))
    return Measured(timeline.state_seconds(timeline.last_at)["validate"], group.seconds, group.summed)


def _with(loaded: LoadedPlan, jobs: int) -> LoadedPlan:
    plan = loaded.plan
    changed = {
        "validate_": plan.validate_.model_copy(update={"jobs": jobs}),
        "rehearsal": plan.rehearsal.model_copy(update={"skip": "only the window is measured"}),
    }
    return replace(loaded, plan=plan.model_copy(update=changed))


class _Group:
    """When the checks that may run side by side began and ended."""

    def __init__(self) -> None:
        self.times: list[datetime] = []
        self.summed = 0.0

    def apply(self, recorded: Recorded) -> None:
        event = recorded.event
        if not isinstance(event, facts.StepStarted | facts.StepSucceeded) or not StepKey.of(event.step).definition.grouped:
            return
        self.times.append(recorded.envelope.time)
        self.summed += event.seconds if isinstance(event, facts.StepSucceeded) else 0.0

    @property
    def seconds(self) -> float:
        return (self.times[-1] - self.times[0]).total_seconds()

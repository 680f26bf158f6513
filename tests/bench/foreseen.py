"""How well the end of the window is foretold: of the states that the rehearsal takes, seconds as foretold and as they were.

One run after the other, each on a server of its own, its window rehearsed in its own PreCheck. Of the team's commands no
rehearsal knows: Downtime, Smoke and Cutover are shown, and are no measure.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from cutoverd.daemon.demo.environment import stage
from cutoverd.daemon.demo.example import EXAMPLES, Example
from cutoverd.daemon.runtime.drive import drive
from cutoverd.daemon.views.timeline import Timeline
from cutoverd.events.codec import Recorded
from cutoverd.states.forecast import WINDOW, Forecast, forecast
from cutoverd.states.run import Run

REPETITIONS = 5
ROWS = (100_000, 3_000_000)  # of the example that makes as many as it is asked for
JUDGED = ("schema", "data", "validate")


def main() -> None:
    """Each example, each size, each repetition."""
    for example in EXAMPLES.values():
        for rows in ROWS if example.rows else (None,):
            for repetition in range(1, REPETITIONS + 1):
                _print(f"{example.name}{f', {rows:,} rows' if rows else ''} {repetition}", *_run(example, rows))


def _print(name: str, foreseen: Forecast, took: dict[str, float]) -> None:
    each = [f"{state} {foreseen.states[state].seconds:.2f} / {took[state]:.2f}" for state in WINDOW]
    before, after = (sum(seconds[state] for state in JUDGED) for seconds in (_seconds(foreseen), took))
    print(f"{name}: {', '.join(each)}; of {', '.join(JUDGED)} foretold / taken: {before / after:.2f}")


def _seconds(foreseen: Forecast) -> dict[str, float]:
    return {state: each.seconds for state, each in foreseen.states.items()}


def _run(example: Example, rows: int | None) -> tuple[Forecast, dict[str, float]]:
    timeline, first = Timeline(), list[Forecast]()

    def observe(run: Run, recorded: Recorded) -> None:
        timeline.apply(recorded)
        if run.state == WINDOW[0] and not first and (found := forecast(run, recorded.envelope.time)):
            first.append(found)

    with (
        tempfile.TemporaryDirectory(prefix="cutoverd-bench-") as folder,
        stage(Path(folder) / "night", example=example, rows=rows) as night,
    ):
        asyncio.run(drive(night.loaded, auto=True, observers=[observe]))
    return first[0], timeline.state_seconds(timeline.last_at)

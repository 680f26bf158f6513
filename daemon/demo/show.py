"""The demonstration from beginning to end, and what it says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cutoverd.daemon.app import drive
from cutoverd.daemon.demo.clients import clients
from cutoverd.daemon.demo.example import Example
from cutoverd.daemon.demo.fingerprint import Fingerprint
from cutoverd.daemon.demo.operator import Operator
from cutoverd.daemon.demo.stage import Break, Stage, stage
from cutoverd.daemon.exits import Exit
from cutoverd.daemon.face.lines import line
from cutoverd.daemon.face.timeline import Timeline
from cutoverd.events import facts
from cutoverd.events.codec import Recorded
from cutoverd.states.run import Run

SHOWN_MAX = 10
Say = Callable[[str], None]
ENDS = {Exit.COMPLETED: "Completed", Exit.ROLLED_BACK: "RolledBack", Exit.STUCK: "Stuck", Exit.ABORTED: "Aborted"}


@dataclass
class Report:
    """What is remembered of the run for the summary."""

    say: Say
    run: Run
    timeline: Timeline = field(default_factory=Timeline)
    step_seconds: float = 0.0

    def __call__(self, run: Run, recorded: Recorded) -> None:
        self.run = run
        self.timeline.take_in(recorded)
        if isinstance(recorded.event, facts.StepSucceeded | facts.StepFailed):
            self.step_seconds += recorded.event.seconds
        if not isinstance(recorded.event, facts.StepStarted):
            self.say(line(run, recorded))

    def summary(self) -> list[str]:
        now = self.timeline.last_at
        states = self.timeline.state_seconds(now)
        compared = {key: seen for key, seen in self.run.evidence().items() if key.startswith("validate.compare:")}
        return [
            f"states:    {', '.join(f'{state} {seconds:.1f} s' for state, seconds in states.items() if seconds)}",
            f"downtime:  {self.timeline.downtime_seconds(now):.1f} s",
            f"the run:   {sum(states.values()):.1f} s, of which {self._between_seconds(states):.2f} s between steps",
            *_largest({key.partition(":")[2]: seen.get("rows_old", 0) for key, seen in compared.items()}),
            f"left over: {', '.join(_left_over(self.run)) or 'nothing'}",
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


def _left_over(run: Run) -> list[str]:
    told = run.evidence().get("rollback.name_leftovers", {}).get("databases")
    ends = {"completed": [f"{run.frozen.production}_previous (old)", f"{run.frozen.production}_closed (placeholder)"]}
    return list(told or ends.get(run.state, []))


def show(example: Example, broken: Break | None, folder: Path | None, keep: bool, say: Say, rows: int | None = None) -> Exit:
    """Set the stage, let the night pass, prove the way back, clear the stage. For the main thread."""
    home = (folder or Path(tempfile.mkdtemp(prefix="cutoverd-demo-"))).absolute()
    try:
        say(f"setting the stage in {home}: a PostgreSQL, {example.told}, two services" + _spoiled(broken))
        with _stopped_as_by_ctrl_c(), stage(home, broken, example=example, rows=rows) as set_up:
            return _night(set_up, say)
    finally:
        if not keep and folder is None:
            shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _stopped_as_by_ctrl_c() -> Iterator[None]:
    """Whoever ends the demonstration, the stage is cleared."""
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]  # nohup
    before = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    """As by Ctrl-C; in the background of a script Ctrl-C itself may be ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def _spoiled(broken: Break | None) -> str:
    return f"; {broken} is broken on purpose" if broken else ""


def _night(set_up: Stage, say: Say) -> Exit:
    fingerprint = Fingerprint(set_up)
    before = fingerprint.take() if set_up.broken else {}
    report = Report(say, Run(set_up.loaded.plan.run))
    with clients(set_up) as seen:
        ended = asyncio.run(_driven(set_up, report))
    for words in ("", *report.summary(), *seen.lines()):
        say(words)
    if seen.lost:
        say("a write that was acknowledged is missing")
        return Exit.ERROR
    if ended is Exit.ROLLED_BACK and before:
        if changed := _differences(before, fingerprint.take()):
            say(f"production is NOT as it was: {', '.join(changed)}")
            return Exit.ERROR
        say(f"production is as it was: {', '.join(before)}")
    say(ENDS.get(ended, ended.name.capitalize()))
    return ended


async def _driven(set_up: Stage, report: Report) -> Exit:
    """The run with its operator; without the operator nobody would pass a gate, so an error of his ends both."""
    operator = Operator(set_up)
    tasks = [asyncio.create_task(operator.work()), asyncio.create_task(drive(set_up.loaded, observers=[report, operator]))]
    working, driving = tasks
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return driving.result() if not driving.cancelled() else working.result()


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [name for name, value in before.items() if after[name] != value]

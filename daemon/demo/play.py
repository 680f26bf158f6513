"""The demonstration from beginning to end, and what it says of itself."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cutoverd.daemon.demo.clients import clients
from cutoverd.daemon.demo.environment import Break, Stage, stage
from cutoverd.daemon.demo.example import Example
from cutoverd.daemon.demo.fingerprint import ProductionFingerprint
from cutoverd.daemon.demo.operator import Operator
from cutoverd.daemon.demo.report import Report, Say
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.engine.run_log import Observer
from cutoverd.daemon.runtime.drive import drive
from cutoverd.daemon.runtime.progress_tracker import ProgressTracker
from cutoverd.daemon.runtime.serve_metrics import Measured, measured
from cutoverd.states.run import Run

OPERATORS = ("dba", "sre")
ENDS = {Exit.COMPLETED: "Completed", Exit.ROLLED_BACK: "RolledBack", Exit.STUCK: "Stuck", Exit.ABORTED: "Aborted"}


def show(example: Example, broken: Break | None, folder: Path | None, keep: bool, say: Say, rows: int | None = None) -> Exit:
    """Set the stage, let the night pass, prove the way back, clear the stage. For the main thread."""
    home = (folder or Path(tempfile.mkdtemp(prefix="cutoverd-demo-"))).absolute()
    try:
        say(f"setting the stage in {home}: a PostgreSQL, {example.description}, two services" + _spoiled(broken))
        with _stopped_as_by_ctrl_c(), stage(home, broken, operators=OPERATORS, example=example, rows=rows) as set_up:
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
    fingerprint = ProductionFingerprint(set_up)
    before = fingerprint.take() if set_up.broken else {}
    report = Report(say, Run(set_up.loaded.plan.run))
    tracker = ProgressTracker(set_up.loaded)
    with measured(set_up.loaded, tracker) as numbers:
        if numbers.scrapes and set_up.loaded.plan.metrics:
            say(f"its numbers: http://{set_up.loaded.plan.metrics.listen}/metrics")
        with clients(set_up) as load:
            ended = asyncio.run(_driven(set_up, [report, load], numbers, tracker))
        numbers.linger()
    for text in ("", *report.summary(), f"left over: {', '.join(_left_over(set_up)) or 'nothing'}", *load.lines()):
        say(text)
    if load.lost:
        say("a write that was acknowledged is missing")
    if load.lost or (load.unknown and ended is not Exit.STUCK):  # Stuck lets nobody into production, and says so itself
        return Exit.ERROR
    if ended in (Exit.ROLLED_BACK, Exit.ABORTED):
        if changed := _differences(before, fingerprint.take()) if before else []:
            say(f"production is NOT as it was: {', '.join(changed)}")
            return Exit.ERROR
        say(f"production is as it was: {', '.join(before)}" if before else "production was not looked at before")
    say(ENDS.get(ended, ended.name.capitalize()))
    return ended


async def _driven(set_up: Stage, observers: list[Observer], numbers: Measured, tracker: ProgressTracker) -> Exit:
    """The run with its operator; without the operator nobody would pass a gate, so an error of his ends both."""
    operator, metrics = Operator(set_up), numbers.metrics
    observers = [*observers, operator, metrics]
    night = drive(
        set_up.loaded, observers=observers, round_observers=[metrics.record_round], scrapes=numbers.scrapes, tracker=tracker
    )
    tasks = [asyncio.create_task(operator.work()), asyncio.create_task(night)]
    working, driving = tasks
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return driving.result() if not driving.cancelled() else working.result()


def _left_over(set_up: Stage) -> list[str]:
    """Asked of the server, whatever the end."""
    query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1"
    with set_up.postgres.connect() as connection:
        return [name for (name,) in connection.execute(query, (f"{set_up.example.database}_",))]


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [name for name, value in before.items() if after[name] != value]

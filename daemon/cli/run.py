"""`cutoverd run`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from cutoverd.daemon.cli.application import CODES
from cutoverd.daemon.cli.common import PlanArgument, complain, ended, loaded, stdout_descriptor
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.runtime.drive import drive
from cutoverd.daemon.runtime.progress_tracker import ProgressTracker
from cutoverd.daemon.runtime.serve_metrics import Measured, measured
from cutoverd.daemon.terminal.event_printer import EventPrinter, TextFormat
from cutoverd.daemon.terminal.live import LiveTree
from cutoverd.daemon.terminal.nonblocking import NonBlockingWriter
from cutoverd.daemon.views.event_json import json_line
from cutoverd.daemon.views.unfinished import format_left

app = typer.Typer(add_completion=False)
NO_LAST_SCRAPE = (Exit.UNFINISHED, Exit.ERROR, Exit.SUPERSEDED)


class RunFormat(StrEnum):
    """How the run is shown."""

    TREE = "tree"  # live
    LINES = "lines"  # a line of text for each event
    JSON = "json"  # a JSON object for each event


FORMS = "tree (live), lines, or json (an object for each event). Left out: the tree on a terminal, json elsewhere."


@app.command(help=f"Drive the run of a plan: start it, or go on where it stands.\n\n{CODES}")
def run(
    plan: PlanArgument,
    auto: Annotated[
        bool,
        typer.Option(
            "--auto", help="Pass gates without asking; wait for `ready` alone, and end where else a person would be needed."
        ),
    ] = False,
    form: Annotated[RunFormat | None, typer.Option("--format", "-f", help=FORMS)] = None,
) -> None:
    given = loaded(plan)
    tracker = ProgressTracker(given)
    try:
        with measured(given, tracker) as exporter:
            code = _drive_shown(given, form or _fitting(), tracker, exporter, auto=auto)
            _complain_if_left(tracker, code)
            _linger_for_last_scrape(exporter, code)
    except (OSError, OverflowError) as error:
        complain(f"cutoverd: metrics.listen {given.plan.metrics and given.plan.metrics.listen}: {error}")
        raise typer.Exit(Exit.ERROR) from None
    raise typer.Exit(code)


def _drive_shown(given: LoadedPlan, form: RunFormat, tracker: ProgressTracker, exporter: Measured, *, auto: bool) -> Exit:
    """The code; what was printed is out by then, and an error was said."""
    try:
        with _shown(form, tracker) as face:
            night = drive(
                given,
                auto=auto,
                observers=[exporter.metrics, face],
                round_observers=[exporter.metrics.record_round],
                scrapes=exporter.scrapes,
                tracker=tracker,
            )
            return ended(face.beside(night))
    except typer.Exit as error:
        return Exit(error.exit_code)


def _complain_if_left(tracker: ProgressTracker, code: Exit) -> None:
    """Whoever reads the last lines alone knows what production is now, and how it goes on; on stderr, in every format.

    Found: a run that was held in the window ended with production closed, and no word about it.
    """
    if tracker.run.plan is None or tracker.run.is_over or not tracker.has_led or code is Exit.SUPERSEDED:
        return
    lines = format_left(tracker.run, tracker.timeline, datetime.now(UTC), by_error=code is Exit.ERROR)
    complain("\n".join(f"  {text}" for text in lines))


def _linger_for_last_scrape(exporter: Measured, code: Exit) -> None:
    """Whoever scrapes regularly sees the last state too; a signal ends the wait, and the code stays what it is."""
    if code in NO_LAST_SCRAPE or not exporter.linger_seconds:
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        exporter.linger()


def _fitting() -> RunFormat:
    """A terminal that cannot move its cursor gets lines."""
    if not (sys.stdout and sys.stdout.isatty()):
        return RunFormat.JSON
    return RunFormat.LINES if os.environ.get("TERM") in (None, "", "dumb") else RunFormat.TREE


@contextmanager
def _shown(form: RunFormat, tracker: ProgressTracker) -> Iterator[LiveTree | EventPrinter]:
    """A night must not end, or wait, because nobody reads what it prints; the journal has it all."""
    with stdout_descriptor() as fd, NonBlockingWriter(fd) as out:
        yield (
            LiveTree(tracker, out)
            if form is RunFormat.TREE
            else EventPrinter(out, json_line if form is RunFormat.JSON else TextFormat())
        )

"""`cutoverd run`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Annotated

import typer

from cutoverd.daemon.cli.application import CODES
from cutoverd.daemon.cli.common import PlanArgument, complain, ended, loaded
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.runtime.drive import drive
from cutoverd.daemon.runtime.progress_tracker import ProgressTracker
from cutoverd.daemon.runtime.serve_metrics import Measured, measured
from cutoverd.daemon.terminal.event_printer import EventPrinter, TextFormat
from cutoverd.daemon.terminal.live import LiveTree
from cutoverd.daemon.terminal.nonblocking import NonBlockingWriter
from cutoverd.daemon.views.event_json import json_line

app = typer.Typer(add_completion=False)


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
            with _shown(form or _fitting(), tracker) as face:
                observers, round_observers = [exporter.metrics, face], [exporter.metrics.record_round]
                night = drive(
                    given,
                    auto=auto,
                    observers=observers,
                    round_observers=round_observers,
                    scrapes=exporter.scrapes,
                    tracker=tracker,
                )
                code = ended(face.beside(night))
            _linger_for_last_scrape(exporter, code)
    except (OSError, OverflowError) as error:
        complain(f"cutoverd: metrics.listen {given.plan.metrics and given.plan.metrics.listen}: {error}")
        raise typer.Exit(Exit.ERROR) from None
    raise typer.Exit(code)


def _linger_for_last_scrape(exporter: Measured, code: Exit) -> None:
    """Whoever scrapes regularly sees the last state too; a signal ends the wait, and the code stays what it is."""
    if code is Exit.UNFINISHED or not exporter.linger_seconds:
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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
    with _stdout() as fd, NonBlockingWriter(fd) as out:
        yield (
            LiveTree(tracker, out)
            if form is RunFormat.TREE
            else EventPrinter(out, json_line if form is RunFormat.JSON else TextFormat())
        )


@contextmanager
def _stdout() -> Iterator[int]:
    """Or nowhere, if whoever started us has closed it."""
    if sys.stdout:
        sys.stdout.flush()
        yield sys.stdout.fileno()
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    yield nowhere
    os.close(nowhere)

"""`cutoverd run`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from typing import Annotated

import typer

from cutoverd.daemon.app import drive
from cutoverd.daemon.cli.common import CODES, PlanArgument, app, ended, loaded
from cutoverd.daemon.exits import Exit
from cutoverd.daemon.face.aside import Aside
from cutoverd.daemon.face.events import json_line
from cutoverd.daemon.face.lines import line
from cutoverd.daemon.face.live import LiveTree
from cutoverd.daemon.face.metrics import RunMetrics
from cutoverd.daemon.face.printed import Printed
from cutoverd.daemon.face.scraped import Scrapes, served
from cutoverd.daemon.face.step_metrics import StepMetrics
from cutoverd.daemon.watcher import Watcher


class Form(StrEnum):
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
    form: Annotated[Form | None, typer.Option("--format", "-f", help=FORMS)] = None,
) -> None:
    given = loaded(plan)
    watcher = Watcher(given)
    metrics = RunMetrics(given.plan.run, version("cutoverd"))
    metrics.registry.register(StepMetrics(given.plan.run, lambda: watcher.progress(datetime.now(UTC))))
    listen = given.plan.metrics.listen if given.plan.metrics else None
    try:
        with served(metrics.registry, listen) as scrapes:
            with _shown(form or _fitting(), watcher) as face:
                asked, seers = scrapes if listen else None, [metrics, face]
                night = drive(given, auto=auto, observers=seers, lookers=[metrics.looked], scrapes=asked, watcher=watcher)
                code = ended(face.beside(night))
            _let_the_end_be_seen(scrapes, code)
    except (OSError, OverflowError) as error:
        typer.echo(f"cutoverd: metrics.listen {listen}: {error}", err=True)
        raise typer.Exit(Exit.ERROR) from None
    raise typer.Exit(code)


def _let_the_end_be_seen(scrapes: Scrapes, code: Exit) -> None:
    """Whoever scrapes regularly sees the last state too; a signal ends the wait, and the code stays what it is."""
    if code is Exit.UNFINISHED or not scrapes.linger_seconds:
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        scrapes.wait_for_one_more()


def _fitting() -> Form:
    """A terminal that cannot move its cursor gets lines."""
    if not (sys.stdout and sys.stdout.isatty()):
        return Form.JSON
    return Form.LINES if os.environ.get("TERM") in (None, "", "dumb") else Form.TREE


@contextmanager
def _shown(form: Form, watcher: Watcher) -> Iterator[LiveTree | Printed]:
    """A night must not end, or wait, because nobody reads what it prints; the journal has it all."""
    with _stdout() as fd, Aside(fd) as out:
        yield LiveTree(watcher, out) if form is Form.TREE else Printed(out, json_line if form is Form.JSON else line)


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

"""`cutoverd run`."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Annotated

import typer

from cutoverd.daemon.app import drive
from cutoverd.daemon.cli.common import CODES, PlanArgument, app, ended, loaded
from cutoverd.daemon.exits import Exit
from cutoverd.daemon.face.lines import line
from cutoverd.daemon.face.metrics import RunMetrics
from cutoverd.daemon.face.scraped import Scrapes, served
from cutoverd.daemon.face.step_metrics import StepMetrics
from cutoverd.daemon.face.terminal import mute
from cutoverd.daemon.watcher import Watcher
from cutoverd.events.codec import Recorded
from cutoverd.states.run import Run


@app.command(help=f"Drive the run of a plan: start it, or go on where it stands.\n\n{CODES}")
def run(
    plan: PlanArgument,
    auto: Annotated[
        bool,
        typer.Option(
            "--auto", help="Pass gates without asking; wait for `ready` alone, and end where else a person would be needed."
        ),
    ] = False,
) -> None:
    given = loaded(plan)
    watcher = Watcher(given)
    metrics = RunMetrics(given.plan.run, version("cutoverd"))
    metrics.registry.register(StepMetrics(given.plan.run, lambda: watcher.progress(datetime.now(UTC))))
    listen = given.plan.metrics.listen if given.plan.metrics else None
    try:
        with served(metrics.registry, listen) as scrapes:
            asked = scrapes if listen else None
            seers = {"observers": [metrics, _print], "lookers": [metrics.looked], "scrapes": asked, "watcher": watcher}
            code = ended(drive(given, auto=auto, **seers))
            _let_the_end_be_seen(scrapes, code)
            raise typer.Exit(code)
    except (OSError, OverflowError) as error:
        typer.echo(f"cutoverd: metrics.listen {listen}: {error}", err=True)
        raise typer.Exit(Exit.ERROR) from None


def _let_the_end_be_seen(scrapes: Scrapes, code: Exit) -> None:
    """Whoever scrapes regularly sees the last state too; a signal ends the wait, and the code stays what it is."""
    if code is Exit.UNFINISHED or not scrapes.linger_seconds:
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        scrapes.wait_for_one_more()


def _print(run: Run, recorded: Recorded) -> None:
    """A night must not end because nobody reads what it prints; the journal has it all."""
    try:
        typer.echo(line(run, recorded))
    except OSError:
        mute(sys.stdout)

"""`cutoverd run`."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from cutoverd.daemon.app import drive
from cutoverd.daemon.cli.common import CODES, PlanArgument, app, ended, loaded
from cutoverd.daemon.exits import Exit
from cutoverd.daemon.face.lines import line
from cutoverd.daemon.face.metrics import RunMetrics, served
from cutoverd.daemon.face.terminal import mute
from cutoverd.events.codec import Recorded
from cutoverd.states.run import Run


@app.command(help=f"Drive the run of a plan: start it, or go on where it stands.\n\n{CODES}")
def run(
    plan: PlanArgument,
    auto: Annotated[bool, typer.Option("--auto", help="Pass gates without asking; end where a person would be needed.")] = False,
) -> None:
    given = loaded(plan)
    metrics = RunMetrics(given.plan.run, version("cutoverd"))
    listen = given.plan.metrics.listen if given.plan.metrics else None
    try:
        with served(metrics, listen):
            raise typer.Exit(ended(drive(given, auto=auto, observers=[metrics, _print], lookers=[metrics.looked])))
    except (OSError, OverflowError) as error:
        typer.echo(f"cutoverd: metrics.listen {listen}: {error}", err=True)
        raise typer.Exit(Exit.ERROR) from None


def _print(run: Run, recorded: Recorded) -> None:
    """A night must not end because nobody reads what it prints; the journal has it all."""
    try:
        typer.echo(line(run, recorded))
    except OSError:
        mute(sys.stdout)

"""`cutoverd demo`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cutoverd.daemon.cli.common import complain, format_os_error
from cutoverd.daemon.demo.environment import Break
from cutoverd.daemon.demo.example import EXAMPLES, Name
from cutoverd.daemon.demo.play import show
from cutoverd.daemon.embedded.errors import ServerError
from cutoverd.daemon.engine.errors import BusError
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.host.printable import continued, printable
from cutoverd.daemon.plan.load import BadPlan
from cutoverd.daemon.terminal.unbreakable import mute
from cutoverd.states.errors import StepError

app = typer.Typer(add_completion=False)


@app.command(help="Watch a whole run: a PostgreSQL, a NATS, services and clients of its own; it leaves nothing behind.")
def demo(
    example: Annotated[Name, typer.Option(help="Which example of deploy/examples is played.")] = Name.PRINTOPTIM,
    rows: Annotated[
        int | None, typer.Option(min=10_000, help="So many rows of old data (printoptim; 1000000 by default).")
    ] = None,
    broken: Annotated[Break | None, typer.Option("--break", help="Break it there, and see the way back.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Play it here, and keep the folder.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary folder.")] = False,
) -> None:
    if rows and not EXAMPLES[example].rows:
        raise typer.BadParameter(f"{example} has the rows that it has", param_hint="--rows")
    try:
        code = show(EXAMPLES[example], broken, folder, keep, _tell, rows)
    except (BusError, StepError, ServerError, BadPlan, RuntimeError, OSError) as error:
        complain(f"cutoverd: {continued(format_os_error(error), '  ')}")
        raise typer.Exit(Exit.ERROR) from None
    raise typer.Exit(code)


def _tell(text: str) -> None:
    """A night must not end because nobody reads what is printed of it."""
    try:
        typer.echo(printable(text))
    except OSError:
        mute(sys.stdout)

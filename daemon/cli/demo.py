"""`cutoverd demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cutoverd.daemon.bus.errors import BusError
from cutoverd.daemon.cli.common import app
from cutoverd.daemon.demo.show import show
from cutoverd.daemon.demo.stage import Break
from cutoverd.daemon.embedded.errors import ServerError
from cutoverd.daemon.exits import Exit
from cutoverd.states.errors import StepError


@app.command(help="Watch a whole run: a PostgreSQL, a NATS and a year of flights of its own; it leaves nothing behind.")
def demo(
    broken: Annotated[Break | None, typer.Option("--break", help="Break it there, and see the way back.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Play it here, and keep the folder.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary folder.")] = False,
) -> None:
    try:
        code = show(broken, folder, keep, typer.echo)
    except (BusError, StepError, ServerError, RuntimeError) as error:
        typer.echo(f"cutoverd: {error}", err=True)
        raise typer.Exit(Exit.ERROR) from None
    raise typer.Exit(code)

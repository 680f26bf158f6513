"""The application: what `--help` lists, and the module of each command, which is imported when that command is asked for."""

from __future__ import annotations

import gc
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from cutoverd.daemon.host.early_stop import imports_are_done

CODES = """Exit codes: 0 completed, 1 error, 2 usage or plan, 3 rolled back, 4 stuck, 5 aborted (or PreCheck failed:
`run --auto`, `status --wait`), 6 left unfinished (held, or stopped: start it again), 7 another daemon drives the run."""

# command → its module, which has an `app` of its own; this order is that of `--help`
MODULES = {
    "check": "check",
    "demo": "demo",
    "finalize": "finalize",
    "history": "history",
    "journal": "journal",
    "rehearse": "rehearse",
    "rollback": "rollback",
    "run": "run",
    "schema": "schema",
    "send": "send",
    "status": "status",
    "plan": "plan_new",
}


class LazyGroup(TyperGroup):
    """Its commands are names (for the list, and for `did you mean`) until they are asked for."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name) for name in MODULES}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in MODULES:
            return None
        command = get_command(import_module(f"cutoverd.daemon.cli.{MODULES[cmd_name]}").app)
        _collect_again()
        imports_are_done()
        return command


def _collect_again() -> None:
    """The other half of `main`, which has switched the garbage collector off; nobody else's is touched."""
    if not gc.isenabled():
        gc.freeze()  # what was imported is not looked through when the process ends either
        gc.enable()


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # a slow one, for its parser of mail

        typer.echo(f"cutoverd {version('cutoverd')}")
        raise typer.Exit


app = typer.Typer(
    cls=LazyGroup,
    help=f"Move a production PostgreSQL database to a new schema, and back.\n\n{CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _cutoverd(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """All there is to say before a command is its version."""

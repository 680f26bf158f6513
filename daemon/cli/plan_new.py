"""`cutoverd plan new`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from pydantic import TypeAdapter, ValidationError

from cutoverd.daemon.cli.common import complain, say
from cutoverd.daemon.control.draft_plan import draft
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.host.environment import as_given
from cutoverd.daemon.plan.fields import DatabaseUrl
from cutoverd.daemon.plan.left_out import left_to_environment
from cutoverd.daemon.postgres.catalog.introspect import introspect
from cutoverd.daemon.postgres.session.reach import primary_message

app = typer.Typer(name="plan", help="Plan files.", no_args_is_help=True, add_completion=False)


@app.callback()
def _plans() -> None:
    """Plan files."""


@app.command(help="Draft a plan from a live database, which is only read: its tables as comparisons, the rest to be filled in.")
def new(
    url: Annotated[str, typer.Option("--url", help="postgresql://role@host:port/DATABASE, without a password.")],
    to: Annotated[Path | None, typer.Option("--to", help="Write it there; a file that is there is left alone.")] = None,
) -> None:
    _check(url)
    try:
        text = draft(url, introspect(url), datetime.now(UTC).date())
        if to is None:
            say(text.rstrip())
        else:
            with to.open("x", encoding="utf-8") as file:
                file.write(text)
    except psycopg.Error as error:
        _refused(f"the database cannot be looked at: {primary_message(error)}", Exit.ERROR)
    except FileExistsError:
        _refused(f"{to} is there already, and was left as it is: give another name", Exit.USAGE)
    except OSError as error:
        _refused(f"{to} cannot be written: {error.strerror}", Exit.ERROR)


def _check(url: str) -> None:
    try:
        TypeAdapter(DatabaseUrl).validate_python(url)
    except ValidationError as error:
        right = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(f"--url: {right}") from None
    for why in left_to_environment(url, as_given()):
        raise typer.BadParameter(f"--url: {why}")


def _refused(why: str, code: Exit) -> None:
    complain(f"cutoverd: {why}")
    raise typer.Exit(code) from None

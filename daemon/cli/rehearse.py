"""`cutoverd rehearse`."""

from __future__ import annotations

from typing import Annotated

import typer

from cutoverd.daemon.cli.common import PlanArgument, ended, loaded, say, stdout_descriptor
from cutoverd.daemon.control import rehearse as rehearsal
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.host.printable import one_line
from cutoverd.daemon.terminal.event_printer import EventPrinter, TextFormat
from cutoverd.daemon.terminal.nonblocking import NonBlockingWriter

app = typer.Typer(add_completion=False)
STOPPED = "what it made is dropped; if it was killed, `cutoverd rehearse --drop PLAN` does that"


@app.command(
    help="Take the window on a copy of production, on any day: backup, restore, every schema file, data script, validation, the "
    "swap and the rollback. Production is read, nothing else; services are left alone. Exit codes: 0 fit, 1 error, 2 usage or "
    "plan, 5 something is wrong."
)
def rehearse(
    plan: PlanArgument,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the databases of the copy, to look at.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Drop what an earlier one has kept; rehearse nothing.")] = False,
) -> None:
    given = loaded(plan, whole=True)
    if drop:
        ended(rehearsal.drop(given), stopped=STOPPED)
        say("dropped: nothing of a rehearsal is left")
        raise typer.Exit(Exit.COMPLETED)
    with stdout_descriptor() as fd, NonBlockingWriter(fd) as out:
        done = ended(rehearsal.rehearse(given, keep=keep, observers=[EventPrinter(out, TextFormat())]), stopped=STOPPED)
    say("\n".join(_last_lines(done)))
    raise typer.Exit(Exit.ABORTED if done.failed else Exit.COMPLETED)


def _last_lines(done: rehearsal.Rehearsal) -> list[str]:
    if not done.failed:
        return ["fit: every step of the window was taken on the copy, and back"]
    hidden = [f"not looked at: {', '.join(one_line(str(key)) for key in done.not_looked_at)}"] if done.not_looked_at else []
    return [f"not fit: {len(done.failed)} to see to: {', '.join(one_line(str(key)) for key in done.failed)}", *hidden]

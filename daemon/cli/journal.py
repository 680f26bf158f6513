"""`cutoverd journal restore`."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from cutoverd.daemon.cli.application import CODES
from cutoverd.daemon.cli.common import PlanArgument, confirmed, ended, loaded, paragraphs, say, say_on
from cutoverd.daemon.control import restore as restoring
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.host.printable import one_line

app = typer.Typer(name="journal", help="The journal of a run, should it be lost.", no_args_is_help=True, add_completion=False)

HELP = paragraphs(f"""Make a lost journal again: its stream was deleted, wiped, cut or remade, or something in it cannot be read.

Each event is kept three times: in the stream, in the ledger (the database cutoverd on your server), and in journal.ndjson of
the run's folder. The longest chain of events that these hold together, each signed by the ledger's key, is put back to the byte;
nothing is done where the stream has as much. Afterwards `cutoverd run PLAN` takes the run on from where it was.

It takes the run: a daemon that still drives it elsewhere is fenced and stops with code 7; one on this machine has to be stopped
first. Where what is missing can be appended the stream stays; else all that it holds is kept in a file of the run's folder, it
is deleted and made anew, so that it begins beyond every sequence that was ever seen. Commands are not put back: those that nobody
has answered are named, say them again. Where the end of the journal is in no copy, the run is held with that reason.

Where our NATS user may not make the stream, the request that an administrator has to make is printed. Killed half-way, say it
again. After `cutoverd rollback --without-journal` nothing is restored: that run is over.

{CODES} Here: 0 the journal is whole (with --dry-run: it can be made so), 1 it cannot be made so, and why.""")
AGAIN = "say the same again: what is put back is found in the stream"


@app.callback()
def _journals() -> None:
    """The journal of a run, should it be lost."""


@app.command(help=HELP)
def restore(
    plan: PlanArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    confirm: Annotated[str | None, typer.Option(help="The run's name, for scripts; without it you are asked.")] = None,
) -> None:
    given = loaded(plan)
    lines, has_to_be_done = ended(restoring.read_prospect(given))
    for line in lines:
        say(one_line(line), unread=Exit.ERROR)
    if dry_run or not has_to_be_done:
        return
    confirmed(given, confirm, "to restore its journal")
    ended(restoring.restore(given, say_on), stopped=AGAIN)
    say_on(f"the journal is whole again: `cutoverd run {shlex.quote(str(plan))}` takes the run on, unless it has ended")

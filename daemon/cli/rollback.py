"""`cutoverd rollback --without-journal`."""

from __future__ import annotations

from typing import Annotated

import typer

from cutoverd.daemon.cli.application import CODES
from cutoverd.daemon.cli.common import PlanArgument, confirmed, ended, loaded, paragraphs, refuse, say, say_on
from cutoverd.daemon.control import take_back as last_resort
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.host.printable import one_line

app = typer.Typer(add_completion=False)

HELP = paragraphs(f"""Take production back when the journal of a run is lost: the stream was wiped, or its NATS is gone for good.

As long as a daemon can read the journal, say `cutoverd send rollback` instead: that is recorded. Where a copy of it is left,
`cutoverd journal restore` makes it whole again, and the run goes on.

This asks no NATS. The ledger (the database cutoverd on your server) knows the names, the rights, the settings, and what ran
before the window; services and doors are put back by the commands of PLAN. A daemon that still drives the run elsewhere is
fenced and stops with code 7; one on this machine has to be stopped first. What was written to the new database since the swap
is counted: rows, or a count that proves nothing, want --accept-loss and --reason. Health is proven as PreCheck proved it.
Killed half-way, it is said again and goes on. Afterwards the run is over: should its journal come back, no daemon drives it.

Without the ledger, too: docs/last-resort.md has the way by hand, in SQL.

{CODES} Here: 3 production is back, 5 the window had not begun, 1 it cannot go on now, and says why.""")
AGAIN = "say the same again: what is done is found done"


@app.command(help=HELP)
def rollback(
    plan: PlanArgument,
    without_journal: Annotated[bool, typer.Option("--without-journal", help="The journal is lost: by the ledger alone.")] = False,
    confirm: Annotated[str | None, typer.Option(help="The run's name, for scripts; without it you are asked.")] = None,
    accept_loss: Annotated[bool, typer.Option("--accept-loss", help="Give up what clients wrote since the swap.")] = False,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger. --accept-loss needs one.")] = "",
) -> None:
    if not without_journal:
        refuse("a run is taken back by `cutoverd send rollback -p PLAN`", "--without-journal is for a journal that is lost")
    if accept_loss and not reason:
        refuse("--accept-loss needs --reason", "why rows may be given up goes on record")
    given = loaded(plan)
    for line in ended(last_resort.read_standing(given)):
        say(one_line(line), unread=Exit.ERROR)
    confirmed(given, confirm, "to take production back")
    code = ended(last_resort.take_back(given, accept_loss=accept_loss, reason=reason, say=say_on), stopped=AGAIN)
    say_on("production is back" if code is Exit.ROLLED_BACK else "the window had not begun: production was not touched")
    raise typer.Exit(code)

"""`cutoverd send`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from cutoverd.daemon import desk
from cutoverd.daemon.cli.common import PlanOption, app, ended, loaded
from cutoverd.daemon.exits import Exit
from cutoverd.daemon.face.lines import line
from cutoverd.events.commands import Command, Verb, in_words
from cutoverd.events.facts import CommandRejected
from cutoverd.events.subjects import commands_of
from cutoverd.states.run import Run


@app.command(help="Say something to a run and wait until a daemon has handled it. Verbs: " + ", ".join(Verb) + ".")
def send(
    verb: Annotated[Verb, typer.Argument(help="What to say.")],
    plan: PlanOption = Path("plan.yaml"),
    reason: Annotated[str, typer.Option(help="Why; it goes on record. `note`, and `rollback --accept-loss`, need one.")] = "",
    now: Annotated[bool, typer.Option("--now", help="hold: cancel the running step.")] = False,
    accept_loss: Annotated[bool, typer.Option("--accept-loss", help="rollback: give up what clients wrote since.")] = False,
    operator: Annotated[str | None, typer.Option("--as", help="Your name on the bus.", envvar="CUTOVERD_OPERATOR")] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 30.0,
) -> None:
    given = loaded(plan)
    try:
        command = Command(verb=verb, run=given.plan.run, reason=reason, now=now, accept_loss=accept_loss)
        commands_of(operator)
    except ValueError as error:
        raise typer.BadParameter(in_words(error) if isinstance(error, ValidationError) else str(error)) from None
    receipt = ended(desk.send(given, command, operator, wait))
    if receipt.answer is None:
        typer.echo(f"kept at {receipt.seq}; no daemon has handled it in {wait:g} s: it counts when one starts")
        raise typer.Exit(Exit.UNFINISHED)
    typer.echo(line(Run(given.plan.run), receipt.answer))
    raise typer.Exit(Exit.ERROR if isinstance(receipt.answer.event, CommandRejected) else Exit.COMPLETED)

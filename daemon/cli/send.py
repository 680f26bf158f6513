"""`cutoverd send`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from cutoverd.daemon.cli.common import FORM, OutputFormat, PlanOption, ended, loaded, next_words, say
from cutoverd.daemon.control.send import Receipt
from cutoverd.daemon.control.send import send as send_command
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.host.printable import json_text
from cutoverd.daemon.plan.durations import seconds_of
from cutoverd.daemon.views.event_lines import line
from cutoverd.events.commands import Command, Verb, format_problems
from cutoverd.events.subjects import commands_of

app = typer.Typer(add_completion=False)


@app.command(help="Say something to a run and wait until a daemon has handled it. Verbs: " + ", ".join(Verb) + ".")
def send(
    verb: Annotated[Verb, typer.Argument(help="What to say.")],
    plan: PlanOption = Path("plan.yaml"),
    reason: Annotated[str, typer.Option(help="Why, on record. `note`, `extend`, `rollback --accept-loss` need it.")] = "",
    now: Annotated[bool, typer.Option("--now", help="hold: cancel the running step.")] = False,
    accept_loss: Annotated[bool, typer.Option("--accept-loss", help="rollback: give up what clients wrote since.")] = False,
    extension: Annotated[str | None, typer.Option("--for", help="extend: how much later the window may end, as 15m.")] = None,
    operator: Annotated[str | None, typer.Option("--as", help="Your name on the bus.", envvar="CUTOVERD_OPERATOR")] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 30.0,
    form: Annotated[OutputFormat, typer.Option("--format", "-f", help=FORM)] = OutputFormat.TEXT,
) -> None:
    given = loaded(plan)
    try:
        seconds = None if extension is None else seconds_of(extension)
        command = Command(verb=verb, run=given.plan.run, reason=reason, now=now, accept_loss=accept_loss, extension=seconds)
        commands_of(operator)
    except ValueError as error:
        raise typer.BadParameter(format_problems(error) if isinstance(error, ValidationError) else str(error)) from None
    receipt = ended(send_command(given, command, operator, wait))
    code = Exit.UNFINISHED if receipt.answer is None else Exit.ERROR if receipt.is_refused else Exit.COMPLETED
    say(json_text(receipt.as_json(), indent=2) if form is OutputFormat.JSON else _describe(receipt, wait), unread=code)
    raise typer.Exit(code)


def _describe(receipt: Receipt, waited: float) -> str:
    if receipt.answer is None:
        kept = f"kept at {receipt.seq}; no daemon has handled it in {waited:g} s: it counts when one starts"
        return f"{kept}\n{next_words(receipt.run)}"
    answer = line(receipt.run, receipt.answer)
    return answer if receipt.is_refused else f"{answer}\n{next_words(receipt.run)}"  # a refusal has them in it

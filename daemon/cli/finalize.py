"""`cutoverd finalize`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from cutoverd.daemon.cli.common import OutputFormat, PlanOption, complain, ended, loaded, say
from cutoverd.daemon.control import finalize as final
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.host.printable import one_line, printable
from cutoverd.daemon.progress import format_bytes
from cutoverd.states.leftovers import ACCEPT_LOSS, WITHOUT_DUMP

app = typer.Typer(add_completion=False)


@app.command(help="Drop the databases that an ended run has left over, once you have typed its name. Dumps stay.")
def finalize(
    plan: PlanOption = Path("plan.yaml"),
    confirm: Annotated[str | None, typer.Option(help="The run's name, for scripts; without it you are asked.")] = None,
    accept_loss: Annotated[bool, typer.Option("--accept-loss", help="Give up what clients wrote: no dump has it.")] = False,
    without_dump: Annotated[bool, typer.Option("--without-dump", help="Drop old though its final dump is missing.")] = False,
    form: Annotated[OutputFormat, typer.Option("--format", "-f")] = OutputFormat.TEXT,
) -> None:
    given = loaded(plan)
    found = ended(final.read_inventory(given))
    document = found.as_json()
    if form is OutputFormat.TEXT:
        say("\n".join(map(one_line, _lines(document))), unread=Exit.ERROR)
    if found.decision.drop:
        ask = f"What is dropped does not come back. Type {given.plan.run} to drop them"
        _check_confirmed(given.plan.run, confirm if confirm is not None else _asked(ask, form), document, form)
    confirmations = {word for word, given_up in ((ACCEPT_LOSS, accept_loss), (WITHOUT_DUMP, without_dump)) if given_up}
    _check_confirmations(found.wanted, confirmations, document, form)
    dropped = ended(final.finalize(given, found, {*found.wanted}))
    if form is OutputFormat.JSON:
        say(json.dumps({**document, "dropped": dropped}, indent=2))
    elif dropped:
        say(f"dropped: {', '.join(dropped)}")


def _asked(question: str, form: OutputFormat) -> str:
    """What a person types; nothing where nobody can."""
    if form is OutputFormat.JSON or not sys.stdin.isatty():
        return ""
    return str(typer.prompt(printable(question), default="", show_default=False))


def _check_confirmed(run: str, typed: str, document: dict[str, Any], form: OutputFormat) -> None:
    if typed != run:
        saw = f"saw {typed!r}" if typed else "nobody confirmed"
        _refuse([f"{saw}, expected the run's name: --confirm {run}"], document, form)


def _check_confirmations(
    wanted: Mapping[str, str], confirmations: set[str], document: dict[str, Any], form: OutputFormat
) -> None:
    """What would be lost for good is asked for by itself: the run's name alone is typed out of habit."""
    unconfirmed = {word: why for word, why in wanted.items() if word not in confirmations}
    missing = [f"{why}: --{word}" for word, why in unconfirmed.items() if _asked(f"{why}\nType {word} to drop it", form) != word]
    if missing:
        _refuse(missing, document, form)


def _refuse(reasons: list[str], document: dict[str, Any], form: OutputFormat) -> NoReturn:
    if form is OutputFormat.JSON:
        say(json.dumps({**document, "dropped": []}, indent=2), unread=Exit.USAGE)
    complain("\n".join(f"cutoverd: {one_line(reason)}" for reason in reasons) + "\n  → nothing was dropped")
    raise typer.Exit(Exit.USAGE)


def _lines(document: dict[str, Any]) -> Iterator[str]:
    left = "It left behind:" if document["left_over"] else "Nothing of it is left over."
    yield f"run {document['run']} has ended: {document['state']}. {left}"
    for each in document["left_over"]:
        size = format_bytes(each["bytes"]) if each["bytes"] is not None else "?"
        yield f"  {each['database']}  oid {each['oid']}  {size}  {_since(each)}  {each['what']}"
    yield from (f"  left alone: {why}" for why in document["left_alone"])
    yield from (f"  stays: the dump {file}" for file in document["dumps"])
    yield from (f"  missing: the dump {file} is not there" for file in document["dumps_missing"])
    yield from (f"  stays: {what}" for what in document["stays"])
    yield from (f"  only copy: {why}" for why in document["wanted"].values())


def _since(each: dict[str, Any]) -> str:
    if each["since"] is None:
        return "since an unknown time"
    hours = each["age_seconds"] / 3600
    return f"since {each['since']} ({f'{hours / 24:.1f} days' if hours >= 48 else f'{hours:.1f} hours'})"

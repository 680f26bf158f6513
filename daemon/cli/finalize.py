"""`cutoverd finalize`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from cutoverd.daemon.cli.common import OutputFormat, PlanOption, ended, loaded
from cutoverd.daemon.control import finalize as final
from cutoverd.daemon.engine.exit_codes import Exit
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
    told = found.as_json()
    if form is OutputFormat.TEXT:
        typer.echo("\n".join(_lines(told)))
    if found.decision.drop:
        ask = f"What is dropped does not come back. Type {given.plan.run} to drop them"
        _check_confirmed(given.plan.run, confirm if confirm is not None else _asked(ask, form), told, form)
    said = {word for word, given_up in ((ACCEPT_LOSS, accept_loss), (WITHOUT_DUMP, without_dump)) if given_up}
    _check_said(found.wanted, said, told, form)
    dropped = ended(final.finalize(given, found, {*found.wanted}))
    if form is OutputFormat.JSON:
        typer.echo(json.dumps({**told, "dropped": dropped}, indent=2))
    elif dropped:
        typer.echo(f"dropped: {', '.join(dropped)}")


def _asked(question: str, form: OutputFormat) -> str:
    """What a person types; nothing where nobody can."""
    if form is OutputFormat.JSON or not sys.stdin.isatty():
        return ""
    return str(typer.prompt(question, default="", show_default=False))


def _check_confirmed(run: str, said: str, told: dict[str, Any], form: OutputFormat) -> None:
    if said != run:
        saw = f"saw {said!r}" if said else "nobody confirmed"
        _refuse([f"{saw}, expected the run's name: --confirm {run}"], told, form)


def _check_said(wanted: Mapping[str, str], said: set[str], told: dict[str, Any], form: OutputFormat) -> None:
    """What would be lost for good is asked for by itself: the run's name alone is typed out of habit."""
    unsaid = {word: why for word, why in wanted.items() if word not in said}
    missing = [f"{why}: --{word}" for word, why in unsaid.items() if _asked(f"{why}\nType {word} to drop it", form) != word]
    if missing:
        _refuse(missing, told, form)


def _refuse(reasons: list[str], told: dict[str, Any], form: OutputFormat) -> NoReturn:
    if form is OutputFormat.JSON:
        typer.echo(json.dumps({**told, "dropped": []}, indent=2))
    typer.echo("\n".join(f"cutoverd: {reason}" for reason in reasons) + "\n  → nothing was dropped", err=True)
    raise typer.Exit(Exit.USAGE)


def _lines(told: dict[str, Any]) -> Iterator[str]:
    left = "It left behind:" if told["left_over"] else "Nothing of it is left over."
    yield f"run {told['run']} has ended: {told['state']}. {left}"
    for each in told["left_over"]:
        size = format_bytes(each["bytes"]) if each["bytes"] is not None else "?"
        yield f"  {each['database']}  oid {each['oid']}  {size}  {_since(each)}  {each['what']}"
    yield from (f"  left alone: {why}" for why in told["left_alone"])
    yield from (f"  stays: the dump {file}" for file in told["dumps"])
    yield from (f"  missing: the dump {file} is not there" for file in told["dumps_missing"])
    yield from (f"  stays: {what}" for what in told["stays"])
    yield from (f"  only copy: {why}" for why in told["wanted"].values())


def _since(each: dict[str, Any]) -> str:
    if each["since"] is None:
        return "since an unknown time"
    hours = each["age_seconds"] / 3600
    return f"since {each['since']} ({f'{hours / 24:.1f} days' if hours >= 48 else f'{hours:.1f} hours'})"

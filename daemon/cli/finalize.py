"""`cutoverd finalize`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from cutoverd.daemon import finalize as final
from cutoverd.daemon.cli.common import Form, PlanOption, app, ended, loaded
from cutoverd.daemon.exits import Exit

MEBIBYTE = 1 << 20


@app.command(help="Drop the databases that an ended run has left over, once you have typed its name. Dumps stay.")
def finalize(
    plan: PlanOption = Path("plan.yaml"),
    confirm: Annotated[str | None, typer.Option(help="The run's name, for scripts; without it you are asked.")] = None,
    form: Annotated[Form, typer.Option("--format", "-f")] = Form.TEXT,
) -> None:
    given = loaded(plan)
    found = ended(final.look(given))
    told = found.told()
    if form is Form.TEXT:
        typer.echo("\n".join(_lines(told)))
    if found.decision.drop:
        _check_confirmed(given.plan.run, confirm if confirm is not None else _asked(given.plan.run, form), told, form)
    dropped = ended(final.finalize(given, found))
    if form is Form.JSON:
        typer.echo(json.dumps({**told, "dropped": dropped}, indent=2))
    elif dropped:
        typer.echo(f"dropped: {', '.join(dropped)}")


def _asked(run: str, form: Form) -> str:
    """What a person types; nothing where nobody can."""
    if form is Form.JSON or not sys.stdin.isatty():
        return ""
    return str(typer.prompt(f"What is dropped does not come back. Type {run} to drop them", default="", show_default=False))


def _check_confirmed(run: str, said: str, told: dict[str, Any], form: Form) -> None:
    if said == run:
        return
    if form is Form.JSON:
        typer.echo(json.dumps({**told, "dropped": []}, indent=2))
    saw = f"saw {said!r}" if said else "nobody confirmed"
    typer.echo(f"cutoverd: {saw}, expected the run's name: --confirm {run}\n  → nothing was dropped", err=True)
    raise typer.Exit(Exit.USAGE)


def _lines(told: dict[str, Any]) -> Iterator[str]:
    left = "It left behind:" if told["left_over"] else "Nothing of it is left over."
    yield f"run {told['run']} has ended: {told['state']}. {left}"
    for each in told["left_over"]:
        size = f"{each['bytes'] / MEBIBYTE:.1f} MiB" if each["bytes"] is not None else "?"
        yield f"  {each['database']}  oid {each['oid']}  {size}  {_since(each)}  {each['what']}"
    yield from (f"  left alone: {why}" for why in told["left_alone"])
    yield from (f"  stays: the dump {file}" for file in told["dumps"])


def _since(each: dict[str, Any]) -> str:
    if each["since"] is None:
        return "since an unknown time"
    hours = each["age_seconds"] / 3600
    return f"since {each['since']} ({f'{hours / 24:.1f} days' if hours >= 48 else f'{hours:.1f} hours'})"

"""`cutoverd status`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cutoverd.daemon import desk
from cutoverd.daemon.cli.common import Form, PlanOption, app, ended, loaded
from cutoverd.daemon.exits import Exit


@app.command(help="How a run stands, from its journal alone.")
def status(
    plan: PlanOption = Path("plan.yaml"),
    form: Annotated[Form, typer.Option("--format", "-f")] = Form.TEXT,
) -> None:
    told = ended(desk.look(loaded(plan)))
    if form is Form.JSON:
        typer.echo(json.dumps(told, indent=2))
    elif told:
        typer.echo("\n".join(f"{name:>17}  {_plain(value)}" for name, value in told.items() if value not in ("", [], {})))
    if not told:
        typer.echo("this run has not started", err=True)
        raise typer.Exit(Exit.ERROR)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return f"{part:g}"
    if "saw" in part:
        return f"{'ok' if part['ok'] else 'bad'} ({part['saw']})"
    return "/".join(f"{number:g} {what}" for what, number in part.items() if number)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_part(part)}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

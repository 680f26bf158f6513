"""`cutoverd schema`."""

from __future__ import annotations

import json

import typer

from cutoverd.daemon.cli.common import say
from cutoverd.daemon.plan.json_schema import schema as plan_schema

app = typer.Typer(add_completion=False)


@app.command(help="The JSON Schema of a plan file, for editors: `# yaml-language-server: $schema=plan.schema.json`.")
def schema() -> None:
    say(json.dumps(plan_schema(), indent=2, ensure_ascii=False))

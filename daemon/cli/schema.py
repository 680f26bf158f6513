"""`cutoverd schema`."""

from __future__ import annotations

import typer

from cutoverd.daemon.cli.common import say
from cutoverd.daemon.host.printable import json_text
from cutoverd.daemon.plan.json_schema import schema as plan_schema

app = typer.Typer(add_completion=False)


@app.command(help="The JSON Schema of a plan file, for editors: `# yaml-language-server: $schema=plan.schema.json`.")
def schema() -> None:
    say(json_text(plan_schema(), indent=2))

"""`cutoverd check`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cutoverd.daemon.cli.common import OutputFormat, PlanArgument, ended, loaded
from cutoverd.daemon.control.check import CheckResult, Verdict, survey
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.views.event_lines import DONE, FAILED, WAITING, WARNING

app = typer.Typer(add_completion=False)
ICONS = {Verdict.FIT: DONE, Verdict.UNFIT: FAILED, Verdict.WARNING: WARNING, Verdict.NOT_CHECKED: WAITING}


@app.command(
    help="What PreCheck would find, without writing anything. Exit codes: 0 fit, 1 could not look, 2 usage or plan, 5 not fit."
)
def check(
    plan: PlanArgument,
    form: Annotated[OutputFormat, typer.Option("--format", "-f")] = OutputFormat.TEXT,
) -> None:
    findings = ended(survey(loaded(plan, whole=True)))
    unfit = sum(finding.verdict is Verdict.UNFIT for finding in findings)
    if form is OutputFormat.JSON:
        typer.echo(json.dumps({"fit": not unfit, "findings": [finding.as_json() for finding in findings]}, indent=2))
    else:
        typer.echo("\n".join(map(_line, findings)))
        typer.echo(f"not fit: {unfit} finding(s) to see to" if unfit else "fit, as far as can be seen without writing")
    raise typer.Exit(Exit.ABORTED if unfit else Exit.COMPLETED)


def _line(finding: CheckResult) -> str:
    todo = f"\n      → {finding.todo}" if finding.todo else ""
    return f"{ICONS[finding.verdict]} {finding.check}  {finding.detail}{todo}"

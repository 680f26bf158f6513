"""`cutoverd check`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from cutoverd.daemon.cli.common import OutputFormat, PlanArgument, ended, loaded, say
from cutoverd.daemon.control.check import CheckResult, Verdict, survey
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.host.printable import continued, one_line
from cutoverd.daemon.views.event_lines import DONE, FAILED, WAITING, WARNING
from cutoverd.daemon.views.hints import by_hint
from cutoverd.states.precheck import PreCheck

app = typer.Typer(add_completion=False)
FIT = "fit, as far as can be seen without writing"
MORE = "      │ "  # of a text with several lines
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
    code = Exit.ABORTED if unfit else Exit.COMPLETED
    if form is OutputFormat.JSON:
        say(json.dumps({"fit": not unfit, "findings": [finding.as_json() for finding in findings]}, indent=2), unread=code)
    else:
        say("\n".join(_lines(findings)), unread=code)
        say(_last_line(findings, unfit), unread=code)
    raise typer.Exit(code)


def _last_line(findings: Sequence[CheckResult], unfit: int) -> str:
    if unfit:
        return f"not fit: {unfit} finding(s) to see to"
    is_past = any(finding.check == PreCheck.name for finding in findings)
    return "the run is past PreCheck: whether it may begin is no question any more" if is_past else FIT


def _lines(findings: Sequence[CheckResult]) -> Iterator[str]:
    """What to do is said once, behind all that it is said of."""
    for todo, helped in by_hint(findings, lambda finding: finding.todo):
        for finding in helped:
            yield f"{ICONS[finding.verdict]} {one_line(finding.check)}  {continued(finding.detail, MORE)}"
        if todo:
            yield f"      → {continued(todo, MORE)}"

"""`cutoverd history`."""

from __future__ import annotations

import difflib
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from cutoverd.daemon.cli.common import FORM, OutputFormat, PlanOption, complain, ended, loaded, next_words, say
from cutoverd.daemon.control.observe import observe, read_run
from cutoverd.daemon.engine.exit_codes import Exit
from cutoverd.daemon.plan.load import LoadedPlan
from cutoverd.daemon.progress import format_seconds
from cutoverd.daemon.views.event_json import json_line
from cutoverd.daemon.views.event_lines import line
from cutoverd.events.codec import Recorded
from cutoverd.events.facts import TYPES
from cutoverd.states.run import Run

app = typer.Typer(add_completion=False)
HELP = (
    "All that happened in a run, from its journal alone: when, how long it took, who said it and why.\n\n"
    "The numbers are places in the stream of the bus. What lies in a gap between them is no event of this run: a command, say, "
    "whose answer is one, or the record that a run was opened."
)


@app.command(help=HELP)
def history(
    plan: PlanOption = Path("plan.yaml"),
    form: Annotated[
        OutputFormat, typer.Option("--format", "-f", help=f"{FORM} A JSON object for each event, one a line.")
    ] = OutputFormat.TEXT,
    since: Annotated[int, typer.Option("--since", help="Only what lies after this sequence.")] = 0,
    types: Annotated[list[str] | None, typer.Option("--type", help="Only events of this type, `step_failed` say.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the run is over.")] = False,
) -> None:
    wanted = _known(types or [])
    run = ended(_print_events(loaded(plan), _HistoryPrinter(form, since, wanted), follow))
    if run.plan is None:
        complain("this run has not started")
        raise typer.Exit(Exit.ERROR)
    if form is OutputFormat.TEXT:
        say(next_words(run))


def _known(types: list[str]) -> set[str]:
    for name in types:
        if name not in TYPES:
            near = difflib.get_close_matches(name, TYPES, 1)
            raise typer.BadParameter(
                f"--type: saw {name!r}; {f'did you mean {near[0]}? ' if near else ''}There are: {', '.join(TYPES)}"
            )
    return set(types)


class _HistoryPrinter:
    """Prints an event if it is wanted."""

    def __init__(self, form: OutputFormat, since: int, types: set[str]) -> None:
        self._form, self._since, self._types = form, since, types
        self._began: datetime | None = None

    def __call__(self, run: Run, recorded: Recorded) -> None:
        self._began = self._began or recorded.envelope.time
        if recorded.seq <= self._since:
            return
        self._since = recorded.seq  # it comes again with the next observation
        if not self._types or recorded.event.wire_type() in self._types:
            say(json_line(run, recorded) if self._form is OutputFormat.JSON else self._text(run, recorded))

    def _text(self, run: Run, recorded: Recorded) -> str:
        """`    17  +3:12  2026-12-05 22:14:03 ✔ …`: its sequence, the time since the beginning, the event."""
        at = recorded.envelope.time
        since = f"+{format_seconds((at - (self._began or at)).total_seconds())}"
        return f"{recorded.seq:>6}  {since:>9}  {at:%Y-%m-%d} {line(run, recorded)}"


async def _print_events(given: LoadedPlan, printer: _HistoryPrinter, follow: bool) -> Run:
    """The run as it is at the end."""
    observation = await read_run(given, printer)
    if follow:
        async with aclosing(observe(given, printer)) as observations:
            async for latest in observations:
                observation = latest
    return observation.run
